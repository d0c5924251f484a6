"""How much single measurements scatter: variances that points borrow from one another.

A few runs tell little of a variance, so points share what they know. Where their variances agree, all have the pooled
one (analysis of variance). Where they differ by more than chance, as those of barely trained and of good models do,
each is squeezed towards a common one only as far as the data ask for: the moderated t of Smyth (2004, Statistical
Applications in Genetics and Molecular Biology 3(1), article 3, section 6.2). Epochs of one run are correlated, for a
seed that is good for one is good for the others: one correlation, estimated from all trials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.frontier.student_t import t_quantile

LEAST_SHARE = 0.01
"""Of the pooled variance: a variance that is lower, such as that of two equal counts, counts as this: an assumption."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """The scatter of single measurements of n points.

    ``deviation`` [n] is the standard deviation, in the unit of what was measured, NaN where nothing was measured
    twice; ``degrees`` [n] its degrees of freedom, 0 there; ``correlation`` that of the epochs of one run, from 0 to 1.
    """

    deviation: Floats
    degrees: NDArray[np.int64]
    correlation: float

    @property
    def is_known(self) -> bool:
        """Whether anything was measured twice."""
        return bool((self.degrees > 0).all())

    def half_width(self, count: Floats) -> Floats:
        """Half of the 95 % interval [n] of means of ``count`` [n] measurements; NaN where nothing is known."""
        kinds, kind = np.unique(self.degrees, return_inverse=True)
        quantiles = np.array([t_quantile(degrees) if degrees else math.nan for degrees in kinds.tolist()])
        return quantiles[kind] * self.deviation / np.sqrt(count)

    def tells_apart(self, pair: tuple[int, int], difference: float, count: Floats, *, same_trial: bool) -> bool:
        """Whether the means of two points, of ``count`` [n] measurements each, differ at 95 %.

        Means of the same trial are of the same runs, whose epochs are correlated.
        """
        (first, second), counts = self.deviation[list(pair)], count[list(pair)]
        together = 2 * self.correlation * first * second / counts.max() if same_trial else 0.0
        variance = max(first**2 / counts[0] + second**2 / counts[1] - together, 0.0)
        return bool(abs(difference) > t_quantile(int(self.degrees[list(pair)].min())) * math.sqrt(variance))


def spread_of(values: Floats, trial: NDArray[np.int64], *, alike: bool = False) -> Spread:
    """The spread of measurements [n, runs], NaN where there is none, of points of these trials [n].

    Of the points of one trial a column is one run, which counts once however many epochs it has. ``alike`` holds
    that all points scatter alike: then all have the pooled variance.
    """
    known = np.isfinite(values)
    degrees = np.maximum(known.sum(axis=1, dtype=np.int64) - 1, 0)
    most = sum(int(degrees[trial == each].max()) for each in np.unique(trial))
    if most == 0:
        return Spread(np.full(len(values), np.nan), degrees, 0.0)
    centred = np.where(known, values - np.nanmean(values, axis=1, keepdims=True), 0.0)
    variance = (centred**2).sum(axis=1) / np.maximum(degrees, 1)
    measured = degrees > 0
    pooled = float(degrees @ variance) / int(degrees.sum())
    prior, prior_degrees = pooled, most
    if not alike and pooled > 0:
        floored = np.maximum(variance[measured], LEAST_SHARE * pooled)
        prior, prior_degrees = _prior(floored, degrees[measured], pooled, most)
    if prior_degrees < most:
        squeezed = (prior_degrees * prior + degrees * variance) / (prior_degrees + degrees)
    else:
        squeezed = np.full(len(values), pooled)
    shown = np.minimum(prior_degrees + degrees, most)
    return Spread(np.sqrt(squeezed), shown, _correlation(centred, known, variance, trial))


def _prior(variance: Floats, degrees: NDArray[np.int64], pooled: float, most: int) -> tuple[float, int]:
    """The variance that points have in common and how many degrees of freedom it is worth, ``most`` being all.

    By the mean and the variance of the log variances, whose distribution is Fisher's z (Smyth 2004).
    """
    logs = np.log(variance) - np.array([_digamma(each) - math.log(each / 2) for each in degrees.tolist()])
    if len(logs) < 2:
        return pooled, most
    excess = float(logs.var(ddof=1)) - float(np.mean([_trigamma(each) for each in degrees.tolist()]))
    worth = next((each for each in range(1, most) if _trigamma(each) <= excess), most)
    if worth == most:
        return pooled, most
    return math.exp(float(logs.mean()) + _digamma(worth) - math.log(worth / 2)), worth


def _digamma(degrees: int) -> float:
    """The digamma function at half of ``degrees`` (Abramowitz and Stegun 1964, 6.3.2 to 6.3.5)."""
    start = -np.euler_gamma - (2 * math.log(2) if degrees % 2 else 0.0)
    return float(start + sum(1 / at for at in np.arange(0.5 if degrees % 2 else 1.0, degrees / 2)))


def _trigamma(degrees: int) -> float:
    """The trigamma function at half of ``degrees`` (Abramowitz and Stegun 1964, 6.4.2 to 6.4.6)."""
    start = math.pi**2 / (2 if degrees % 2 else 6)
    return float(start - sum(1 / at**2 for at in np.arange(0.5 if degrees % 2 else 1.0, degrees / 2)))


def _correlation(centred: Floats, known: NDArray[np.bool_], variance: Floats, trial: NDArray[np.int64]) -> float:
    """That of two epochs of a run, over all pairs of points of the same trial; 0 where there is none."""
    covariance = scale = 0.0
    for each in np.unique(trial):
        rows = np.flatnonzero(trial == each)
        pairs = known[rows].astype(np.float64) @ known[rows].T
        counts = (pairs >= 2) & ~np.eye(len(rows), dtype=np.bool_)
        moments = centred[rows] @ centred[rows].T / np.maximum(pairs - 1, 1)
        covariance += float(moments[counts].sum())
        scale += float(np.sqrt(np.outer(variance[rows], variance[rows]))[counts].sum())
    return min(max(covariance / scale, 0.0), 1.0) if scale else 0.0
