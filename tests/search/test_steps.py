"""Steps are any rising integers: how deep they are, where they end, and which settings are left."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tracker.records import Direction, QualityMetric
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import TrialFacts
from tracker.search.pace import Pace
from tracker.search.tried import MOST_LISTED, Tried
from tracker.study.domains import Choices, Range
from tracker.study.space import SearchSpace

ACCURACY = QualityMetric("accuracy", Direction.MAXIMIZE)
SPACE = SearchSpace({}, {"cpu": {"rate": Range(1e-3, 1e-1)}})


def facts_of(steps, settings=None, ends=None):
    facts = TrialFacts.of({"rate": 0.01, **(settings or {})}, UnitCube(SPACE), ends or Ends())
    for count, step in enumerate(steps, start=1):
        values = {"accuracy": 0.1 * count, "price_usd": 1.0 * count, "wall_seconds": 1.0 * count}
        facts.observe(step, values, ["accuracy"], ACCURACY)
    return facts


@pytest.mark.parametrize(
    ("steps", "depths"),
    [
        ((1, 2, 3), (1, 2, 3)),
        ((1, 2, 4, 8), (1, 2, 4, 8)),
        ((20, 40, 60), (1, 2, 3)),
        ((5, 10, 12), (1, 2, 2.4)),
        ((0, 250, 500), (1, 2, 3)),
        ((0, 1, 2), (1, 2, 3)),
        ((10**9, 2 * 10**9), (1, 2)),
    ],
)
def test_the_first_checkpoint_is_as_deep_as_1_whatever_steps_count(steps, depths):
    pace = Pace.of(*steps[:2])
    assert [pace.depth(step) for step in steps] == pytest.approx(depths)
    assert [pace.step(pace.depth(step)) for step in steps] == list(steps)
    facts = facts_of(steps)
    assert facts.depth == pytest.approx(depths[-1])
    assert facts.at(0).epoch == steps[0]


def test_levels_that_a_checkpoint_goes_beyond_are_filled_by_it():
    facts = facts_of((1, 250, 500))
    assert facts.level == 8
    assert [facts.at(level).epoch for level in range(9)] == [1, *[250] * 7, 500]
    assert sorted(facts.seen) == [0, 7, 8], "and count as one observation"


def test_costs_are_of_a_depth_of_one_more():
    assert facts_of((20, 40, 60)).further_costs[0] == pytest.approx(1.0)
    assert np.isfinite(facts_of((0, 250, 500)).further_costs[:2]).all()


def completed(ends, settings, steps):
    facts_of(steps, settings, ends).complete()
    return ends


def test_the_knob_says_the_last_step_as_long_as_no_trial_goes_beyond_it():
    ends = Ends()
    assert ends.of({}) == math.inf
    assert ends.of({"epochs": 3}) == 3
    assert facts_of((1, 2), {"epochs": 3}, ends).last_epoch == 3
    assert facts_of((20, 40), {"epochs": 3}, ends).last_epoch == math.inf
    assert ends.of({"epochs": 10}) == math.inf, "then it counts something else, whatever its value"


@pytest.mark.parametrize(
    ("epochs", "steps", "other", "last"),
    [
        (3, (20, 40, 60), 3, 60),
        (3, (20, 40, 60), 6, 120),
        (3, (0, 1, 2), 3, 2),
        (3, (0, 1, 2), 7, 6),
        (12, (5, 10), 12, 10),
        (12, (5, 10), 20, 20),
        (3, (1, 2, 3), 7, 7),
        (60, (1, 2, 3), 60, 60),  # it stopped early
        (60, (0, 1, 2), 60, 60),
        (None, (1, 250, 500), None, 500),
    ],
)
def test_where_a_trial_was_completed_tells_where_others_end(epochs, steps, other, last):
    ends = completed(Ends(), {} if epochs is None else {"epochs": epochs}, steps)
    assert ends.of({} if other is None else {"epochs": other}) == last


def test_one_that_goes_further_than_others_shows_that_they_stopped_early():
    ends = completed(Ends(), {}, (1, 2))
    assert ends.of({}) == 2
    assert facts_of((1, 2, 3), {}, ends).last_epoch == math.inf
    assert ends.of({}) == math.inf
    assert completed(ends, {}, (1, 2, 3, 4)).of({}) == 4


def test_what_the_study_says_counts_before_what_is_seen():
    assert completed(Ends(600), {"epochs": 3}, (20, 40, 60)).of({"epochs": 3}) == 600
    assert Ends("max_iters").of({"max_iters": 250, "epochs": 3}) == 250


def test_what_is_left_of_a_space_that_can_be_listed_is_known():
    space = SearchSpace(
        {"epochs": 3}, {"cpu": {"depth": Range(1, 2, integer=True), "share": Range(0.1, 0.3, step=0.1)}}
    )
    tried = Tried(space)
    assert len(tried.left) == 6
    tried.take({"device": "cpu", "epochs": 3, "depth": 2, "share": 0.1 + 0.1 * 2})  # 0.30000000000000004
    assert {"device": "cpu", "epochs": 3, "depth": 2, "share": 0.3} in tried
    assert len(tried.left) == 5
    for each in list(tried.left):
        tried.take(each)
    assert tried.all


@pytest.mark.parametrize(
    "domain", [Range(0.0, 1.0), Range(1, MOST_LISTED + 1, integer=True), Choices(tuple(range(10**5)))]
)
def test_a_space_without_an_end_or_a_huge_one_is_not_listed(domain):
    tried = Tried(SearchSpace({}, {"cpu": {"knob": domain}}))
    tried.take({"device": "cpu", "knob": 1})
    assert not tried.all
    assert tried.left == []
    assert {"device": "cpu", "knob": 1} in tried
