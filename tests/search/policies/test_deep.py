"""A share of the dollars for trials that are trained to their end, whatever is forecast."""

from __future__ import annotations

import pytest

from tests.support.search_parts import EPOCHS, parts, reached, settings_of, trained
from tracker.search.policies.deep import DEEP_SHARE, Deep


def policy(built, seed=0):
    return Deep(built.knowledge, built.choices, seed)


def cost_usd(built, trial, epoch=EPOCHS):
    return reached(built.knowledge.trials[trial].settings, epoch)["price_usd"]


def test_no_trial_is_due_before_there_are_dollars_for_it():
    built = trained(epochs=1, count=4)
    assert policy(built).choose(built.asked()) is None
    assert policy(built).memory() == []


def test_a_trial_is_trained_to_its_end_and_its_dollars_stay_within_the_share():
    built = trained(epochs=4, count=60)
    deep, spent_usd = policy(built), built.knowledge.trials.spent_usd()
    taken = []
    while (decision := deep.choose(built.asked())) is not None:
        assert decision.trial in built.knowledge.waiting
        assert decision.until_usd is None, "to its end"
        taken.append(decision.trial)
        built.resume(decision.trial, 5, EPOCHS)
    assert taken
    assert deep.memory() == sorted(taken)
    deep_usd = sum(cost_usd(built, trial) for trial in taken)
    more_usd = sum(cost_usd(built, trial) - cost_usd(built, trial, 4) for trial in taken)
    assert deep_usd <= DEEP_SHARE * (spent_usd + more_usd) * 1.01


def test_it_must_fit_in_what_is_left():
    built = trained(epochs=4, count=60)
    assert policy(built).choose(built.asked(1e-4)) is None
    assert policy(built).choose(built.asked(1.0)) is not None


def test_the_trial_nearest_to_the_same_drawn_settings_stays_due_until_it_is_taken():
    built = trained(epochs=4, count=60)
    first, again = policy(built), policy(built)
    chosen = first.choose(built.asked(seed=1)).trial
    assert again.choose(built.asked(seed=2)).trial == chosen, "whatever a decision's own random numbers are"
    restored = policy(built)
    restored.recall(first.memory())
    assert restored.memory() == [chosen]


def test_settings_are_drawn_evenly_whatever_their_forecast():
    built = trained(epochs=2, count=80)
    asked = [policy(built, seed).choose(built.asked()) for seed in range(40)]
    widths = {built.knowledge.trials[decision.trial].settings["width"] for decision in asked if decision}
    assert len(widths) > 2, "the widest are too dear to be due yet"


def test_a_trial_whose_process_is_alive_may_take_the_last_dollars():
    def slow_to_start(settings, epoch):
        values = reached(settings, epoch)
        start_usd = 19 * reached(settings, 1)["price_usd"]
        seconds = 1e3 * (values["price_usd"] + start_usd)
        more = {"price_usd": values["price_usd"] + start_usd, "wall_seconds": seconds}
        return values | more | {"startup_seconds": 1e3 * start_usd}

    built = parts()
    for trial in range(60):
        built.train(trial, settings_of(8 * 2 ** (trial % 4), 10 ** (-3 + 2 * trial / 60)), 2, slow_to_start)
    built.ready()
    due = policy(built).choose(built.asked(1000.0)).trial
    facts = built.knowledge.trials[due]
    further_usd = built.choices.usd_to_depth(due, facts.last_depth, alive=True)
    assert further_usd < built.choices.usd_to_depth(due, facts.last_depth, alive=False) - 0.9 * facts.start_usd
    last_usd = 1.01 * further_usd
    assert policy(built).choose(built.asked(last_usd)) is None, "it would have to start again"
    decision = policy(built).choose(built.asked(last_usd, live_trial=due))
    assert decision.trial == due
    assert decision.expected_usd == pytest.approx(further_usd)
