"""Promotions by rank, without a forecast."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.search_parts import reached, settings_of, trained
from tracker.search.policies.by_rank import RANK_SHARE, ByRank
from tracker.study.spec import Limit

ROUNDS = 200


def policy(built):
    return ByRank(built.knowledge, built.valuation, built.choices, built.candidates)


def answers(built, **options):
    rule = policy(built)
    return [rule.choose(built.asked(seed=seed, **options)) for seed in range(ROUNDS)]


def test_it_decides_a_share_of_the_steps():
    built = trained(epochs=1, count=16)
    taken = [decision for decision in answers(built) if decision]
    assert len(taken) / ROUNDS == pytest.approx(RANK_SHARE, abs=0.1)


def test_a_trial_that_none_beats_is_promoted_until_it_cost_four_times_as_much():
    built = trained(epochs=1, count=16)
    decision = next(each for each in answers(built) if each)
    here = reached(built.knowledge.trials[decision.trial].settings, 1)
    others = [reached(facts.settings, 1) for facts in built.knowledge.trials.values()]
    assert not any(other["accuracy"] > here["accuracy"] and other["price_usd"] < here["price_usd"] for other in others)
    assert decision.until_usd == pytest.approx(4 * here["price_usd"], rel=0.15)
    assert "ranks in the first quarter of 16 trials after epoch 1" in decision.why


def test_who_was_promoted_makes_room_and_then_new_trials_start():
    built, promoted = trained(epochs=1, count=16), []
    rule = policy(built)
    for seed in range(ROUNDS):
        decision = rule.choose(built.asked(seed=seed))
        if decision is None:
            continue
        if decision.trial is None:
            break
        promoted.append(decision.trial)
        epoch = built.knowledge.trials[decision.trial].epoch
        built.resume(decision.trial, epoch + 1, 4 * epoch)
    assert decision.settings not in [facts.settings for facts in built.knowledge.trials.values()]
    assert decision.why.startswith("no trial ranks high enough to be promoted; a new one, ")
    assert sorted(Counter(promoted).values()) == [1, 1, 1, 2], "a quarter of 16, and a quarter of these once more"
    assert not any(answers(built, new_trials=False)), "nothing else ranks high enough"


def test_what_does_not_fit_is_not_promoted():
    built = trained(epochs=1, count=16)
    assert not any(answers(built, left_usd=1e-5))


def test_a_trial_beyond_a_limit_ranks_behind_all_others():
    def outcome(settings, epoch):
        return {**reached(settings, epoch), "recall": settings["width"] / 100}

    built = trained(epochs=1, count=4, limits=[Limit("recall", low=0.3)])
    for trial in range(4, 20):
        built.train(trial, settings_of(8 * 2 ** (trial % 4), 0.002 + trial / 1000), 1, outcome)
    built.ready()
    promoted = [decision.trial for decision in answers(built, new_trials=False) if decision]
    assert promoted
    assert {built.knowledge.trials[trial].settings["width"] for trial in promoted} <= {32, 64}
    assert min(promoted) >= 4, "the first four did not report it"


def test_ranks_are_worked_out_anew_once_the_given_reference_is_beaten():
    built = trained(epochs=1, count=16, reference={"price_usd": 1.0, "accuracy": 0.75})
    rule = policy(built)
    assert any(rule.choose(built.asked(seed=seed)) for seed in range(20))
    built.reached.add({"accuracy": 0.9, "price_usd": 1e-3})
    for trial in range(16, 24):
        settings = settings_of(8, 0.01 + trial / 1e5)
        built.train(trial, settings, 1, lambda *at: {**reached(*at), "accuracy": 0.3, "price_usd": 1e-4})
    built.ready()
    assert {decision.trial for seed in range(20) if (decision := rule.choose(built.asked(seed=seed)))} == {16}
