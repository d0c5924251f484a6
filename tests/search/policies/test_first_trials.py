"""The first trials of a search, before there are models."""

from __future__ import annotations

import pytest

from tests.support.search_parts import EPOCHS, parts, reached, settings_of
from tracker.search.policies.first_trials import FIRST_TRIALS, FirstTrials
from tracker.search.policies.policy import Ending
from tracker.search.policies.survey import FIRST, SURVEY_SHARE
from tracker.search.tried import NONE_LEFT
from tracker.study.domains import Choices
from tracker.study.space import SearchSpace
from tracker.study.spec import Limit


def policy(built):
    return FirstTrials(built.knowledge, built.tried)


def test_trials_that_the_sampler_suggests_are_started_until_there_are_enough():
    built = parts()
    for trial in range(FIRST_TRIALS):
        decision = policy(built).choose(built.asked())
        assert (decision.trial, decision.settings, decision.until_usd) == (None, None, 0.0)
        assert decision.expected_gain is None, "nothing was forecast"
        built.train(trial, settings_of(8, 0.01 + trial / 1000), 1)
    assert policy(built).choose(built.asked()) is None


def test_more_are_started_while_none_has_a_checkpoint():
    built = parts()
    for trial in range(FIRST_TRIALS + 2):
        built.knowledge.register(trial, settings_of(8, 0.01 + trial / 1000))
    assert policy(built).choose(built.asked()) is not None
    assert policy(built).choose(built.asked(new_trials=False)) == Ending("no trial has a checkpoint to resume from")


def test_trials_of_earlier_studies_are_as_good_to_learn_from():
    built = parts()
    for trial in range(FIRST_TRIALS):
        built.knowledge.warm_start(settings_of(8, 0.01 + trial / 1000), [(1, reached(settings_of(8), 1))], "")
    assert policy(built).choose(built.asked()) is not None, "they were not judged yet"
    built.knowledge.count_elsewhere(priced=True)
    assert policy(built).choose(built.asked()) is None


def test_a_trial_whose_process_is_alive_is_trained_as_far_as_it_will_be_surveyed():
    built = parts()
    built.train(0, settings_of(8), 1)
    decision = policy(built).choose(built.asked(live_trial=0))
    assert decision.trial == 0
    assert 1e-4 < decision.until_usd < 1.001e-4, "to its next checkpoint, whatever that costs"
    assert decision.expected_usd == pytest.approx(1e-4)
    built.resume(0, 2, int(FIRST.until(EPOCHS)))
    assert policy(built).choose(built.asked(live_trial=0)).trial is None
    assert policy(built).choose(built.asked()).trial is None


def test_it_is_not_where_no_survey_asks_for_it_or_it_may_not_be_resumed():
    built = parts(limits=[Limit("peak_memory_bytes", high=1e6)])
    built.train(0, settings_of(8), 1, lambda *at: {**reached(*at), "peak_memory_bytes": 2e6})
    assert policy(built).choose(built.asked(live_trial=0)).trial is None, "it needs too much memory"
    built = parts()
    for trial in range(FIRST.trials):
        built.knowledge.warm_start(settings_of(8, 0.01 + trial / 1000), [(1, reached(settings_of(8), 1))], "")
    built.train(0, settings_of(8), 1)
    assert policy(built).stays(built.asked(live_trial=0)) is not None
    built.knowledge.count_elsewhere(priced=True)
    assert policy(built).stays(built.asked(live_trial=0)) is None, "earlier trials stand in for the survey"
    alone = parts()
    for trial in range(2):
        alone.train(trial, settings_of(8, 0.01 + trial / 1000), 1)
    alone.knowledge.drop_elsewhere(1)
    assert [policy(alone).stays(alone.asked(live_trial=trial)) is not None for trial in (0, 1)] == [False, True]


def test_it_is_not_where_that_would_cost_more_than_a_survey_s_share_of_the_dollars():
    built = parts()
    built.train(0, settings_of(8), 1)
    two_epochs_usd = 2e-4
    for factor, expected in ((1.01, 0), (0.99, None)):
        left_usd = factor * two_epochs_usd / SURVEY_SHARE - 1e-4
        assert policy(built).choose(built.asked(left_usd, live_trial=0)).trial == expected


def test_a_trial_is_expected_to_cost_the_median_and_the_cheapest_must_fit():
    built = parts()
    for trial, width in enumerate((8, 16, 64)):
        built.train(trial, settings_of(width), 1)
    assert policy(built).choose(built.asked()).expected_usd == pytest.approx(2e-4)
    assert policy(built).choose(built.asked(1.5e-4)).expected_usd == pytest.approx(1.5e-4)
    ending = policy(built).choose(built.asked(9e-5))
    assert ending == Ending("the cheapest step, to a first checkpoint for $0.0001, does not fit in $9e-05")


def test_a_space_that_ends_before_any_checkpoint_says_so():
    built = parts(SearchSpace({"epochs": 16}, {"cpu": {"rate": Choices((0.01,)), "width": Choices((8,))}}))
    built.knowledge.register(0, settings_of())
    built.new.take(settings_of())
    assert policy(built).choose(built.asked(new_trials=False)) == Ending(NONE_LEFT)
