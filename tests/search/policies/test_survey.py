"""The first trials of a study: drawn evenly, and trained far enough to tell settings apart."""

from __future__ import annotations

import math

from tests.support.search_parts import EPOCHS, parts, reached, settings_of, trained
from tracker.search.facts import Standing
from tracker.search.policies.survey import SURVEY_SHARE, SURVEYED, Survey, surveyed_depth


def policy(built):
    return Survey(built.knowledge, built.choices, built.candidates)


def test_each_of_the_first_trials_is_trained_a_third_of_the_way_and_no_further():
    built = trained(epochs=1, count=SURVEYED)
    survey, taken = policy(built), []
    while (decision := survey.choose(built.asked(100.0))) is not None:
        taken.append(decision.trial)
        facts = built.knowledge.trials[decision.trial]
        assert decision.until_usd < reached(facts.settings, surveyed_depth(EPOCHS))["price_usd"] * 1.01
        built.resume(decision.trial, 2, int(surveyed_depth(EPOCHS)))
    assert taken == list(range(SURVEYED))


def test_new_trials_start_until_there_are_enough():
    built = trained(epochs=int(surveyed_depth(EPOCHS)), count=SURVEYED - 2)
    survey = policy(built)
    for trial in range(SURVEYED - 2, SURVEYED):
        decision = survey.choose(built.asked(100.0, seed=trial))
        assert decision.trial is None
        assert decision.until_usd == 0.0, "to its first checkpoint"
        built.train(trial, decision.settings, int(surveyed_depth(EPOCHS)))
    assert survey.choose(built.asked(100.0)) is None


def test_a_running_trial_is_not_waited_for():
    built = trained(epochs=1, count=SURVEYED)
    for trial in range(SURVEYED - 1):
        built.knowledge.trials.stands(trial, Standing.RUNNING)
    assert policy(built).choose(built.asked(100.0)).trial == SURVEYED - 1
    built.knowledge.trials.stands(SURVEYED - 1, Standing.RUNNING)
    assert policy(built).choose(built.asked(100.0)) is None


def test_it_costs_at_most_its_share_of_the_dollars():
    built = trained(epochs=1, count=SURVEYED)
    spent_usd = built.knowledge.trials.spent_usd()
    enough_usd = 4 * spent_usd / SURVEY_SHARE
    assert policy(built).choose(built.asked(enough_usd)) is not None
    assert policy(built).choose(built.asked(spent_usd)) is None


def test_without_new_trials_none_starts():
    built = trained(epochs=int(surveyed_depth(EPOCHS)), count=SURVEYED - 2)
    assert policy(built).choose(built.asked(100.0, new_trials=False)) is None


def test_trials_of_an_earlier_study_were_surveyed_there():
    built = parts()
    for index in range(SURVEYED):
        settings = settings_of(8 * 2 ** (index % 4), 10 ** (-3 + 2 * index / SURVEYED))
        built.knowledge.warm_start(settings, [(1, reached(settings, 1)), (2, reached(settings, 2))], "")
    built.train(0, settings_of(16), 1)
    assert policy(built.ready()).choose(built.asked(100.0)) is None


def test_where_the_end_is_unknown_or_near_the_depth_is_still_given():
    assert surveyed_depth(math.inf) == 2.0
    assert surveyed_depth(1.0) == 1.0


def test_a_process_that_is_still_alive_is_kept_and_pays_no_new_start():
    def slow_to_start(settings, epoch):
        values = reached(settings, epoch)
        start_usd = 19 * reached(settings, 1)["price_usd"]
        seconds = 1e3 * (values["price_usd"] + start_usd)
        return values | {
            "price_usd": values["price_usd"] + start_usd,
            "wall_seconds": seconds,
            "startup_seconds": 1e3 * start_usd,
        }

    built = parts()
    for trial in range(SURVEYED):
        rate = 10 ** (-3 + 2 * trial / SURVEYED)
        built.train(trial, settings_of(8 * 2 ** (trial % 4), rate), 1, slow_to_start)
    survey, asked = policy(built.ready()), built.asked(1000.0, live_trial=8)
    decision = survey.choose(asked)
    facts = built.knowledge.trials[8]
    assert decision.trial == 8
    assert decision.until_usd < slow_to_start(facts.settings, surveyed_depth(EPOCHS))["price_usd"] * 1.01
