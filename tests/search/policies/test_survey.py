"""The first trials of a study: drawn evenly, and trained far enough to tell settings apart."""

from __future__ import annotations

import math

from tests.support.search_parts import EPOCHS, SPACE, parts, reached, settings_of, trained
from tracker.search.facts import Standing
from tracker.search.policies.survey import FIRST, SECOND, SECOND_AFTER, SURVEY_SHARE, Survey
from tracker.study.space import SearchSpace


def policy(built):
    return Survey(built.knowledge, built.choices, built.candidates)


def test_each_of_the_first_trials_is_trained_a_little_further_and_no_more():
    built = trained(epochs=1, count=FIRST.trials)
    survey, taken = policy(built), []
    while (decision := survey.choose(built.asked(100.0))) is not None:
        taken.append(decision.trial)
        facts = built.knowledge.trials[decision.trial]
        assert decision.until_usd < reached(facts.settings, FIRST.until(EPOCHS))["price_usd"] * 1.01
        built.resume(decision.trial, 2, int(FIRST.until(EPOCHS)))
    assert taken == list(range(FIRST.trials))


def test_new_trials_start_until_there_are_enough():
    built = trained(epochs=int(FIRST.until(EPOCHS)), count=FIRST.trials - 2)
    survey = policy(built)
    for trial in range(FIRST.trials - 2, FIRST.trials):
        decision = survey.choose(built.asked(100.0, seed=trial))
        assert decision.trial is None
        assert decision.until_usd == 0.0, "to its first checkpoint"
        built.train(trial, decision.settings, int(FIRST.until(EPOCHS)))
    assert survey.choose(built.asked(100.0)) is None


def test_a_running_trial_is_not_waited_for():
    built = trained(epochs=1, count=FIRST.trials)
    for trial in range(FIRST.trials - 1):
        built.knowledge.trials.stands(trial, Standing.RUNNING)
    assert policy(built).choose(built.asked(100.0)).trial == FIRST.trials - 1
    built.knowledge.trials.stands(FIRST.trials - 1, Standing.RUNNING)
    assert policy(built).choose(built.asked(100.0)) is None


def test_it_costs_at_most_its_share_of_the_dollars():
    built = trained(epochs=1, count=FIRST.trials)
    spent_usd = built.knowledge.trials.spent_usd()
    enough_usd = 4 * spent_usd / SURVEY_SHARE
    assert policy(built).choose(built.asked(enough_usd)) is not None
    assert policy(built).choose(built.asked(spent_usd)) is None


def after_the_first_round(more):
    """Parts with trials of 64 epochs: those that are surveyed, each at epoch 2, and some ``more``."""
    built = parts(SearchSpace({"epochs": 64}, SPACE.by_device))
    for trial in range(SECOND.trials + more):
        rate = float(10 ** (-3 + 2 * trial / (SECOND.trials + more)))
        built.train(trial, {**settings_of(8 * 2 ** (trial % 4), rate), "epochs": 64}, 2)
    return built.ready()


def test_the_second_round_waits_for_its_share_of_the_dollars():
    built = after_the_first_round(more=48)
    survey, spent_usd = policy(built), built.knowledge.trials.spent_usd()
    assert survey.choose(built.asked(1.01 * spent_usd * (1 / SECOND_AFTER - 1))) is None
    decision = survey.choose(built.asked(0.99 * spent_usd * (1 / SECOND_AFTER - 1)))
    assert decision.until_usd < reached(built.knowledge.trials[0].settings, SECOND.until(64))["price_usd"] * 1.01


def test_the_second_round_starts_at_once_where_dollars_are_not_limited():
    built, taken = after_the_first_round(more=2), []
    survey = policy(built)
    while (decision := survey.choose(built.asked(math.inf))) is not None:
        taken.append(decision.trial)
        built.resume(decision.trial, 3, int(SECOND.until(64)))
    assert sorted(taken) == [*range(SECOND.trials)]


def test_what_a_trial_cost_beyond_the_survey_is_not_the_survey_s():
    built = trained(epochs=EPOCHS - 1, count=FIRST.trials - 1)
    surveyed_usd = sum(facts.price_at(FIRST.until(EPOCHS)) for facts in built.knowledge.trials.values())
    assert surveyed_usd < 0.2 * built.knowledge.trials.spent_usd()
    step_usd = policy(built).choose(built.asked(100.0)).expected_usd
    fits_usd = (surveyed_usd + step_usd) / SURVEY_SHARE
    for factor, expected in ((1.2, True), (0.8, False)):
        found = policy(built).choose(built.asked(factor * fits_usd - built.knowledge.trials.spent_usd()))
        assert (found is not None) is expected


def test_without_new_trials_none_starts():
    built = trained(epochs=int(FIRST.until(EPOCHS)), count=FIRST.trials - 2)
    assert policy(built).choose(built.asked(100.0, new_trials=False)) is None


def test_trials_of_an_earlier_study_were_surveyed_there():
    built = parts()
    for index in range(FIRST.trials):
        settings = settings_of(8 * 2 ** (index % 4), 10 ** (-3 + 2 * index / FIRST.trials))
        built.knowledge.warm_start(settings, [(1, reached(settings, 1)), (2, reached(settings, 2))], "")
    built.knowledge.count_elsewhere(priced=True)
    built.train(0, settings_of(16), 1)
    assert policy(built.ready()).choose(built.asked(100.0)) is None


def test_where_trials_of_an_earlier_study_were_dropped_the_study_surveys_after_them():
    built = trained(epochs=int(FIRST.until(EPOCHS)), count=FIRST.trials)
    assert policy(built).choose(built.asked(100.0)) is None
    built.knowledge.drop_elsewhere(4)
    decision = policy(built).choose(built.asked(100.0))
    assert decision.trial is None
    assert "drawn evenly" in decision.why


def test_where_the_end_is_unknown_or_near_the_depth_is_still_given():
    assert FIRST.until(math.inf) == 2.0
    assert FIRST.until(1.0) == 1.0


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
    for trial in range(FIRST.trials):
        rate = 10 ** (-3 + 2 * trial / FIRST.trials)
        built.train(trial, settings_of(8 * 2 ** (trial % 4), rate), 1, slow_to_start)
    survey, asked = policy(built.ready()), built.asked(1000.0, live_trial=8)
    decision = survey.choose(asked)
    facts = built.knowledge.trials[8]
    assert decision.trial == 8
    assert decision.until_usd < slow_to_start(facts.settings, FIRST.until(EPOCHS))["price_usd"] * 1.01
