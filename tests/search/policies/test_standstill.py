"""How long the frontier has stood still."""

from __future__ import annotations

import pytest

from tests.support.search_parts import EPOCHS, reached, settings_of, trained
from tracker.search.policies.standstill import PATIENCE, Standstill

SHARE = 0.001


def test_a_frontier_that_is_seen_for_the_first_time_has_just_moved():
    built = trained(epochs=EPOCHS, count=40)
    standstill = built.standstill(SHARE)
    assert standstill.usd is None
    assert standstill.memory() == {"usd": pytest.approx(built.knowledge.trials.spent_usd())}


def test_it_stands_still_once_a_share_of_the_spend_brought_nothing():
    built = trained(epochs=EPOCHS, count=40)
    standstill = built.standstill(SHARE)
    before_usd = built.knowledge.trials.spent_usd()
    seen = []
    for trial in range(40, 120):
        built.train(trial, settings_of(8, 0.001 + 1e-6 * trial), EPOCHS)
        standstill.look()
        spent_usd = built.knowledge.trials.spent_usd()
        long = spent_usd - before_usd >= PATIENCE * spent_usd
        assert standstill.usd == (pytest.approx(spent_usd - before_usd) if long else None)
        seen.append(long)
    assert seen[0] is False
    assert seen[-1] is True


def test_it_moves_again_with_what_is_found():
    built = trained(epochs=EPOCHS, count=40)
    standstill = built.standing_still(SHARE)
    assert standstill.usd is not None
    best = {**reached(settings_of(8), 1), "accuracy": 0.99}
    built.knowledge.register(40, settings_of(8, 0.05))
    assert built.reached.add(built.knowledge.reached(40, 1, best)) > SHARE * built.valuation.hypervolume
    standstill.look()
    assert standstill.usd is None


def test_few_trials_do_not_stand_still():
    built = trained(epochs=EPOCHS, count=10)
    assert built.standing_still(SHARE).usd is None


def test_what_is_remembered_is_restored_though_the_hypervolume_is_measured_anew():
    built = trained(epochs=EPOCHS, count=40)
    known = built.standing_still(SHARE)
    built.reached.add({**reached(settings_of(8), 1), "accuracy": 0.99})
    again = Standstill(built.knowledge, built.valuation, SHARE)
    again.recall(known.memory())
    again.look()
    assert again.usd == known.usd is not None
