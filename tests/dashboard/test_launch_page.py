"""The page Launch: a study file is chosen, changed and checked, and started so that it outlives the page."""

from __future__ import annotations

import time
import tomllib

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker import estimate_study, run_study
from tracker.errors import StudyNotFoundError
from tracker.report.estimate.sentences import money
from tracker.report.study_form import MOST_BYTES
from tracker.runner.launches import latest_launch
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home
from tracker.study.toml_text import to_toml

SECONDS = 300.0


def _page():
    from dashboard.frame import Entry, _page
    from dashboard.pages import launch

    _page(Entry("Launch", "", launch.show, of_study=False))()


@pytest.fixture
def open_page(tmp_path, monkeypatch):
    def open_at(*studies, **files):
        monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "home"))
        folder = tmp_path / "files"
        folder.mkdir()
        for number, study in enumerate(studies):
            (folder / f"{number}.toml").write_text(to_toml(study))
        for name, text in files.items():
            (folder / f"{name}.toml").write_text(text)
        page = AppTest.from_function(_page, default_timeout=SECONDS).run()
        page.text_input(key="launch-folder").set_value(str(folder)).run()
        assert not page.exception
        return page

    return open_at


def plain(elements):
    return [str(each.value).replace("\\", "") for each in elements]


def field(page, place):
    return page.text_input(key=f"launch-field-{place}")


def problems(page):
    return [text for text in plain(page.markdown) if text.startswith("- ")]


def test_a_study_is_changed_in_the_form_and_its_problems_are_reported_with_their_places(open_page):
    page = open_page(digits(budget={"usd": 0.5}))
    assert any(text.startswith("### $0.50") for text in plain(page.markdown))
    assert page.button(key="launch-start")
    field(page, "budget.usd").set_value("-1").run()
    assert not page.exception
    assert "budget.usd: -1 is not a number of dollars above 0" in problems(page)[0]
    assert [button.key for button in page.button] == ["launch-again"]
    field(page, "budget.usd").set_value("").run()
    assert any("No limit" in text for text in plain(page.markdown))
    assert "nothing bounds their cost" in problems(page)[0]
    field(page, "space.width").set_value("1 to 8, in steps").run()
    assert any("is not part of a range" in text for text in plain(page.error))
    assert field(page, "space.width").value == "1 to 8, in steps"
    field(page, "space.width").set_value("8, 16").run()
    page.selectbox(key="launch-another-space").set_value("epochs").run()
    assert not page.exception
    content = tomllib.loads(page.text_area(key="launch-text").value)
    assert content["space"]["width"] == [8, 16]
    assert content["space"]["epochs"] == [3]
    assert "usd" not in content["budget"]


def test_what_it_is_likely_to_cost_is_said_as_the_command_says_it(open_page, tmp_path):
    name, home = 'past <b>&</b> "it\'s" 😀', tmp_path / "home"
    put_mlflow_database(home)
    study = digits(name=name, space={"width": [4, 16]}, budget={"trials": 2})
    run_study(study, home=home)
    page = open_page(digits(space={"width": [4, 16]}, budget={"trials": 2}))
    estimate = estimate_study(digits(space={"width": [4, 16]}, budget={"trials": 2}), home=home)
    likely = money(estimate.likely.outlay.spend_usd, estimate.unit)
    assert f"### {likely}" in plain(page.markdown)
    assert any(f"from 2 runs of study '{name}' with this training code" in text for text in plain(page.markdown))
    assert [head.value for head in page.header][-2:] == ["The most that it costs", "What it is likely to cost"]
    page.text_area(key="launch-text").set_value(to_toml(digits(settings={"precision": "bf16"}))).run()
    assert not page.exception
    assert any("Not known: none of 2 past runs" in text for text in plain(page.caption))


def test_the_text_and_the_form_are_the_same_study(open_page):
    page = open_page(digits())
    text = page.text_area(key="launch-text")
    text.set_value("# mine\n" + text.value.replace('name = "digits"', 'name = "other"')).run()
    assert field(page, "name").value == "other"
    field(page, "seed").set_value("7").run()
    assert page.text_area(key="launch-text").value.startswith("# mine\n")
    page.text_area(key="launch-text").set_value("name = ").run()
    assert not page.exception
    assert "not valid TOML" in problems(page)[0]
    assert any("there is no form" in text for text in plain(page.info))


def test_another_file_begins_anew_and_a_name_that_is_taken_gets_a_number(open_page, tmp_path):
    Home(tmp_path / "home").study("digits").mkdir(parents=True)
    page = open_page(digits(), digits(name="second"))
    assert field(page, "name").value == "digits-2"
    page.selectbox(key="view-file").set_value(str(tmp_path / "files" / "1.toml")).run()
    assert field(page, "name").value == "second"
    field(page, "name").set_value("digits").run()
    assert "name: folder" in problems(page)[0]


def test_folders_and_files_that_are_none_are_reported_in_a_sentence(open_page):
    page = open_page(bad="not toml")
    assert not page.exception
    assert "not valid TOML" in plain(page.error)[0]
    page.text_input(key="launch-folder").set_value("/no/such/folder").run()
    assert "folder '/no/such/folder' cannot be read" in plain(page.error)[0]
    page.text_input(key="launch-folder").set_value("/").run()
    assert any("There is no TOML file in /" in text for text in plain(page.caption))


def test_uploads_are_taken_or_refused_in_a_sentence(open_page):
    page = open_page(digits())
    page.segmented_control(key="launch-way").set_value("An upload").run()
    upload = page.file_uploader(key="launch-upload")
    upload.set_value(("nonsense.toml", b"\0" * 10 * MOST_BYTES, "text/plain")).run()
    assert "has 10,000,000 bytes; a study file has at most" in plain(page.error)[0]
    text = to_toml(digits(name="from a mail", workload="own.py:train"))
    page.file_uploader(key="launch-upload").set_value(("mine.toml", text.encode(), "text/plain")).run()
    assert not page.exception
    assert "An upload has no folder: 'own.py' is looked up below" in plain(page.warning)[0]
    assert field(page, "name").value == "from a mail"
    assert any("own.py" in text for text in problems(page))


def test_a_launch_from_the_page_runs_a_study_to_its_end(open_page, tmp_path):
    put_mlflow_database(tmp_path / "home")
    page = open_page(digits(name="a <b> study", budget={"trials": 1}))
    field(page, "settings.epochs").set_value("2").run()
    page.button(key="launch-start").click().run()
    home = Home(tmp_path / "home")
    launch = latest_launch(home, "a <b> study")
    assert tomllib.loads(next((tmp_path / "home" / "launched").glob("*.toml")).read_text())["name"] == "a <b> study"
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if table_of(home, "a <b> study").state == "completed":
                break
        except StudyNotFoundError:
            pass
        time.sleep(0.2)
    table = table_of(home, "a <b> study")
    assert table.state == "completed"
    assert table.settings["epochs"].dropna().unique().tolist() == [2]
    while not launch.last_lines[-1].startswith("see it: "):
        assert time.monotonic() < deadline, launch.last_lines
        time.sleep(0.2)


def test_code_beside_a_file_and_a_command_are_shown_and_run_once_they_are_allowed(open_page, tmp_path):
    mark = tmp_path / "it ran"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\ndef train(run, width: int = 8): ...\n"
    page = open_page(digits(), digits(workload="mine.py:train"))
    (tmp_path / "files" / "mine.py").write_text(code)
    page.selectbox(key="view-file").set_value(str(tmp_path / "files" / "1.toml")).run()
    assert str(tmp_path / "files" / "mine.py") in page.code[0].value
    assert [button.key for button in page.button] == ["launch-allow"]
    assert not mark.exists(), "a link may have opened this page"
    page.button(key="launch-allow").click().run()
    assert mark.exists()
    assert "launch-allow" not in [button.key for button in page.button]
