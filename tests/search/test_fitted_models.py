"""When the models are fitted again, and the new trials that they forecast."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.search_parts import EPOCHS, SPACE, parts, reached, settings_of, trained
from tracker.search.fitted_models import FittedModels
from tracker.study.domains import Choices, Range
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
    others = {name: Range(0.0, 1.0) for name in "abcd"}
    built = parts(SearchSpace(SPACE.fixed, {"cpu": {**SPACE.by_device["cpu"], **others}}))
    for trial in range(12):
        built.train(trial, built.knowledge.cube.draw(np.random.default_rng(trial)), 2)
    settings, forecast = built.ready().new.untried()
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


def test_settings_that_hardly_differ_from_tried_ones_are_the_same():
    built = trained(epochs=4, count=24)
    facts = list(built.knowledge.trials.values())
    tried = np.stack([each.point for each in facts])

    def nearby(width, rate):
        points = built.knowledge.cube.points([settings_of(width, rate)])
        return bool(built.fitted.outlook.nearby(points, tried)[0])

    width, rate = facts[5].settings["width"], facts[5].settings["rate"]
    rates = sorted(each.settings["rate"] for each in facts if each.settings["width"] == width)
    between = float(np.sqrt(rates[2] * rates[3]))
    assert nearby(width, 1.01 * rate)
    assert not nearby(width, between), "between two that were tried"


def test_new_trials_are_none_that_hardly_differ_from_tried_ones():
    built = trained(epochs=4, count=60)
    tried = np.stack([each.point for each in built.knowledge.trials.values()])
    settings, _ = built.new.untried()
    assert len(settings) > 5
    assert not built.fitted.outlook.nearby(built.knowledge.cube.points(settings), tried).any()
    drawn = [built.knowledge.cube.draw(np.random.default_rng(seed)) for seed in range(400)]
    assert built.fitted.outlook.nearby(built.knowledge.cube.points(drawn), tried).any(), "there are such settings"


def test_where_all_that_is_left_hardly_differs_it_is_tried_all_the_same():
    rates = tuple(float(rate) for rate in np.geomspace(1e-3, 1e-1, 60))
    space = SearchSpace({"epochs": EPOCHS}, {"cpu": {"rate": Choices(rates), "width": Choices((8, 16, 32, 64))}})
    built = parts(space)
    left = [(8, rates[1]), (64, rates[58])]
    settings = [settings_of(width, rate) for width in (8, 16, 32, 64) for rate in rates if (width, rate) not in left]
    for trial, each in enumerate(settings):
        built.train(trial, each, 1)
    built.ready()
    tried = np.stack([each.point for each in built.knowledge.trials.values()])
    found, forecast = built.new.untried()
    assert [(each["width"], each["rate"]) for each in found] == left
    assert len(forecast.depths) == 2
    assert built.fitted.outlook.nearby(built.knowledge.cube.points(found), tried).all()
