"""Learning-curve extrapolation: a model of a metric after any epoch, by settings.

One Bayesian linear regression for all trials. Its inputs are the settings' features, each times a few shapes in time:
curves are close to power laws of the epoch. A trial's residual is taken to persist, less so the further ahead the
forecast. The size of residuals at each depth, their persistence and their distribution are learnt. Each observation of
a trial counts by what it adds to those before it (generalised least squares: Greene, Econometric Analysis, 2012,
section 20.9). New trials share the residuals of their nearest neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tracker.search.features import Array, Features
from tracker.search.neighbours import Neighbours
from tracker.search.regression import Regression, blocks

FUTURES = 8
"""How many outcomes are considered for each choice: even quantiles of the forecast errors."""
_FIRST_NOISE = 0.3  # of an observation, until it is learnt, where a metric's spread over all depths is 1
_OUTLIER = 4.0  # spreads: values further off are clipped to this
_FEW = 8.0  # observations of a depth count less each where there are more than so many
_PRIOR_PERSISTENCE, _PRIOR_PAIRS = 0.8, 10.0  # of a residual over one doubling of the epochs, before there is evidence
_PRIOR_OBSERVATIONS = 10.0  # for the spread of residuals at one depth, towards that of the depth before
_PRIOR_NORMAL = 20  # quantiles of a normal distribution, which residuals are taken to have before there is evidence
_GOOD = 0.25  # the share of the forecasts at each depth that count as good ones
_DEEPEST = 16  # doublings of the epochs up to which the curves' own uncertainty and residuals are modelled
_LOWEST_PERSISTENCE, _HIGHEST_PERSISTENCE = 0.001, 0.995
_SHAPES = 5


def shapes(levels: Array) -> Array:
    """The shapes in time [..., 5] at ``levels`` [...], each the binary logarithm of an epoch.

    The last is for the first epoch alone, after which little may be learnt yet.
    """
    first = np.clip(1 - levels, 0.0, 1.0)
    return np.stack([np.ones_like(levels), 2 ** (-levels / 2), 2**-levels, levels / 6, first], axis=-1)


@dataclass(frozen=True, slots=True)
class Observations:
    """m values of a metric: ``trial`` [m] indexes the trials; ``level`` [m] is the epoch's binary logarithm.

    ``values`` [m]; those of one trial are adjacent, by rising level.
    """

    trial: NDArray[np.int64]
    level: Array
    values: Array

    @property
    def depth(self) -> NDArray[np.int64]:
        """The nearest whole level of each [m]."""
        depth: NDArray[np.int64] = np.rint(self.level).astype(np.int64)
        return depth

    @property
    def follows(self) -> NDArray[np.bool_]:
        """Whether each [m] is of the same trial as the one before it."""
        return np.concatenate([[False], np.diff(self.trial) == 0])

    @property
    def last(self) -> NDArray[np.bool_]:
        """Whether each [m] is the last of its trial."""
        return np.append(np.diff(self.trial) != 0, True)


class CurveModel:
    """The regression for a metric, fitted to ``observations`` of trials at ``points`` [n, width] in the unit cube.

    ``futures`` [FUTURES] are even quantiles of the metric's forecast errors, in standard deviations. ``features`` are
    the given ones, refined.
    """

    def __init__(self, points: Array, observations: Observations, features: Features) -> None:
        self._centre, self._scale = _spread_of(observations)
        targets = np.clip((observations.values - self._centre) / self._scale, -_OUTLIER, _OUTLIER)
        last, level, depth = observations.last, observations.level, observations.depth
        self.features = features.refined(points, shapes(level[last]), targets[last])
        inputs = self.features(points)
        rows = _rows(inputs[observations.trial], level)
        self._regression = Regression([(rows, targets)], _FIRST_NOISE)
        self._learn_residuals(observations, self._regression.left_out(rows, targets, _FIRST_NOISE**2))
        self._regression = Regression(self._whitened(observations, rows, targets))
        left_out = self._regression.left_out(rows, targets, self._variance[depth])
        self._learn_residuals(observations, left_out)
        self.futures = self._learn_futures(observations, targets, left_out)
        self._doubt = self._doubt_at_depths(inputs.shape[1])
        residuals = targets - rows @ self._regression.weights
        self._neighbours = self._neighbours_at(self.features.places(points), observations, residuals, left_out)

    def _whitened(self, observations: Observations, rows: Array, targets: Array) -> Iterator[tuple[Array, Array]]:
        """Rows and targets of observations that are independent and have noise of 1, block after block."""
        own, earlier = self._innovations(observations)
        for block in blocks(len(rows)):
            at = np.arange(block.start, block.stop)
            yield (
                own[block, None] * rows[block] - earlier[block, None] * rows[at - 1],
                own[block] * targets[block] - earlier[block] * targets[at - 1],
            )

    def _innovations(self, observations: Observations) -> tuple[Array, Array]:
        """What each of m observations, and the one before it, count in its innovation over its trial's previous one.

        [m] and [m]; the innovation has a deviation of 1. The first of a trial has none before it, which counts 0.
        """
        spread = np.sqrt(self._variance[observations.depth])
        level, lasting = observations.level, np.zeros(len(spread))
        lasting[1:] = np.where(observations.follows[1:], self._lasting(level[:-1], level[1:]), 0.0)
        new = np.sqrt(1 - lasting**2)
        return 1 / (spread * new), lasting / (np.roll(spread, 1) * new)

    def _learn_futures(self, observations: Observations, targets: Array, residuals: Array) -> Array:
        """Even quantiles [FUTURES] of the errors of forecasts that were good ones for their depth.

        In standard deviations, mixed with those of a normal distribution. The search acts on good forecasts only; these
        tend to be too optimistic and vary less than the rest.
        """
        own, earlier = self._innovations(observations)
        off = own * residuals - earlier * np.roll(residuals, 1)
        forecast, depth = targets - off / own, observations.depth
        good = np.zeros(len(depth), dtype=bool)
        for each in range(len(self._variance)):
            here = depth == each
            if here.any():
                good |= here & (forecast >= np.quantile(forecast[here], 1 - _GOOD))
        normal = ndtri((np.arange(_PRIOR_NORMAL) + 0.5) / _PRIOR_NORMAL)
        quantiles: Array = np.quantile(np.append(off[good], normal), (np.arange(FUTURES) + 0.5) / FUTURES)
        return quantiles

    def _learn_residuals(self, observations: Observations, residuals: Array) -> None:
        """Learn the size and persistence of residuals at each depth, from leave-one-out residuals."""
        depth = observations.depth
        self._variance = np.zeros(int(depth.max(initial=0)) + 1)
        believed = float((residuals**2).mean()) + 1e-6
        for each in range(len(self._variance)):
            here = residuals[depth == each]
            believed = (float(here @ here) + _PRIOR_OBSERVATIONS * believed) / (len(here) + _PRIOR_OBSERVATIONS)
            self._variance[each] = believed
        pairs = observations.follows[1:] & (np.abs(np.diff(observations.level) - 1) < 0.3)
        before, after, reached = residuals[:-1][pairs], residuals[1:][pairs], depth[1:][pairs]
        lasting, believed = np.ones(_DEEPEST + 1), _PRIOR_PERSISTENCE
        for each in range(1, _DEEPEST + 1):
            here = reached == each
            together = here.sum() * _correlation(before[here], after[here]) + _PRIOR_PAIRS * believed
            learnt = together / (here.sum() + _PRIOR_PAIRS)
            lasting[each] = np.clip(learnt, _LOWEST_PERSISTENCE, _HIGHEST_PERSISTENCE)
            believed = max(learnt, _PRIOR_PERSISTENCE)  # later epochs are more like one another
        self._log_lasting = np.cumsum(np.log(lasting))  # [depth]: from the first epoch on

    def _neighbours_at(
        self, places: Array, observations: Observations, residuals: Array, left_out: Array
    ) -> Neighbours:
        """Neighbours by their residuals at each depth, in units of the spread there."""
        where, shape = (observations.trial, observations.depth), (len(places), len(self._variance))
        spread = np.sqrt(self._variance[observations.depth])
        off, known, alone = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
        off[where], known[where], alone[where] = residuals / spread, 1.0, left_out / spread
        for depth in range(1, shape[1]):
            unseen = known[:, depth] == 0
            lasting = self._lasting(np.array(depth - 1.0), np.array(float(depth)))
            off[unseen, depth] = lasting * off[unseen, depth - 1]
            known[unseen, depth] = lasting * known[unseen, depth - 1]
        return Neighbours(places, off, alone, known)

    def _lasting(self, since: Array, levels: Array) -> Array:
        """The correlation [...] of residuals at ``levels`` [...] with those at ``since`` [...]."""
        depths = np.arange(_DEEPEST + 1)
        logs = np.interp(levels, depths, self._log_lasting) - np.interp(since, depths, self._log_lasting)
        lasting: Array = np.minimum(np.exp(np.minimum(logs, 0.0)), _HIGHEST_PERSISTENCE)
        return lasting

    def _expected(self, inputs: Array, levels: Array) -> Array:
        """Standardised metrics [n, J] of trials with features [n, F] at levels [n, J]."""
        curves = inputs @ self._regression.weights.reshape(inputs.shape[1], _SHAPES)
        expected: Array = np.einsum("njs,ns->nj", shapes(levels), curves)
        return expected

    def _spread(self, levels: Array) -> Array:
        """The standard deviation [n, J] of a trial's standardised metric around its curve at levels [n, J]."""
        spread: Array = np.sqrt(self._variance[self._depths(levels)])
        return spread

    def _depths(self, levels: Array) -> NDArray[np.int64]:
        """The nearest depth to levels [n, J] of those that were seen: [n, J]."""
        return np.clip(np.rint(levels).astype(np.int64), 0, len(self._variance) - 1)

    def _doubt_at_depths(self, width: int) -> Array:
        """The covariance [depth, F, F] of the curves' weights on the features, at each depth."""
        covariance = self._regression.covariance().reshape(width, _SHAPES, width, _SHAPES)
        at_depths = shapes(np.arange(_DEEPEST + 1.0))
        doubt: Array = np.einsum("da,fagb,db->dfg", at_depths, covariance, at_depths, optimize=True)
        return doubt

    def _uncertainty(self, inputs: Array, levels: Array) -> Array:
        """The standard deviation [n, J] of the curves themselves: interpolated between whole levels."""
        below = np.minimum(levels.astype(int), _DEEPEST - 1)
        depths = np.arange(below.max() + 2)
        along = np.einsum("dnf,nf->nd", inputs @ self._doubt[depths], inputs)
        deviations = np.sqrt(np.maximum(along, 0.0))
        low, high = (np.take_along_axis(deviations, below + more, axis=1) for more in (0, 1))
        uncertainty: Array = low + np.clip(levels - below, 0.0, 1.0) * (high - low)
        return uncertainty

    def of_new(self, points: Array, levels: Array) -> tuple[Array, Array]:
        """Mean and standard deviation [n, J] at levels [n, J] of trials that have not started."""
        inputs = self.features(points)
        depths = self._depths(levels)
        residuals, left = (
            np.take_along_axis(each, depths, axis=1) for each in self._neighbours.of(self.features.places(points))
        )
        mean = self._expected(inputs, levels) + residuals * self._spread(levels)
        deviation = np.hypot(self._spread(levels), self._uncertainty(inputs, levels)) * np.sqrt(left)
        return mean * self._scale + self._centre, deviation * self._scale

    def ahead(self, points: Array, since: Array, values: Array, levels: Array) -> tuple[Array, Array]:
        """Mean and standard deviation [n, J] at levels [n, J] of trials that are known until level ``since`` [n].

        The residual of a trial's last ``values`` [n] persists in part, less with each doubling of the epochs.
        """
        inputs, since = self.features(points), since[:, None]
        lasting = self._lasting(since, levels)
        residuals = (values[:, None] - self._centre) / self._scale - self._expected(inputs, since)
        mean = self._expected(inputs, levels) + lasting * residuals / self._spread(since) * self._spread(levels)
        deviation = np.hypot(self._spread(levels), self._uncertainty(inputs, levels)) * np.sqrt(1 - lasting**2)
        return mean * self._scale + self._centre, deviation * self._scale


def _rows(inputs: Array, levels: Array) -> Array:
    """The regression's inputs [m, 5 F] of m observations with features [m, F] at levels [m]."""
    return (inputs[:, :, None] * shapes(levels)[:, None, :]).reshape(len(inputs), -1)


def _spread_of(observations: Observations) -> tuple[float, float]:
    """The centre and the spread of a metric, with equal weight for each depth that was reached often enough.

    Most trials are seen at their first depths, where curves differ least.
    """
    depth, values = observations.depth, observations.values
    weights = 1 / np.maximum(np.bincount(depth)[depth], _FEW)
    weights /= weights.sum()
    centre = float(weights @ values)
    spread = float(np.sqrt(weights @ (values - centre) ** 2))
    return centre, spread if spread > 0 else max(abs(centre), 1.0) * 1e-6


def _correlation(before: Array, after: Array) -> float:
    """The correlation of p pairs of residuals [p], around 0; 0 without a pair."""
    product = math.sqrt(float(before @ before) * float(after @ after))
    return float(before @ after) / product if product > 0 else 0.0
