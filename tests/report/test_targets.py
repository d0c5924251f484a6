"""The answers: cheapest for a quality, best for an amount, how sure, and what the next better one costs."""

from __future__ import annotations

import pytest

from tracker.records import Direction, QualityMetric
from tracker.report.axes import Axes
from tracker.report.axis_points import axis_points
from tracker.report.targets import best_under, budget_stops, cheapest_reaching, target_stops
from tracker.study.spec import Limit

HOUR = 3600 / 0.096  # seconds that cost one dollar


def repeated(by_hand, second=(0.70, 0.71, 0.72)):
    """Two trials on the frontier for $1 and $2, the second trained again: its qualities."""
    rows = [by_hand.trial(0, [0.60], [HOUR]), by_hand.trial(1, [0.75], [2 * HOUR])]
    for at, quality in enumerate(second):
        row, steps = by_hand.trial(1, [quality], [2 * HOUR])
        again = {"run_id": f"again-{at}", "role": "repeat"}
        rows.append(({**row, **again}, [{**step, **again} for step in steps]))
    return axis_points(by_hand.build(rows))


def test_the_cheapest_that_reaches_a_quality_is_named_with_its_price_and_the_next_better(small):
    answer = cheapest_reaching(axis_points(small), 0.55)
    assert answer.question == "Cheapest reaching accuracy 0.5500"
    assert answer.sentence == "Trial #0 after epoch 2, accuracy 0.6000 for $2.00."
    assert answer.next_better == "The next better is #2 e1: 0.7000 for $2.00 more; one more point costs $0.20 there."
    assert (answer.key, answer.run, answer.reached) == ("run-0@2", 2, True)
    assert "measured once" in answer.sure
    assert "tracker confirm docstrings" in answer.sure


def test_a_quality_that_was_met_exactly_is_reached(small):
    assert cheapest_reaching(axis_points(small), 0.6).key == "run-0@2"
    assert best_under(axis_points(small), 2.0).key == "run-0@2"


def test_where_nothing_reaches_it_the_best_there_is_and_its_price_are_reported(small):
    answer = cheapest_reaching(axis_points(small), 0.9)
    assert not answer.reached
    assert answer.sentence == (
        "No checkpoint reaches accuracy 0.9000; the best is trial #2 after epoch 1, accuracy 0.7000 for $4.00."
    )
    assert answer.key == "run-2@1"
    assert answer.next_better == "No checkpoint is better at any price."


def test_the_best_for_an_amount_and_that_nothing_costs_so_little(small):
    assert best_under(axis_points(small), 3.99).sentence == "Trial #0 after epoch 2, accuracy 0.6000 for $2.00."
    too_little = best_under(axis_points(small), 0.5)
    assert too_little.sentence == (
        "No checkpoint costs $0.50 or less; the cheapest is trial #0 after epoch 1, accuracy 0.5000 for $1.00."
    )
    assert not too_little.reached


def test_less_is_better_where_it_is_minimised(by_hand):
    rows = [by_hand.trial(0, [0.9, 0.5], [HOUR, 2 * HOUR]), by_hand.trial(1, [0.3], [3 * HOUR])]
    table = by_hand.build(rows, quality=QualityMetric("loss", Direction.MINIMIZE))
    answer = cheapest_reaching(axis_points(table), 0.5)
    assert answer.question == "Cheapest reaching loss 0.5000 or less"
    assert answer.key == "run-0@2"
    assert not cheapest_reaching(axis_points(table), 0.1).reached


def test_other_axes_are_reported_in_their_own_words_and_with_the_study_s_own_figures(small):
    answer = cheapest_reaching(axis_points(small, Axes(x="wall_seconds", y="validation_loss")), 0.41)
    assert answer.question == "Quickest reaching validation_loss 0.4100 or less"
    assert answer.sentence == (
        "Trial #0 after epoch 2, validation_loss 0.4000 for 20 h 50 min (accuracy 0.6000, $2.00)."
    )
    assert answer.sure == ""  # repeats are judged by price and quality


def test_what_is_outside_the_limits_answers_nothing(small, by_hand):
    limited = axis_points(by_hand.replaced(small, limits=(Limit("validation_loss", low=0.42),)))
    assert cheapest_reaching(limited, 0.55).sentence.startswith("Trial #1 after epoch 2, accuracy 0.5500")
    none = axis_points(by_hand.replaced(small, limits=(Limit("validation_loss", low=2.0),)))
    assert cheapest_reaching(none, 0.5).sentence == "No trial has reached a checkpoint within the study's limits yet."


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (0.69, "which includes 0.6900: it may miss it"),
        (0.60, "all of it at least as good as 0.6000"),
        (0.75, "all of it worse than 0.7500: its first run was lucky"),
    ],
)
def test_repeats_say_how_sure_a_target_is(by_hand, target, words):
    found = repeated(by_hand)
    answer = cheapest_reaching(found, target if target != 0.60 else 0.601)
    answer = answer if target != 0.60 else cheapest_reaching(found, 0.65)
    assert answer.key == "run-1@1"
    assert answer.sure.startswith("3 repeats: mean 0.7100, 95 % interval 0.6852 to 0.7348")
    assert "with a probability of" in answer.sure
    expected = words.replace("0.6000", "0.6500")
    assert expected in answer.sure


def test_a_tie_with_a_cheaper_point_is_reported(by_hand):
    answer = best_under(repeated(by_hand, second=(0.3, 0.6, 0.9)), 5.0)
    assert "A tie: it cannot be distinguished from the cheaper #0 e1" in answer.sure


def test_targets_and_budgets_to_choose_from_span_the_frontier(realistic, small):
    found = axis_points(realistic)
    targets, budgets = target_stops(found), budget_stops(found)
    assert len(targets) > 10
    assert targets[0] == pytest.approx(found.frontier["y"].iloc[0], rel=1e-3)
    assert targets[-1] == pytest.approx(found.frontier["y"].iloc[-1], rel=1e-3)
    assert budgets == sorted(budgets)
    assert cheapest_reaching(found, targets[-1]).reached
    assert all(best_under(found, budget).reached for budget in budgets)
    assert best_under(found, budgets[-1]).key == cheapest_reaching(found, targets[-1]).key
    assert len(target_stops(axis_points(small))) == 3


def test_a_study_without_a_checkpoint_says_so(empty):
    found = axis_points(empty)
    for answer in (cheapest_reaching(found, 0.5), best_under(found, 1.0)):
        assert answer.sentence == "No trial has reached a checkpoint yet."
        assert answer.key == ""
    assert target_stops(found) == budget_stops(found) == []
