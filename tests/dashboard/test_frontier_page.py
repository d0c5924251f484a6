"""The dashboard's first page, run without a browser."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.command import APP
from dashboard.text import literal
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore


@pytest.fixture
def open_page(home, monkeypatch):
    """Opens the app at a study, as a link to it does."""

    def open_at(study=None, at=home):
        monkeypatch.setenv("TRACKER_HOME", str(at))
        app = AppTest.from_file(str(APP), default_timeout=300)
        if study is not None:
            app.query_params["study"] = study
        return app.run()

    return open_at


def test_a_link_opens_its_study_with_the_answers(open_page):
    page = open_page("docstrings")
    assert not page.exception
    assert page.selectbox(key="study").value == "docstrings"
    assert {metric.label: metric.value for metric in page.metric}["Best accuracy"] == "0.7543"
    assert any("dominates 6 of 22 frontier points" in text.value for text in page.markdown)


def test_the_chart_has_its_table_twin(open_page):
    page = open_page("docstrings")
    twin = page.dataframe[0].value
    assert len(twin) == 22
    assert twin["price_usd"].is_monotonic_increasing
    assert twin["quality"].is_monotonic_increasing
    assert {"settings.size", "settings.precision", "settings.threads"} <= set(twin.columns)
    assert "settings.dropout" not in twin.columns  # the same in every trial


def test_repeats_show_in_the_table_and_in_words(open_page, confirmed_home):
    page = open_page("confirmed", at=confirmed_home)
    assert not page.exception
    twin = page.dataframe[0].value
    assert twin["repeats"].tolist() == [2, 2]
    assert twin["quality_mean"].tolist() == pytest.approx([0.495, 0.695])
    assert any("2 repeats of 1 trial cost" in caption.value.replace("\\", "") for caption in page.caption)


def test_the_newest_study_comes_first_and_another_can_be_chosen(open_page):
    page = open_page()
    assert page.selectbox(key="study").options == ["just <begun> $1 🦊", "docstrings"]
    assert any("No run of this study has reached a checkpoint yet" in note.value for note in page.info)
    page.selectbox(key="study").set_value("docstrings").run()
    assert not page.exception
    assert len(page.metric) == 4


def test_a_running_study_says_when_it_was_read(open_page):
    running, completed = open_page("just <begun> $1 🦊"), open_page("docstrings")
    assert "every 3 s" in running.markdown[0].value.replace("\\", "")
    assert "every" not in completed.markdown[0].value
    running.toggle(key="follow").set_value(False).run()
    assert "every" not in running.markdown[0].value


def test_a_link_to_a_study_that_is_gone_shows_another(open_page):
    page = open_page("no such study")
    assert not page.exception
    assert page.selectbox(key="study").value == "just <begun> $1 🦊"


def test_a_home_without_studies_says_how_to_begin_and_goes_on_when_one_appears(open_page, tmp_path):
    page = open_page(at=tmp_path)
    assert not page.exception
    assert page.code[0].value == "tracker run experiments/studies/docstrings.toml"
    tags = {"tracker.state": "running", "tracker.quality": "accuracy", "tracker.direction": "maximize"}
    store = MlflowStore(Home(tmp_path).tracking_uri)
    store.create_study("first", tags, 1.79e9, tmp_path / "artifacts")
    page.run()
    assert page.selectbox(key="study").value == "first"


def test_a_broken_database_is_told_in_a_line(open_page, tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database")
    page = open_page(at=tmp_path)
    assert not page.exception
    assert len(page.error) == 1


def test_the_page_loads_nothing_heavy():
    """Torch alone would take seconds and half a gigabyte."""
    code = "import dashboard.frontier_page, json, sys; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"torch", "optuna", "mlflow"}.isdisjoint(json.loads(output.splitlines()[-1]))


def test_markdown_shows_names_as_they_are():
    assert literal("a*b* $x$ :tada: [l](u)\n# <b>") == (r"a\*b\* \$x\$ \:tada\: \[l\]\(u\) \# \<b\>")
