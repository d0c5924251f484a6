"""The step of highest acquisition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.search_parts import EPOCHS, reached, trained
from tracker.search.policies.by_forecast import ByForecast


def policy(built):
    return ByForecast(built.knowledge, built.fitted, built.valuation, built.choices, built.new)


def test_no_other_step_is_expected_to_grow_the_hypervolume_as_much_per_dollar():
    built = trained(epochs=2, count=60)
    decision = policy(built).choose(built.asked())
    numbers = decision.numbers
    assert numbers["expected_gain_per_usd"] >= numbers["next_best_gain_per_usd"] > 0
    assert decision.expected_usd == numbers["expected_step_usd"]
    waiting = built.knowledge.waiting
    forecast = built.fitted.outlook.of_trials(built.knowledge.of(waiting))
    every = built.choices.to_resume(waiting, forecast, built.asked().allowance)
    assert numbers["expected_gain_per_usd"] >= max(choice.gain_per_usd for choice in every)


def test_only_paused_trials_are_resumed_where_no_new_ones_may_start():
    built = trained()
    assert policy(built).choose(built.asked(new_trials=False)).trial in built.knowledge.waiting


def test_nothing_is_chosen_that_does_not_fit():
    built = trained()
    assert policy(built).choose(built.asked(1e-6)) is None
    tight = policy(built).choose(built.asked(1.5e-4))
    assert tight.expected_usd <= 1.5e-4


def test_a_process_that_is_still_alive_costs_no_new_start():
    def outcome(settings, epoch):
        values = reached(settings, epoch)
        return {**values, "startup_seconds": 0.9 * values["wall_seconds"]}

    built = trained(epochs=1, count=8)
    built.train(8, {**built.knowledge.trials[0].settings, "rate": 0.012}, 1, outcome)
    built.ready()
    costs = [
        next(
            choice.step_usd
            for choice in policy(built)._to_resume(built.asked(live_trial=live_trial))
            if choice.trial == 8
        )
        for live_trial in (None, 8)
    ]
    assert costs[0] - costs[1] == pytest.approx(built.knowledge.trials[8].start_usd)


def test_the_live_trial_stays_where_a_dollar_brings_more_than_for_its_rival():
    built = trained(epochs=2, count=60)
    live = policy(built).choose(built.asked(new_trials=False)).trial
    alone = replace(built.asked(new_trials=False, live_trial=live), waiting=[live])
    stays = policy(built).stays(alone, 0.0)
    assert (stays.trial, stays.rung > 0) == (live, True)
    rate = stays.numbers["expected_gain_per_usd"]
    assert policy(built).stays(alone, 0.99 * rate) is not None
    assert policy(built).stays(alone, rate) is None
    assert policy(built).stays(replace(built.asked(1e-6), waiting=[live]), 0.0) is None, "it does not fit"


def test_where_nothing_is_expected_to_add_a_new_trial_explores():
    built = trained(epochs=2)
    built.reached.add({"accuracy": 5.0, "price_usd": 1e-9})
    decision = policy(built).choose(built.asked())
    assert decision.trial is None
    assert decision.why == "no step is expected to grow the hypervolume: explore"


def test_a_trial_at_its_end_is_not_among_the_choices():
    built = trained(epochs=2)
    built.resume(0, 3, EPOCHS)
    assert 0 not in [choice.trial for choice in policy(built)._to_resume(built.asked())]
