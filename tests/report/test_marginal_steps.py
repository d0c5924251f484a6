"""A frontier as steps: what each costs, which are the best buys, and after which one it stops paying."""

from __future__ import annotations

import pytest

from tracker.records import Direction, QualityMetric
from tracker.report.axis_points import axis_points
from tracker.report.marginal_steps import best_buys, knee, marginal_steps, step_sentences

HOUR = 3600 / 0.096  # seconds that cost one dollar


def frontier_of(by_hand, points, direction=Direction.MAXIMIZE):
    """A study of trials that each reached one point: quality, price in USD."""
    rows = [by_hand.trial(at, [quality], [usd * HOUR]) for at, (quality, usd) in enumerate(points)]
    return axis_points(by_hand.build(rows, quality=QualityMetric("accuracy", direction)))


@pytest.fixture
def kneed(by_hand):
    """Steep until $2, flat beyond it; the point at $3 is below the line between its neighbours."""
    return frontier_of(by_hand, [(0.50, 1.0), (0.80, 2.0), (0.801, 3.0), (0.82, 8.0)])


def test_each_step_has_what_it_adds_and_what_a_point_of_it_costs(kneed):
    steps = marginal_steps(kneed)
    assert steps["more_quality"].tolist() == pytest.approx([0.30, 0.001, 0.019])
    assert steps["more_cost"].tolist() == pytest.approx([1.0, 1.0, 5.0])
    assert steps["cost_per_step"].tolist() == pytest.approx([1 / 30, 10.0, 5 / 1.9])
    assert steps["best_buy"].tolist() == [True, False, True]
    assert steps["from_trial"].tolist() == [0, 1, 2]


def test_between_best_buys_a_point_costs_more_and_more(by_hand, realistic):
    found = axis_points(realistic)
    kept = found.frontier[best_buys(found)]
    per_point = (kept["x"].diff() / kept["y"].diff()).dropna()
    assert per_point.is_monotonic_increasing
    assert len(per_point) >= 2
    assert best_buys(frontier_of(by_hand, [(0.5, 1.0)])).tolist() == [True]


def test_it_stops_paying_at_the_knee_and_the_rule_is_named(kneed):
    end = knee(kneed)
    assert kneed.frontier["trial"].iloc[end.at] == 1
    assert (end.before, end.beyond) == pytest.approx((1 / 30, 3.0))
    last = step_sentences(kneed)[-1]
    assert last.startswith("It stops paying after #1 e1, accuracy 0.8000 for $2.00: up to there $0.0333 a point,")
    assert "beyond it $3.00, 90 times as much" in last
    assert "Kneedle" in last


def test_the_steps_read_as_the_question_asks(kneed):
    first, step, *_ = step_sentences(kneed)
    assert first == "It starts at accuracy 0.5000 for $1.00, by #0 e1."
    assert step == "0.5000 → 0.8000 costs $1.00 more, $0.0333 a point: #1 e1 for $2.00"


def test_a_frontier_that_pays_more_and_more_stops_nowhere(by_hand):
    rising = frontier_of(by_hand, [(0.50, 1.0), (0.51, 2.0), (0.90, 3.0)])
    assert knee(rising) is None
    assert step_sentences(rising)[-1].startswith("It stops paying nowhere: no point lies above the line")


def test_two_points_and_one_are_no_knee(by_hand):
    two = frontier_of(by_hand, [(0.5, 1.0), (0.6, 2.0)])
    assert knee(two) is None
    assert step_sentences(two)[-1] == "Two points do not show where it stops paying."
    assert "single point" in step_sentences(frontier_of(by_hand, [(0.5, 1.0)]))[-1]


def test_where_less_is_better_steps_go_down(by_hand):
    found = frontier_of(by_hand, [(0.9, 1.0), (0.4, 2.0), (0.39, 8.0)], Direction.MINIMIZE)
    assert marginal_steps(found)["more_quality"].tolist() == pytest.approx([0.5, 0.01])
    assert found.frontier["trial"].iloc[knee(found).at] == 1


def test_of_many_steps_only_the_best_buys_are_read_out(realistic):
    found = axis_points(realistic)
    assert len(found.frontier) > 12
    sentences = step_sentences(found)
    assert len(sentences) == int(best_buys(found).sum()) - 1 + 3
    assert "are left out" in sentences[1]
