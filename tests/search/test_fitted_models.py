"""When the models are fitted again, and the new trials that they forecast."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.search_parts import parts, reached, settings_of, trained
from tracker.search.fitted_models import FittedModels
from tracker.study.domains import Choices
from tracker.study.space import SearchSpace


def test_models_are_fitted_again_once_enough_more_is_known():
    built = trained(epochs=2, count=20)
    fitted, known = built.fitted, built.knowledge
    assert not fitted.refit()
    before, grown = fitted.outlook, known.observed
    built.resume(0, 3, 4)
    assert known.observed == grown + 1
    assert not fitted.refit(), "one more of forty teaches little"
    assert fitted.outlook is before
    for trial in (1, 2):
        built.resume(trial, 3, 4)
    assert fitted.refit()
    assert fitted.outlook is not before


def test_there_are_no_models_before_the_first_fit():
    fitted = FittedModels(trained().knowledge)
    assert not fitted.fitted
    with pytest.raises(AssertionError, match="never fitted"):
        _ = fitted.outlook
    assert fitted.refit()
    assert fitted.fitted


def test_the_cheapest_first_checkpoint_is_what_rungs_start_from():
    assert trained(epochs=2).fitted.cheapest_usd == pytest.approx(1e-4)


def test_models_know_what_was_observed():
    built = trained(epochs=4, count=24)
    few, many = (built.fitted.outlook.of_settings([settings_of(width)]) for width in (8, 64))
    assert few.cost_usd[0, 0] == pytest.approx(reached(settings_of(8), 1)["price_usd"], rel=0.2)
    assert many.cost_usd[0, 0] == pytest.approx(reached(settings_of(64), 1)["price_usd"], rel=0.2)


def test_new_trials_have_a_forecast_and_are_no_longer_new_once_taken():
    built = trained()
    settings, forecast = built.new.untried()
    assert len(settings) == len(forecast.depths) > 24
    assert built.new.cheapest_usd == forecast.cost_usd[:, 0].min()
    built.new.take(settings[5])
    left, again = built.new.untried()
    assert settings[5] not in left
    assert np.isin(again.cost_usd[:, 0], forecast.cost_usd[:, 0]).sum() >= len(settings) - 1


def test_the_last_combinations_of_a_small_space_are_all_offered_and_then_none():
    space = SearchSpace({"epochs": 16}, {"cpu": {"rate": Choices((0.01, 0.02)), "width": Choices((8, 16, 32))}})
    built, whole = parts(space), list(space.combinations())
    for trial, settings in enumerate(whole[:3]):
        built.train(trial, settings, 2)
    built.ready()
    assert built.new.untried()[0] == whole[3:]
    for settings in whole[3:]:
        built.new.take(settings)
    assert built.new.untried() is None
    assert built.new.cheapest_usd is None


def with_trials_elsewhere(outcome, messages, *, earlier=16, own=8):
    """Parts with trials of an ``earlier`` study, where trainings went by ``outcome``, and with ``own`` trials."""
    built = parts(notify=messages.append)
    for number in range(earlier):
        settings = settings_of(8 * 2 ** (number % 4), float(10 ** (-3 + 2 * ((5 * number) % 16) / 16)))
        built.knowledge.warm_start(settings, [(epoch, outcome(settings, epoch)) for epoch in range(1, 5)], "")
    for trial in range(own):
        built.train(trial, settings_of(8 * 2 ** (trial % 4), float(10 ** (-2.9 + 0.25 * trial))), 4)
    return built.ready()


def turned_round(settings, epoch):
    """As if the narrowest were the widest."""
    return reached({**settings, "width": 512 // settings["width"]}, epoch)


def test_trials_elsewhere_that_agree_with_the_study_s_own_stay_evidence():
    messages = []
    built = with_trials_elsewhere(reached, messages)
    assert len(built.knowledge.elsewhere) == 16
    assert not messages


def test_trials_elsewhere_that_do_not_agree_are_dropped_and_people_are_informed():
    messages = []
    built = with_trials_elsewhere(turned_round, messages)
    assert built.knowledge.elsewhere == []
    assert "what the earlier studies say of this study's 8 trials is off by" in messages[0]
    alone = with_trials_elsewhere(reached, [], earlier=0)
    for width in (8, 64):
        one, other = (each.fitted.outlook.of_settings([settings_of(width)]) for each in (built, alone))
        assert one.mean == pytest.approx(other.mean), "the models were fitted without them"
    built.knowledge.warm_start(settings_of(8, 0.05), [(1, reached(settings_of(8, 0.05), 1))], "")
    assert built.knowledge.elsewhere == [], "after a resume they are not asked again"


def test_too_few_trials_of_its_own_judge_nobody():
    messages = []
    built = with_trials_elsewhere(turned_round, messages, own=3)
    assert len(built.knowledge.elsewhere) == 16
    assert not messages
