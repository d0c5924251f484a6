"""Trials away from what was found, while the frontier stands still."""

from __future__ import annotations

import numpy as np

from tests.support.search_parts import EPOCHS, trained
from tracker.search.policies.explore import EXPLORE_SHARE, Explore


def answers(built, standstill, count=200, **options):
    policy = Explore(standstill, built.choices, built.candidates)
    return [policy.choose(built.asked(seed=seed, **options)) for seed in range(count)]


def test_while_the_frontier_moves_it_leaves_the_step_to_others():
    built = trained(epochs=EPOCHS, count=40)
    assert answers(built, built.standstill(0.5)) == [None] * 200


def test_while_it_stands_still_a_share_of_the_steps_starts_trials_all_over_the_space():
    built = trained(epochs=EPOCHS, count=40)
    taken = [each for each in answers(built, built.standing_still(0.5)) if each is not None]
    assert abs(len(taken) / 200 - EXPLORE_SHARE) < 0.15
    assert all(each.trial is None and each.until_usd == 0 for each in taken), "new trials, to a first checkpoint"
    assert all("has not moved" in each.why for each in taken)
    rates = np.log10([each.settings["rate"] for each in taken])
    assert {each.settings["width"] for each in taken} == {8, 16, 32, 64}
    assert np.histogram(rates, bins=4, range=(-3, -1))[0].min() > len(taken) / 12


def test_it_starts_none_where_no_trial_may_start_or_none_fits():
    built = trained(epochs=EPOCHS, count=40)
    assert answers(built, built.standing_still(0.5), 20, new_trials=False) == [None] * 20
    assert answers(built, built.standing_still(0.5), 20, left_usd=1e-9) == [None] * 20
