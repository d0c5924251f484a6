"""What learning curves have in common: a model of metrics after any epoch, by settings.

One Bayesian linear regression (Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3) for all trials. Its
inputs are the settings, as random Fourier features of a squared-exponential kernel (Rahimi and Recht, NeurIPS 2007)
beside themselves, each times a few shapes in time: curves are close to power laws of the epoch. What it leaves
unexplained of a trial is believed to last, less the further one looks ahead; how much less is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Array = NDArray[np.float64]

_FOURIER_FEATURES = 100
_LENGTH_SCALE = 0.9  # of the kernel, in the unit cube
_NOISE = 0.3  # of an observation, where a metric's spread over all trials is 1
_OUTLIER = 4.0  # spreads: what lies further off counts as if it lay there
_PRIOR_PERSISTENCE, _PRIOR_PAIRS = 0.8, 10.0  # of a residual over one doubling of the epochs, before there is evidence
_PRIOR_OBSERVATIONS = 10.0  # for the spread of residuals at one depth, towards that at all
_SAMPLED, _DEEPEST = 24, 16  # settings and doublings at which the curves' own uncertainty is looked at
_LOWEST_PERSISTENCE, _HIGHEST_PERSISTENCE = 0.3, 0.98


class Features:
    """F features of settings: random, but the same for the same seed and width."""

    def __init__(self, width: int, seed: int = 0) -> None:
        random = np.random.default_rng([seed, width])
        self._directions = random.normal(size=(width, _FOURIER_FEATURES)) / _LENGTH_SCALE
        self._phases = random.uniform(0, 2 * np.pi, _FOURIER_FEATURES)

    def __call__(self, points: Array) -> Array:
        """[n, width] points in the unit cube -> [n, F]."""
        waves = np.cos(points @ self._directions + self._phases) * np.sqrt(2 / _FOURIER_FEATURES)
        return np.concatenate([np.ones((len(points), 1)), points - 0.5, waves], axis=1)


def shapes(levels: Array) -> Array:
    """The shapes in time [..., 4] at ``levels`` [...], each the binary logarithm of an epoch."""
    return np.stack([np.ones_like(levels), 2 ** (-levels / 2), 2**-levels, levels / 6], axis=-1)


@dataclass(frozen=True, slots=True)
class Observations:
    """m values of K metrics: ``trial`` [m] indexes the features; ``level`` [m] is the epoch's binary logarithm.

    ``values`` [m, K]; a trial's stand together, by rising level.
    """

    trial: NDArray[np.int64]
    level: Array
    values: Array


class CurveModel:
    """The regression for K metrics at once, fitted to ``observations`` of trials with ``features`` [n, F]."""

    def __init__(self, features: Array, observations: Observations) -> None:
        values = observations.values
        low, self._centre, high = np.percentile(values, [25, 50, 75], axis=0)
        self._scale = np.maximum((high - low) / 1.35, 0.1 * values.std(axis=0))
        self._scale = np.where(self._scale > 0, self._scale, np.maximum(np.abs(self._centre), 1.0) * 1e-6)
        targets = np.clip((values - self._centre) / self._scale, -_OUTLIER, _OUTLIER)
        rows = self._rows(features[observations.trial], shapes(observations.level))
        precision = rows.T @ rows / _NOISE**2
        precision[np.diag_indices_from(precision)] += 1.0
        self._factor = cho_factor(precision, lower=True)
        self._weights = cho_solve(self._factor, rows.T @ targets / _NOISE**2)  # [4 F, K]
        solved = solve_triangular(self._factor[0], rows.T, lower=True)
        leverage = np.minimum((solved**2).sum(axis=0) / _NOISE**2, 0.95)
        few = features[:: max(1, len(features) // _SAMPLED)]
        depths = np.tile(np.arange(_DEEPEST + 1.0), (len(few), 1))
        self._unsure = self.uncertainty(few, depths).mean(axis=0) / self._scale  # [depth, 1 or K]
        self._learn_residuals(observations, (targets - rows @ self._weights) / (1 - leverage[:, None]))

    def _learn_residuals(self, observations: Observations, residuals: Array) -> None:
        """How far off the regression is at each depth, and for how long: from its leave-one-out residuals."""
        depth = np.rint(observations.level).astype(int)
        pooled = (residuals**2).mean(axis=0)
        deepest = int(depth.max(initial=0))
        self._variance = np.zeros((deepest + 1, residuals.shape[1]))
        for each in range(deepest + 1):
            here = residuals[depth == each]
            total = (here**2).sum(axis=0) + _PRIOR_OBSERVATIONS * pooled
            self._variance[each] = total / (len(here) + _PRIOR_OBSERVATIONS)
        follows = (np.diff(observations.trial) == 0) & (np.abs(np.diff(observations.level) - 1) < 0.3)
        before, after = residuals[:-1][follows], residuals[1:][follows]
        product = np.sqrt((before**2).sum(axis=0) * (after**2).sum(axis=0))
        together = np.where(product > 0, (before * after).sum(axis=0) / np.maximum(product, 1e-300), 0.0)
        pairs = len(before)
        learnt = (pairs * together + _PRIOR_PAIRS * _PRIOR_PERSISTENCE) / (pairs + _PRIOR_PAIRS)
        self._persistence = np.clip(learnt, _LOWEST_PERSISTENCE, _HIGHEST_PERSISTENCE)

    @staticmethod
    def _rows(features: Array, in_time: Array) -> Array:
        return (features[:, :, None] * in_time[:, None, :]).reshape(len(features), -1)

    def curves(self, features: Array) -> Array:
        """The regression's curves of n trials: [n, 4, K] weights of the shapes."""
        weights = self._weights.reshape(features.shape[1], 4, -1)
        curves: Array = np.einsum("nf,fsk->nsk", features, weights)
        return curves

    def expected(self, curves: Array, levels: Array) -> Array:
        """The metrics [n, J, K] that curves [n, 4, K] have at levels [n, J]."""
        expected: Array = np.einsum("njs,nsk->njk", shapes(levels), curves) * self._scale + self._centre
        return expected

    def spread(self, levels: Array) -> Array:
        """The standard deviation [n, J, K] of a trial's metrics around its curve at levels [n, J]."""
        depth = np.clip(np.rint(levels).astype(int), 0, len(self._variance) - 1)
        spread: Array = np.sqrt(self._variance[depth]) * self._scale
        return spread

    def uncertainty(self, features: Array, levels: Array) -> Array:
        """The standard deviation [n, J, K] of the curves themselves, of trials with features [n, F]."""
        count, horizons = levels.shape
        rows = self._rows(np.repeat(features, horizons, axis=0), shapes(levels.ravel()))
        solved = solve_triangular(self._factor[0], rows.T, lower=True)
        deviation: Array = np.sqrt((solved**2).sum(axis=0)).reshape(count, horizons, 1) * self._scale
        return deviation

    def ahead(self, curves: Array, last_level: Array, last_values: Array, levels: Array) -> tuple[Array, Array]:
        """Mean and standard deviation [n, J, K] at levels [n, J] of trials that are known until ``last_level`` [n].

        What a trial's last values [n, K] are off its curve lasts in part, as after each doubling of the epochs.
        """
        now = self.expected(curves, last_level[:, None])[:, 0]
        lasting = self._persistence ** np.maximum(levels - last_level[:, None], 0.0)[:, :, None]
        mean = self.expected(curves, levels) + lasting * (last_values - now)[:, None, :]
        # Where nobody has been, the curves themselves are as unsure as they are for settings on average.
        depth = np.clip(np.rint(levels).astype(int), 0, _DEEPEST)
        off = np.hypot(self.spread(levels), self._unsure[depth] * self._scale)
        return mean, off * np.sqrt(np.maximum(1 - lasting**2, 0.0))


class SettingsModel:
    """A ridge regression of figures that settings alone decide: [n, F] features, [n, K] values."""

    def __init__(self, features: Array, values: Array) -> None:
        self._centre = values.mean(axis=0)
        self._scale = np.maximum(values.std(axis=0), 1e-9)
        targets = (values - self._centre) / self._scale
        precision = features.T @ features / _NOISE**2
        precision[np.diag_indices_from(precision)] += 1.0
        self._factor = cho_factor(precision, lower=True)
        self._weights = cho_solve(self._factor, features.T @ targets / _NOISE**2)
        self._noise = np.sqrt(((targets - features @ self._weights) ** 2).mean(axis=0) + 1e-4)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation [n, K] for n settings."""
        solved = solve_triangular(self._factor[0], features.T, lower=True)
        unsure = np.sqrt((solved**2).sum(axis=0))[:, None]
        mean = features @ self._weights * self._scale + self._centre
        return mean, np.sqrt(unsure**2 + self._noise**2) * self._scale
