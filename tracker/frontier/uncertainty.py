"""How certain a frontier is, from points that were trained again with other seeds; in numpy only.

A frontier is selected for high values, so its points were lucky: the measurement that put a point there overstates it
(the optimizer's curse: Smith and Winkler 2006, Management Science 52). Its repeats were not selected. A point with at
least two repeats is therefore judged by them alone, and one with a single repeat by both measurements.

Qualities are taken to scatter as ``spread`` says; prices by their logarithm and all alike, for a machine that is slow
is slow in proportion. With a flat prior on the means, a mean given the data is Student's t around the average of its n
measurements, with scale deviation / sqrt(n) (Gelman et al. 2013, Bayesian Data Analysis, 3.2).
The interval is that distribution's central 95 %; frontiers of means drawn from it say how probable each point is. A
point that no repeat reached is held at its one measurement: of hundreds of single measurements with noise drawn
upon them, the luckiest would beat everything. It does not compete where its trial was repeated until an earlier epoch:
it has the luck of its own run, in which that epoch beat it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.frontier.pareto import frontier_mask
from tracker.frontier.spread import Floats, Spread, spread_of
from tracker.records import Direction

DRAWS = 10_000
"""Frontiers drawn; the standard error of a probability is at most 0.005."""
CLEAR = 2
"""Half-widths of their intervals that two points must be apart, each, for the worse one to be left out of the draws."""
_CELLS = 2_000_000
"""Of draws times points that are worked on at once: 16 MB an array."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements of n points: one original run and m repeats.

    ``quality`` and ``price_usd`` are [n, 1 + m], NaN where a run did not reach the point; of the points of one trial
    a column is one run. ``trial`` [n] tells which trial a point is of.
    """

    quality: Floats
    price_usd: Floats
    trial: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.quality.shape
        if len(shape) != 2 or shape[1] < 1 or self.price_usd.shape != shape or self.trial.shape != shape[:1]:
            given = f"quality {shape}, price {self.price_usd.shape} and trial {self.trial.shape}"
            raise ValueError(f"{given} are not of shapes [n, 1 + m], [n, 1 + m] and [n]")
        if not np.isfinite(self.quality[:, 0]).all() or not np.isfinite(self.price_usd[:, 0]).all():
            raise ValueError("every point needs an original measurement: a finite quality and price in column 0")
        if (self.price_usd <= 0).any():
            raise ValueError(f"every price must be above zero; the lowest given is {np.nanmin(self.price_usd)}")

    @property
    def repeats(self) -> NDArray[np.int64]:
        """The number of repeats that reached each point, [n]."""
        counts: NDArray[np.int64] = np.isfinite(self.quality[:, 1:]).sum(axis=1, dtype=np.int64)
        return counts

    def judged_by(self, values: Floats) -> Floats:
        """``values`` [n, 1 + m] without the original of the points that have at least two repeats."""
        kept = np.where(np.isfinite(self.quality), values, np.nan)
        kept[self.repeats >= 2, 0] = np.nan
        return kept


@dataclass(frozen=True, slots=True)
class Certainty:
    """What is known of n points; every array is [n].

    ``quality_low`` and ``quality_high`` bound the 95 % interval of the mean quality, ``quality_error`` is the mean's
    standard error and ``quality_degrees`` that error's degrees of freedom, and ``probability`` is that of being on the
    frontier; NaN, and 0 degrees, where no point has a repeat. ``price_mean_usd`` is the geometric mean. ``tied_with``
    is the index of the next cheaper point of the frontier where the qualities of the two cannot be distinguished: buy
    the cheaper one; -1 elsewhere.
    """

    repeats: NDArray[np.int64]
    quality_mean: Floats
    quality_low: Floats
    quality_high: Floats
    quality_error: Floats
    quality_degrees: NDArray[np.int64]
    price_mean_usd: Floats
    probability: Floats
    tied_with: NDArray[np.int64]


def certainty(measured: Measurements, on_frontier: ArrayLike, direction: Direction, seed: int = 0) -> Certainty:
    """How sure each of n points is; ``on_frontier`` [n] is True for the points of the frontier as first measured.

    ``seed`` is that of the DRAWS frontiers. Hand in all points that might belong to the frontier: those that were
    never repeated compete too. Raises ValueError where shapes differ.
    """
    qualities, logs = (measured.judged_by(values) for values in (measured.quality, np.log(measured.price_usd)))
    count = np.isfinite(qualities).sum(axis=1).astype(np.float64)
    mean, log_price = np.nanmean(qualities, axis=1), np.nanmean(logs, axis=1)
    spread = spread_of(qualities, measured.trial)
    half = spread.half_width(count)
    on = np.asarray(on_frontier, dtype=np.bool_)
    if on.shape != mean.shape:
        raise ValueError(f"on_frontier {on.shape} must tell of each of the {len(mean)} points")
    sign = 1.0 if direction == Direction.MAXIMIZE else -1.0
    probability = np.full(mean.shape, np.nan)
    if spread.is_known:
        spreads = (spread, spread_of(logs, measured.trial, alike=True))
        generator = np.random.default_rng(seed)
        probability = _probability((sign * mean, log_price), spreads, count, measured, on, generator)
    return Certainty(
        repeats=measured.repeats,
        quality_mean=mean,
        quality_low=mean - half,
        quality_high=mean + half,
        quality_error=spread.deviation / np.sqrt(count),
        quality_degrees=spread.degrees,
        price_mean_usd=np.exp(log_price),
        probability=probability,
        tied_with=_ties(mean, count, spread, measured, on),
    )


def _probability(
    means: tuple[Floats, Floats],
    spreads: tuple[Spread, Spread],
    count: Floats,
    measured: Measurements,
    on_frontier: NDArray[np.bool_],
    generator: np.random.Generator,
) -> Floats:
    """The share of drawn frontiers that each point is on, its gain and log price being ``means`` [n]."""
    gain, log_price = means
    repeated = measured.repeats > 0
    once = ~repeated & (on_frontier | ~np.isin(measured.trial, measured.trial[repeated]))
    candidates = repeated.copy()  # of those measured once, only the ones that none of them dominates can matter
    candidates[once] = frontier_mask(gain[once], np.exp(log_price[once]), Direction.MAXIMIZE)
    at = np.flatnonzero(candidates)
    count = np.where(repeated, count, np.inf)
    at = at[~_clearly_beaten([mean[at] for mean in means], [spread.half_width(count)[at] for spread in spreads])]
    count = count[at]
    trial = np.unique(measured.trial[at], return_inverse=True)[1]
    hits = np.zeros(len(at))
    step = max(1, _CELLS // len(at))
    for begin in range(0, DRAWS, step):
        draws = min(step, DRAWS - begin)
        gains, prices = (
            mean[at] + _errors(spread, at, trial, draws, generator) / np.sqrt(count)
            for mean, spread in zip(means, spreads, strict=True)
        )
        hits += _on_frontier(gains, prices).sum(axis=0)
    probability = np.zeros(gain.shape)
    probability[at] = hits / DRAWS
    return probability


def _clearly_beaten(means: Sequence[Floats], halves: Sequence[Floats]) -> NDArray[np.bool_]:
    """Which points another one beats in gain and in price even where both are CLEAR half-widths off in its favour."""
    (gain, price), (gain_half, price_half) = means, (CLEAR * half for half in halves)
    better = (gain - gain_half)[None, :] > (gain + gain_half)[:, None]
    cheaper = (price + price_half)[None, :] < (price - price_half)[:, None]
    beaten: NDArray[np.bool_] = np.any(better & cheaper, axis=1)
    return beaten


def _errors(
    spread: Spread, at: NDArray[np.intp], trial: NDArray[np.intp], draws: int, generator: np.random.Generator
) -> Floats:
    """Errors of single measurements of the points ``at``, [draws, points]; those of a trial's epochs are correlated."""
    degrees = np.array([spread.degrees[at][trial == each].min() for each in range(int(trial.max()) + 1)])
    scale = np.sqrt(degrees / generator.chisquare(degrees, (draws, len(degrees))))
    shared = generator.standard_normal((draws, len(degrees)))
    own = generator.standard_normal((draws, len(trial)))
    mixed = math.sqrt(spread.correlation) * shared[:, trial] + math.sqrt(1 - spread.correlation) * own
    errors: Floats = spread.deviation[at] * scale[:, trial] * mixed
    return errors


def _on_frontier(gains: Floats, prices: Floats) -> NDArray[np.bool_]:
    """Which points of each row are non-dominated, as ``frontier_mask`` says it of one row."""
    order = np.lexsort((-gains, prices), axis=-1)
    ranked = np.take_along_axis(gains, order, axis=1)
    best_before = np.maximum.accumulate(ranked, axis=1)
    better = np.ones(ranked.shape, dtype=np.bool_)
    better[:, 1:] = ranked[:, 1:] > best_before[:, :-1]
    found = np.empty_like(better)
    np.put_along_axis(found, order, better, axis=1)
    return found


def _ties(
    mean: Floats, count: Floats, spread: Spread, measured: Measurements, on_frontier: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The next cheaper point of each frontier point where their qualities cannot be distinguished, else -1."""
    tied = np.full(mean.shape, -1, dtype=np.int64)
    if not spread.is_known:
        return tied
    frontier = np.flatnonzero(on_frontier)
    frontier = frontier[np.argsort(measured.price_usd[frontier, 0], kind="stable")]
    for cheaper, dearer in itertools.pairwise(frontier):
        same_trial = bool(measured.trial[cheaper] == measured.trial[dearer])
        difference = float(mean[dearer] - mean[cheaper])
        if not spread.tells_apart((int(cheaper), int(dearer)), difference, count, same_trial=same_trial):
            tied[dearer] = cheaper
    return tied
