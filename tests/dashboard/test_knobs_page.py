"""The page Knobs, run without a browser."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import BEGAN, study_tags, write_run
from tracker.records import TrialState
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore


@pytest.fixture(scope="module")
def knobs_home(new_home):
    """A study of 24 trials, whose quality size decides; precision halves the price, and fp16 fails often."""
    home = Home(new_home())
    home.make()
    store = MlflowStore(f"sqlite:///{home.mlflow_database}")
    log = store.create_study("levers", study_tags("completed"), BEGAN, home.artifacts("levers"))
    for number in range(24):
        precision = ("fp32", "bf16", "fp16")[number % 3]
        size = 2 ** (number // 3)
        failed = precision == "fp16" and number % 2
        qualities = [] if failed else [0.5 + 0.04 * (number // 3), 0.55 + 0.04 * (number // 3)]
        state = TrialState.FAILED if failed else TrialState.COMPLETED
        seconds = size * (1.0 if precision == "fp32" else 0.5)
        write_run(log, f"#{number}", "trial", qualities, seconds, {"size": size, "precision": precision}, state)
    alike = store.create_study("alike", study_tags("completed"), BEGAN, home.artifacts("alike"))
    for number in range(3):
        write_run(alike, f"#{number}", "trial", [0.5, 0.6], 1.0, {"size": 1})
    store.create_study("started", study_tags("running"), BEGAN, home.artifacts("started"))
    return home.path


def words(elements):
    return " | ".join(each.value.replace("\\", "") for each in elements)


def table_with(page, column):
    return next(table.value for table in page.dataframe if column in table.value)


def test_what_moves_quality_and_price_is_said_and_shown(open_page, knobs_home):
    page = open_page("Knobs", at=knobs_home, study="levers")
    assert not page.exception and not page.error
    shown = words(page.caption)
    assert "Certain effects: size" in shown and "All knobs together explain" in shown
    both = table_with(page, "quality_share").set_index("knob")
    assert both["quality_share"].idxmax() == "size" and both["price_share"].idxmax() == "size"
    assert (both["quality_low"] <= both["quality_share"]).all()


def test_levers_slices_and_outcomes_are_reported(open_page, knobs_home):
    page = open_page("Knobs", at=knobs_home, study="levers")
    shown = words(page.markdown)
    assert (
        "precision = bf16 instead of fp32 (8 pairs): price no certain difference; quality no certain difference"
        in shown
    )
    levers = table_with(page, "lever").set_index("with")
    assert levers.loc["bf16", "pairs"] == 8 and levers.loc["bf16", "usd_ratio"] < 1
    assert "logs no metric by slice" in words(page.info)
    worst = table_with(page, "failure_rate").iloc[0]
    assert (worst["knob"], worst["value"], worst["failed"], worst["trials"]) == ("precision", "fp16", 4, 8)
    assert "4 of 8 trials with precision = fp16 failed (50 %, 95 % interval 22 % to 78 %)" in words(page.caption)


def test_the_map_has_a_target_and_its_knobs_are_chosen_in_the_link(open_page, knobs_home):
    page = open_page("Knobs", at=knobs_home, study="levers", knobx="precision", knoby="size", target="0.7")
    assert page.selectbox(key="view-knobx").value == "precision"
    assert page.number_input(key="view-target").value == 0.7
    cells = next(table.value for table in page.dataframe if list(table.value)[:2] == ["size", "precision"])
    reached = cells.dropna(subset="price_usd")
    assert set(reached["size"]) == {"16", "32", "64", "128"}
    page.selectbox(key="view-knobx").set_value("size").run()
    assert page.selectbox(key="view-knoby").options == ["precision"] and not page.exception
    page = open_page("Knobs", at=knobs_home, study="levers", knobx="no such knob", target="much")
    assert page.selectbox(key="view-knobx").value == "size" and page.number_input(key="view-target").value is None


def test_the_axes_are_chosen(open_page, knobs_home):
    page = open_page("Knobs", at=knobs_home, study="levers")
    page.multiselect(key="axes").set_value([]).run()
    assert not page.exception
    lines = table_with(page, "on_frontier")
    assert "size" not in lines and len(lines) == 20


@pytest.mark.parametrize("study", ["alike", "started"])
def test_a_study_without_knobs_says_what_to_do(open_page, knobs_home, study):
    page = open_page("Knobs", at=knobs_home, study=study)
    assert not page.exception
    assert "Every trial of this study has the same settings" in words(page.info)


def test_a_study_of_one_trial_and_few_trials_give_sentences(open_page, confirmed_home):
    for link in (
        {"at": confirmed_home, "study": "confirmed"},
        {"study": "just <started> $1 🦊"},
        {"study": "docstrings"},
    ):
        page = open_page("Knobs", **link)
        assert not page.exception and not page.error
