"""Bayesian linear regression: the part that every model of the search is built from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from tracker.search.features import Array
from tracker.search.neighbours import Neighbours

_NOISE = 0.3  # of an observation, where a figure's spread is 1
_MOST_LEVERAGE = 0.8  # of an observation on its own forecast
_BLOCK = 4096  # rows: of ten thousand trials, matrices with a row for each observation take hundreds of MB


class Regression:
    """Weights of rows [m, R] that explain targets [m] or [m, K], with a prior and independent ``noise``.

    Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3. ``observed`` are rows and targets, block after
    block. ``weights`` [R] or [R, K] are their means.
    """

    def __init__(self, observed: Iterable[tuple[Array, Array]], noise: float = 1.0) -> None:
        precision: Array = np.zeros(())
        explained: Array = np.zeros(())
        for rows, targets in observed:
            precision, explained = precision + rows.T @ rows, explained + rows.T @ targets
        precision = precision / noise**2
        precision[np.diag_indices_from(precision)] += 1.0
        self._factor = cho_factor(precision, lower=True)
        self.weights: Array = cho_solve(self._factor, explained / noise**2)

    def variance(self, rows: Array) -> Array:
        """The predictive variance [m] at rows [m, R], without the noise."""
        found = [
            (solve_triangular(self._factor[0], rows[block].T, lower=True) ** 2).sum(axis=0)
            for block in blocks(len(rows))
        ]
        return np.concatenate(found) if found else np.zeros(0)

    def left_out(self, rows: Array, targets: Array, variance: Array | float) -> Array:
        """Leave-one-out residuals of ``targets`` [m] or [m, K] with noise ``variance`` [m]."""
        leverage = np.minimum(self.variance(rows) / variance, _MOST_LEVERAGE)
        residuals: Array = ((targets - rows @ self.weights).T / (1 - leverage)).T
        return residuals

    def covariance(self) -> Array:
        """The covariance [R, R] of the weights."""
        covariance: Array = cho_solve(self._factor, np.eye(len(self.weights)))
        return covariance


def blocks(count: int) -> Iterator[slice]:
    """``count`` rows, so many at once that what is made of them takes little memory."""
    return (slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))


class SettingsModel:
    """K figures that depend on settings alone, ``values`` [n, K]: a regression on ``features`` [n, F], and neighbours.

    ``places`` [n, width] are where settings lie for neighbours (Features.places); their correlation is learnt from the
    first figure.
    """

    def __init__(self, features: Array, places: Array, values: Array) -> None:
        self._centre = values.mean(axis=0)
        self._scale = np.maximum(values.std(axis=0), 1e-9)
        targets = (values - self._centre) / self._scale
        self._regression = Regression([(features, targets)], _NOISE)
        residuals = targets - features @ self._regression.weights
        self._noise = np.sqrt((residuals**2).mean(axis=0) + 1e-4)
        left_out = self._regression.left_out(features, targets, _NOISE**2)[:, :1]
        self._neighbours = Neighbours(places, residuals, left_out / np.sqrt((left_out**2).mean() + 1e-9))

    def expected(self, features: Array, places: Array) -> Array:
        """The mean [n, K] for n settings."""
        residuals, _ = self._neighbours.of(places)
        expected: Array = (features @ self._regression.weights + residuals) * self._scale + self._centre
        return expected

    def deviation(self, features: Array, places: Array) -> Array:
        """The standard deviation [n, K] for n settings."""
        _, left = self._neighbours.of(places)
        unsure = self._regression.variance(features)[:, None]
        deviation: Array = np.sqrt((unsure + self._noise**2) * left) * self._scale
        return deviation
