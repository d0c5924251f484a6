"""How much one study's hypervolume would scatter, from its halves; and differences of estimates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tracker.frontier.estimates import Estimate
from tracker.frontier.half_splits import (
    DEGREES,
    FEWEST_TRIALS,
    Corner,
    Payments,
    hypervolume_at,
    scatter_between_halves,
)
from tracker.frontier.pareto import hypervolume
from tracker.records import Direction

CORNER = Corner(0.0, 10.0, Direction.MAXIMIZE)


@pytest.fixture
def few_splits(monkeypatch):
    """An estimate of fewer splits is as unbiased, and quicker."""
    monkeypatch.setattr("tracker.frontier.half_splits.SPLITS", 40)


def random_search(seed, trials=40, steps=3):
    """Trials of a few checkpoints each, exchangeable: those of a random search."""
    generator = np.random.default_rng(seed)
    step_usd = generator.uniform(0.05, 0.5, trials)
    top = generator.beta(2, 3, trials)
    paid = np.repeat(step_usd, steps)
    price = (step_usd[:, None] * np.arange(1, steps + 1)).ravel()
    quality = (top[:, None] * (1 - np.exp(-np.arange(1, steps + 1)))).ravel()
    return Payments(np.repeat(np.arange(trials), steps), paid, quality, price)


def test_the_hypervolume_is_that_of_the_points_paid_for_by_then():
    paid = Payments(
        np.array([2, 0, 0, 1]),
        np.array([1.0, 1.0, 1.0, 2.0]),
        np.array([np.nan, 0.5, 0.6, 0.7]),
        np.array([np.nan, 1.0, 2.0, 2.0]),
    )
    found = hypervolume_at(paid, np.array([0.5, 1.0, 2.0, 3.5, 5.0, 99.0]), CORNER)
    of = [hypervolume(paid.quality[1:n], paid.price_usd[1:n], CORNER.direction, 0.0, 10.0) for n in (2, 3, 4)]
    assert list(found) == pytest.approx([0.0, 0.0, of[0], of[1], of[2], of[2]])


def test_the_scatter_between_halves_is_that_between_studies_of_a_random_search(few_splits):
    at_usd = np.array([1.0, 4.0])
    studies = [random_search(seed) for seed in range(200)]
    values = np.array([hypervolume_at(study, at_usd, CORNER) for study in studies])
    estimated = np.array([scatter_between_halves(study, at_usd, CORNER) for study in studies[:40]])
    true = values.std(axis=0, ddof=1)
    assert np.sqrt((estimated**2).mean(axis=0)) == pytest.approx(true, rel=0.25)
    means = values.mean(axis=0)
    inside = [
        abs(value - mean) <= Estimate(value, error, DEGREES).half_width
        for row, errors in zip(values[:40], estimated, strict=True)
        for value, mean, error in zip(row, means, errors, strict=True)
    ]
    assert np.mean(inside) >= 0.95


def test_more_than_half_of_the_spend_errs_on_the_wide_side(few_splits):
    studies = [random_search(seed) for seed in range(100)]
    spend = min(float(study.paid_usd.sum()) for study in studies)
    true = np.std([hypervolume_at(study, np.array([spend]), CORNER)[0] for study in studies], ddof=1)
    estimated = [scatter_between_halves(study, np.array([spend]), CORNER)[0] for study in studies[:20]]
    assert np.sqrt(np.mean(np.square(estimated))) > true


def test_of_few_trials_nothing_is_said():
    few = random_search(0, trials=FEWEST_TRIALS - 1)
    assert np.isnan(scatter_between_halves(few, np.array([0.1, 1.0]), CORNER)).all()


def test_a_large_study_is_judged_by_the_points_that_matter_as_if_by_all(monkeypatch):
    study = random_search(1, trials=900)
    at_usd = np.array([5.0, 50.0])
    thinned = scatter_between_halves(study, at_usd, CORNER)
    monkeypatch.setattr("tracker.frontier.half_splits._MANY", 10**9)
    monkeypatch.setattr("tracker.frontier.half_splits._CELLS", 10**9)
    assert thinned == pytest.approx(scatter_between_halves(study, at_usd, CORNER), rel=0.3)


def test_a_difference_has_welch_s_interval():
    first, second = [1.0, 1.2, 1.1], [1.5, 1.9, 1.6, 1.7]
    apart = Estimate.mean(second).minus(Estimate.mean(first))
    known = stats.ttest_ind(second, first, equal_var=False)
    assert apart.value == pytest.approx(np.mean(second) - np.mean(first))
    assert apart.degrees == pytest.approx(known.df)
    whole = Estimate(apart.value, apart.error, math.floor(apart.degrees))
    assert whole.half_width == pytest.approx(stats.t.ppf(0.975, math.floor(known.df)) * apart.error)


def test_of_one_value_or_none_that_scatter_there_is_no_interval():
    assert math.isnan(Estimate.mean([1.0]).half_width)
    assert math.isnan(Estimate.mean([1.0, 1.0]).half_width)
    assert math.isnan(Estimate.mean([1.0]).minus(Estimate.mean([1.0, 2.0])).half_width)
