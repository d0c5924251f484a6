"""The page Study: what it tells of a study, and that its buttons do what the commands do."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import BEGAN, RATE, study_tags
from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker.engine.cluster.node_times import NodeTimes
from tracker.engine.node import Node
from tracker.errors import StudyNotFoundError
from tracker.pricing.price_book import load_price_book
from tracker.records import Market, TrialState
from tracker.report.status import standing
from tracker.runner.detached import start_study
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore
from tracker.study.document import StudyDocument

SECONDS = 300.0


def _page(study):
    from dashboard.frame import Entry, _page
    from dashboard.pages import study as page

    _page(Entry("Study", "", lambda: page.show(study), of_study=False))()


@pytest.fixture
def open_page(home, monkeypatch):
    def open_at(study, at=home):
        monkeypatch.setenv("TRACKER_HOME", str(at))
        return AppTest.from_function(_page, kwargs={"study": study}, default_timeout=SECONDS).run()

    return open_at


def plain(elements):
    return [str(each.value).replace("\\", "") for each in elements]


def table_with(page, *columns):
    return next(each.value for each in page.dataframe if set(columns) <= set(each.value.columns))


def wait_for(what):
    deadline = time.monotonic() + SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited {SECONDS} s in vain"
        time.sleep(0.1)
    return found


def test_a_study_tells_its_money_and_its_trials_with_units(open_page):
    page = open_page("docstrings")
    assert not page.exception
    figures = {metric.label: metric.value.replace("\\", "") for metric in page.metric}
    assert figures["Completed"] == "9"
    assert figures["Failed"] == "1"
    assert figures["Burn rate"] == "97.6 m$ an hour"  # the baseline and the first trial ran at once
    assert page.get("progress")[0].text.replace("\\", "").endswith("of 10.0 m$ spent, 133 %")
    assert len(table_with(page, "state", "label")) == 10
    assert any("cannot be stopped or resumed from here" in said for said in plain(page.caption))
    assert page.button == []


def test_trials_of_a_state_are_chosen(open_page):
    page = open_page("docstrings")
    page.get("button_group")[-1].set_value(["failed"]).run()
    assert not page.exception
    assert table_with(page, "state", "label")["state"].tolist() == ["failed"]


def test_a_study_without_any_run_is_a_page_too(open_page):
    page = open_page("just <started> $1 🦊")
    assert not page.exception
    assert "just <started> $1 🦊" in plain(page.markdown)[0]


def test_a_study_that_is_gone_is_reported_in_a_sentence(open_page):
    page = open_page("no such study")
    assert not page.exception
    assert "there is no study 'no such study'" in plain(page.warning)[0]


def test_a_reason_that_trials_share_is_shown_once_as_it_is(open_page, tmp_path):
    home = Home(tmp_path)
    home.make()
    put_mlflow_database(tmp_path)
    log = MlflowStore(home.tracking_uri).create_study("lost", study_tags("completed"), BEGAN, home.artifacts("lost"))
    shown = {"tracker.state": "failed", "tracker.reason": "error", "tracker.message": "<b>no</b> $1 $2"}
    for number in range(3):
        tags = {**RATE, **shown, "tracker.role": "trial", "tracker.trial": str(number), "tracker.attempts": "1"}
        run = log.run(f"#{number}", {"size": number}, tags, BEGAN)
        run.add({"accuracy": 0.5, "wall_seconds": 2.0, "price_usd": 0.00005}, step=1, timestamp=BEGAN + 2)
        run.end(TrialState.FAILED, BEGAN + 2)
        run.outbox.flush()
    page = open_page("lost", at=tmp_path)
    assert not page.exception
    assert {metric.label: metric.value for metric in page.metric}["Failed"] == "3"
    (row,) = page.table[0].value.to_dict("records")
    assert row["reason"].replace("\\", "") == "<b>no</b> $1 $2"
    assert row["which"].replace("\\", "") == "#0, #1, #2"


def test_a_coordinator_that_is_gone_is_reported_and_can_be_replaced(open_page, tmp_path):
    home = Home(tmp_path)
    home.make()
    folder = StudyFolder(home.study("lost"))
    folder.path.mkdir(parents=True)
    folder.save(StudyDocument("x", digits(name="lost")))
    put_mlflow_database(tmp_path)
    MlflowStore(home.tracking_uri).create_study("lost", study_tags("running"), BEGAN, home.artifacts("lost"))
    page = open_page("lost", at=tmp_path)
    assert not page.exception
    assert "its coordinator is gone" in plain(page.warning)[0]
    assert [button.key for button in page.button] == ["resume-now", "raise-now"]


def test_a_study_is_stopped_resumed_and_given_more_from_the_page(open_page, tmp_path):
    home, long = Home(tmp_path), {"epochs": 5000, "epoch_seconds": 0.2}
    put_mlflow_database(tmp_path)
    start_study(digits(settings=long, budget={"trials": 1}), home=tmp_path)

    def state():
        try:
            return standing(table_of(home, "digits"), home)
        except StudyNotFoundError:
            return ""

    wait_for(lambda: state() == "running" and len(table_of(home, "digits").checkpoints) > 1)
    page = open_page("digits", at=tmp_path)
    assert not page.exception
    assert table_with(page, "age_seconds")["label"].tolist() == ["#0"]
    assert "machine: " in page.code[0].value
    page.button(key="stop-now").click().run()
    assert "It was asked to stop" in plain(page.success)[0]
    wait_for(lambda: state() == "stopped")
    page.run()
    assert page.button(key="resume-now")
    page.number_input(key="raise-usd").set_value(-1.0)
    page.button(key="raise-now").click().run()
    assert "budget.usd: -1.0 is not a number of dollars above 0" in plain(page.error)[0]
    page.number_input(key="raise-usd").set_value(3.0)
    page.number_input(key="raise-trials").set_value(2)
    page.button(key="raise-now").click().run()
    assert "It runs in process" in plain(page.success)[0]
    wait_for(lambda: table_of(home, "digits").budget_usd == 3.0)
    wait_for((home.study("digits") / "trials/1/1.jsonl").exists)  # a trial is under way, so it can be stopped cleanly
    assert state() == "running"
    page.run()
    page.button(key="stop-now").click().run()
    wait_for(lambda: state() == "stopped")


def test_the_machines_of_a_cluster_are_shown_with_what_they_cost(open_page, two_studies_home):
    folder = Home(two_studies_home).study("six")
    folder.mkdir(parents=True)
    point = load_price_book().point("aws/m7i.large", Market.ON_DEMAND)
    times = NodeTimes(lambda _: point, folder)
    for number in range(3):
        time_ = times.of(Node(f"node-{number}", f"<b>10.0.0.{number}</b>", 2, 0, "", 2**33))
        time_.total_seconds, time_.trained_seconds, time_.provisioning_seconds = 3600.0, 1800.0, 60.0 * number
    times.save()
    page = open_page("six", two_studies_home)
    assert not page.exception
    shown = table_with(page, "address", "idle_usd")
    assert len(shown) == 3
    assert shown["address"].tolist()[0] == "<b>10.0.0.0</b>"
    assert shown[["provisioning_usd", "trained_usd", "idle_usd"]].sum(axis=1).tolist() == pytest.approx(shown["usd"])
    assert any(said.startswith("3 machines, ") and "idle" in said for said in plain(page.caption))
    page.session_state["machines-by"] = "by SKU"
    page.run()
    assert not page.exception
    (row,) = table_with(page, "machines", "idle_usd").to_dict("records")
    assert (row["machines"], row["sku"], row["hours"]) == (3, "aws/m7i.large", pytest.approx(3.0))
