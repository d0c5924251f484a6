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
