"""What forecasts are worth, and the choices that are made of them; the forecasts are made up here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.search_parts import EPOCHS, parts, settings_of, trained
from tracker.records import Direction
from tracker.search.budget import Allowance
from tracker.search.links import Link
from tracker.search.outcomes import Outcome
from tracker.search.outlook import Forecast
from tracker.search.trust import rungs

SCALE = Link.of(np.array([-3.0, 40.0]), Direction.MAXIMIZE)


def forecast(accuracy, cost_usd, *, deviation=0.0, sound=1.0, futures=(0.0,), price_usd=None):
    """Of n choices at J horizons: their accuracy and cost from now on, [n][J]."""
    mean, costs = np.array(accuracy)[:, :, None], np.array(cost_usd)
    count, horizons = costs.shape
    total = costs if price_usd is None else np.array(price_usd)
    return Forecast(
        depths=np.tile(2.0 ** np.arange(1, horizons + 1), (count, 1)),
        mean=SCALE.to(mean),
        deviation=np.full_like(mean, deviation),
        costs=np.stack([total] * 3, axis=2),
        cost_usd=costs,
        further_usd=costs[:, 0],
        prediction_usd=np.zeros(count),
        sound=np.full(costs.shape, sound),
        links=[SCALE],
        futures=np.array(futures)[:, None],
    )


@pytest.fixture
def built():
    """Two checkpoints on the frontier, of 0.5 for $0.01 and 0.7 for $0.1; the reference is 0.2 for $1."""
    found = parts(reference={"price_usd": 1.0, "accuracy": 0.2})
    found.knowledge.register(0, settings_of())
    for epoch, accuracy, price_usd in ((1, 0.5, 0.01), (2, 0.7, 0.1)):
        found.reached.add(found.knowledge.reached(0, epoch, {"accuracy": accuracy, "price_usd": price_usd}))
    found.knowledge.paused(0, 0.1)
    found.reached.freeze(found.knowledge.priced)
    return found


def test_a_sure_forecast_is_worth_what_its_checkpoint_will_add(built):
    added, _ = built.valuation.expected(forecast([[0.65]], [[0.05]]))
    assert added == pytest.approx(built.reached.add({"accuracy": 0.65, "price_usd": 0.05}))
    again, _ = built.valuation.expected(forecast([[0.65]], [[0.05]]))
    assert again == pytest.approx(0.0), "it is there by now"


def test_earlier_horizons_count_too_and_doubts_about_a_checkpoint_lower_it(built):
    added, _ = built.valuation.expected(forecast([[0.65, 0.6]], [[0.05, 0.09]]))
    assert added[0, 1] == pytest.approx(added[0, 0]), "the second horizon adds nothing of its own"
    doubted, _ = built.valuation.expected(forecast([[0.65, 0.6]], [[0.05, 0.09]], sound=0.25))
    assert doubted == pytest.approx(added / 4)


def test_uncertain_forecasts_are_worth_more_where_only_the_lucky_outcome_adds(built):
    lucky = forecast([[0.6]], [[0.1]], deviation=0.2, futures=(-1.0, 1.0))
    added, _ = built.valuation.expected(lucky)
    sure, _ = built.valuation.expected(forecast([[0.6]], [[0.1]]))
    assert sure == 0
    assert added > 0
    assert built.valuation.added_if(lucky, 1.0) == pytest.approx(2 * added), "one of its two outcomes adds"
    assert built.valuation.added_if(lucky, 0.0) == 0


def test_what_lies_on_the_frontier_is_as_near_as_1(built):
    _, near = built.valuation.expected(forecast([[0.7], [0.45], [0.9]], [[0.1], [0.02], [0.1]]))
    assert near[0] == pytest.approx(1.0)
    assert near[1] < 1 < near[2]


def test_rungs_are_doublings_of_what_the_cheapest_checkpoint_cost():
    assert rungs([0.5, 1.0, 1.9, 2.0, 8.0], 1.0).tolist() == [1, 1, 1, 2, 4]


@pytest.fixture(scope="module")
def fitted():
    return trained()


def test_a_choice_is_valued_at_its_best_horizon_that_fits(fitted):
    waiting = forecast([[0.5, 0.99], [0.5, 0.5]], [[1e-3, 2e-3], [1e-3, 2e-3]])
    late, soon = fitted.choices.to_resume([0, 4], waiting, Allowance(1.0))
    assert late.numbers["expected_cost_usd"] == 2e-3
    assert soon.numbers["expected_cost_usd"] == 1e-3
    assert late.gain_per_usd == pytest.approx(late.numbers["expected_gain"] / 2e-3)
    assert late.step_usd == 1e-3, "the step itself is the first horizon"
    (short, _) = fitted.choices.to_resume([0, 4], waiting, Allowance(1.5e-3))
    assert short.numbers["expected_cost_usd"] == 1e-3
    assert fitted.choices.to_resume([0, 4], waiting, Allowance(0.9e-3)) == []


def test_a_resumed_trial_goes_to_its_price_and_a_new_one_to_its_first_checkpoint(fitted):
    ahead = forecast([[0.5]], [[1e-3]])
    (resumed,) = fitted.choices.to_resume([0], ahead, Allowance(1.0))
    facts = fitted.knowledge.trials[0]
    assert facts.price_usd < resumed.until_usd < facts.price_usd + resumed.step_usd
    (new,) = fitted.choices.to_start([settings_of(64)], ahead, Allowance(1.0))
    assert (new.trial, new.rung, new.until_usd) == (None, 0, 0.0)


def test_a_step_to_the_end_of_its_training_has_no_price():
    built = trained(epochs=EPOCHS - 1)
    (choice,) = built.choices.to_resume([0], built.fitted.outlook.of_trials(built.knowledge.of([0])), Allowance(1.0))
    assert choice.until_usd is None


def test_gains_count_as_far_as_forecasts_at_their_rung_came_true():
    built = trained()
    ahead = forecast([[0.9]], [[1e-3]])
    (before,) = built.choices.to_resume([0], ahead, Allowance(1.0))
    for _ in range(30):
        built.trust.learn(Outcome(0, "any", before.rung, expected_gain=0.1, gain=0.0))
    (after,) = built.choices.to_resume([0], ahead, Allowance(1.0))
    assert after.gain_per_usd < 0.1 * before.gain_per_usd
    assert after.numbers["trust"] < 0.1
    assert after.step_gain == before.step_gain, "what is promised is the forecast itself"
    (new,) = built.choices.to_start([settings_of(64)], ahead, Allowance(1.0))
    assert new.numbers["trust"] == 1.0, "another rung"


def test_the_likely_interval_holds_the_expected_quality(fitted):
    (choice,) = fitted.choices.to_start([settings_of()], forecast([[0.6]], [[1e-3]], deviation=0.1), Allowance(1.0))
    numbers = choice.numbers
    assert numbers["likely_from"] < numbers["expected_accuracy"] < numbers["likely_to"]
    assert all(math.isfinite(value) for value in numbers.values())
