"""The last resort: what is paused where others ended, or why there is no step."""

from __future__ import annotations

import math

import pytest

from tests.support.search_parts import EPOCHS, parts, reached, settings_of, trained
from tracker.records import TrialState
from tracker.search.policies.policy import Ending
from tracker.search.policies.to_the_end import ToTheEnd
from tracker.search.tried import NONE_LEFT
from tracker.study.domains import Choices
from tracker.study.space import SearchSpace


def policy(built):
    return ToTheEnd(built.knowledge, built.fitted, built.new, built.tried)


def outcome(settings, epoch):
    values = reached(settings, epoch)
    return {**values, "startup_seconds": 0.5 * values["wall_seconds"]}


def test_a_trial_that_is_paused_where_others_ended_is_finished():
    built = trained(epochs=2)
    built.train(12, settings_of(), EPOCHS, outcome)
    decision = policy(built).choose(built.asked())
    assert (decision.trial, decision.until_usd, decision.past_its_end) == (12, None, True)
    assert decision.expected_usd == pytest.approx(built.knowledge.trials[12].start_usd) == pytest.approx(5e-5)
    assert "it is paused after epoch 16, where others ended" in decision.why
    assert isinstance(policy(built).choose(built.asked(4e-5)), Ending), "its start does not fit"


def test_the_cheapest_step_is_said_where_none_fits():
    built = trained(epochs=2)
    ending = policy(built).choose(built.asked(1e-6))
    assert ending.why.startswith("no step fits in the $1e-06 left: the cheapest is expected to cost $")
    cheapest = built.fitted.outlook.of_trials(built.knowledge.of(built.knowledge.waiting)).cost_usd[:, 0].min()
    assert policy(built).choose(built.asked(1e-6, new_trials=False)).why.endswith(f"${cheapest:.4g}")


def test_a_study_whose_trials_have_all_ended_says_so():
    built = trained(epochs=2)
    for trial in built.knowledge.waiting:
        built.knowledge.ended(trial, TrialState.STOPPED, 1e-3)
    assert policy(built).choose(built.asked(new_trials=False)) == Ending("every trial has ended")


def test_a_space_of_which_every_combination_was_tried_says_so():
    space = SearchSpace({"epochs": EPOCHS}, {"cpu": {"rate": Choices((0.01,)), "width": Choices((8, 16))}})
    built = parts(space)
    for trial, settings in enumerate(space.combinations()):
        built.train(trial, settings, 2)
    built.ready()
    for trial in (0, 1):
        built.knowledge.ended(trial, TrialState.STOPPED, 1e-3)
    assert policy(built).choose(built.asked(math.inf, new_trials=False)) == Ending(NONE_LEFT)
