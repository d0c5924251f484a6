"""What the search forecast, how far it came true, and what the next dollars would bring."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tests.support.decisions import forecast, write_decisions
from tracker.pricing.scenario import Scenario
from tracker.report.forecasts import forecasts, open_forecasts, quality_record
from tracker.report.more_money import FILE_NAME, curve_sentences, money_outlook, outlook_document, outlook_sentences
from tracker.runner.searchers import MEMORY_FILE
from tracker.store.home import Home

HOUR = 3600 / 0.096  # seconds that cost one dollar
STARTED = 1.7e9


@pytest.fixture
def paused(by_hand, tmp_path):
    """Two completed trials and a paused one, in a home of their own."""
    rows = [
        by_hand.trial(0, [0.50, 0.62], [1 * HOUR, 2 * HOUR]),
        by_hand.trial(1, [0.55, 0.58], [1 * HOUR, 2 * HOUR]),
        by_hand.trial(2, [0.52], [1 * HOUR], state="paused"),
    ]
    return by_hand.build(rows, home=tmp_path)


def test_forecasts_that_came_due_are_counted_inside_and_outside_their_range(paused, tmp_path):
    steps = [
        (STARTED, 0, "begin", forecast(0.60, (0.55, 0.65))),
        (STARTED, 1, "resume", forecast(0.70, (0.65, 0.75))),
        (STARTED, 2, "begin", forecast(0.64, (0.60, 0.68))),
    ]
    write_decisions(tmp_path, "docstrings", steps)
    record = quality_record(paused)
    assert (record.due, record.inside) == (2, 1)
    assert record.median_error == pytest.approx((0.02 - 0.12) / 2)
    assert open_forecasts(paused)["trial"].tolist() == [2]


def test_a_trial_that_ended_has_no_open_forecast_and_the_latest_one_counts(by_hand, paused, tmp_path):
    steps = [
        (STARTED, 2, "begin", forecast(0.60)),
        (STARTED + 1, 2, "resume", forecast(0.64, at_epoch=4.0)),
        (STARTED + 1, 1, "resume", forecast(0.99, at_epoch=9.0)),
    ]
    write_decisions(tmp_path, "docstrings", steps)
    assert open_forecasts(paused)[["trial", "at_epoch"]].to_numpy().tolist() == [[2, 4.0]]


def test_pauses_torn_lines_and_steps_without_a_forecast_are_passed_over(paused, tmp_path):
    steps = [(STARTED, 0, "pause", forecast(0.6)), (STARTED, 1, "begin", {"by": "start"})]
    path = write_decisions(tmp_path, "docstrings", [*steps, (STARTED, 2, "begin", forecast(0.6))])
    with path.open("a", encoding="utf-8") as file:
        file.write('{"time": 1, "trial": 3, "action": "begin", "numbers": {"expected_accuracy": 0.')
    assert forecasts(paused)["trial"].tolist() == [2]


def test_what_the_curves_suggest_of_a_quality_out_of_reach_is_the_best_open_forecast_and_its_range(paused, tmp_path):
    write_decisions(tmp_path, "docstrings", [(STARTED, 2, "begin", forecast(0.64, (0.60, 0.68), price_usd=3.0))])
    outlook = money_outlook(paused)
    (near,) = curve_sentences(outlook, paused, 0.66)
    assert "#2 after epoch 2: accuracy 0.6400 (nine of ten: 0.6000 to 0.6800) for $3.00 in all" in near
    assert near.endswith("1 of 1 ranges reach 0.6600.")
    (far,) = curve_sentences(outlook, paused, 0.9)
    assert far.endswith("no range reaches 0.9000.")
    spot = replace(paused, scenario=Scenario(name="spot"))
    assert " for $3.00 in all at the billed prices; " in curve_sentences(money_outlook(spot), spot, 0.66)[0]


def growing(by_hand, home, trials=40):
    """A study of one trial after another, each of $1, whose frontier grows all the time, with a forecast at each."""
    rows, steps = [], []
    for at in range(trials):
        began = STARTED + at * HOUR
        rows.append(by_hand.trial(at, [0.3 + 0.01 * at], [HOUR], started_at=began))
        steps.append((began + 1, at, "begin", forecast(0.5, at_epoch=1.0, rate=0.05)))
    write_decisions(home, "docstrings", steps)
    (Home(home).study("docstrings") / FILE_NAME).write_text(
        json.dumps({"reference": {"accuracy": 0.2, "price_usd": 10.0}}), encoding="utf-8"
    )
    return by_hand.build(rows, home=home)


def test_the_next_dollars_are_judged_by_what_followed_earlier_forecasts(by_hand, tmp_path):
    growth = money_outlook(growing(by_hand, tmp_path)).growth
    assert growth.next_usd == pytest.approx(4.0)  # a tenth of 40 trials of $1
    assert growth.forecast == pytest.approx(0.05 / 0.5 * 4.0)
    # A trial is done a dollar later; each $4 add 0.04 to an accuracy that was 0.1 to 0.45 above the corner.
    assert 30 <= growth.due <= 36
    assert growth.came == pytest.approx(0.04 / 0.28 / 0.4, rel=0.2)
    assert growth.came_low < growth.came < growth.came_high
    assert growth.expected == pytest.approx(growth.forecast * growth.came)
    # One decade of price lies between $1 and the corner at $10: the gain is the growth of an area of 0.49.
    assert growth.quality == pytest.approx(growth.expected * 0.49)


def test_the_outlook_says_the_forecast_the_record_and_what_is_likely(by_hand, tmp_path):
    table = growing(by_hand, tmp_path)
    outlook = money_outlook(table)
    first, second, *_ = outlook_sentences(outlook, table)
    assert "the search expects the next $4.00, a tenth of what the trials have cost" in first
    assert "by at most 40 %" in first
    assert f"of {outlook.growth.due} such forecasts that came due" in second
    assert "of accuracy more at every price" in second
    assert json.loads(json.dumps(outlook_document(outlook), allow_nan=False))["growth"]["due"] == outlook.growth.due


def test_a_young_record_corrects_nothing(by_hand, tmp_path):
    table = growing(by_hand, tmp_path, trials=4)
    growth = money_outlook(table).growth
    assert growth.due < 5
    assert math.isnan(growth.expected)
    assert any("too few" in each or "No such forecast has come due" in each
               for each in outlook_sentences(money_outlook(table), table))  # fmt: skip


def test_without_forecasts_or_under_a_scenario_it_says_that_it_is_not_known(small, by_hand, tmp_path):
    (said,) = outlook_sentences(money_outlook(small), small)
    assert said == (
        "Whether more money would help is not known: no forecast of the frontier's growth was recorded for this study."
    )
    spot = by_hand.replaced(growing(by_hand, tmp_path), scenario=Scenario(name="spot"))
    assert money_outlook(spot).growth is None
    assert "ask without a scenario" in outlook_sentences(money_outlook(spot), spot)[0]
    assert curve_sentences(money_outlook(small), small, 0.9)[0].endswith("no open forecast of a trial that could be"
                                                                         " trained further.")  # fmt: skip


def test_the_search_s_state_is_read_where_it_is_saved():
    assert FILE_NAME == MEMORY_FILE


def test_a_search_for_other_objectives_forecast_another_frontier(by_hand, tmp_path):
    table = growing(by_hand, tmp_path)
    saved = {"reference": {"accuracy": 0.2, "price_usd": 10.0, "wall_seconds": 1e6}}
    (Home(tmp_path).study("docstrings") / FILE_NAME).write_text(json.dumps(saved), encoding="utf-8")
    outlook = money_outlook(table)
    assert outlook.growth is None
    assert outlook.why_not == "the search had other objectives than quality and price"
