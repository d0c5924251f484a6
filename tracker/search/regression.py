"""Bayesian linear regression, which every model of the search is made of."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from tracker.search.features import Array

_NOISE = 0.3  # of an observation, where a figure's spread is 1


class Regression:
    """Weights of ``rows`` [m, R] that explain ``targets`` [m] or [m, K], with a prior and independent noise of 1.

    Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3. ``weights`` [R] or [R, K] are their means.
    """

    def __init__(self, rows: Array, targets: Array) -> None:
        precision = rows.T @ rows
        precision[np.diag_indices_from(precision)] += 1.0
        self._factor = cho_factor(precision, lower=True)
        self.weights: Array = cho_solve(self._factor, rows.T @ targets)

    def variance(self, rows: Array) -> Array:
        """How unsure it is of rows [m, R]: [m], without the noise."""
        solved = solve_triangular(self._factor[0], rows.T, lower=True)
        variance: Array = (solved**2).sum(axis=0)
        return variance

    def covariance(self) -> Array:
        """Of the weights: [R, R]."""
        covariance: Array = cho_solve(self._factor, np.eye(len(self.weights)))
        return covariance


class SettingsModel:
    """A regression of K figures that settings alone decide: ``features`` [n, F], ``values`` [n, K]."""

    def __init__(self, features: Array, values: Array) -> None:
        self._centre = values.mean(axis=0)
        self._scale = np.maximum(values.std(axis=0), 1e-9)
        targets = (values - self._centre) / self._scale
        self._regression = Regression(features / _NOISE, targets / _NOISE)
        self._noise = np.sqrt(((targets - features @ self._regression.weights) ** 2).mean(axis=0) + 1e-4)

    def expected(self, features: Array) -> Array:
        """The mean [n, K] for n settings."""
        expected: Array = features @ self._regression.weights * self._scale + self._centre
        return expected

    def deviation(self, features: Array) -> Array:
        """The standard deviation [n, K] for n settings."""
        unsure = self._regression.variance(features)[:, None]
        deviation: Array = np.sqrt(unsure + self._noise**2) * self._scale
        return deviation
