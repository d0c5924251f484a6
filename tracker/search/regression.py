"""A regression of figures that settings alone decide, not how long they are trained."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from tracker.search.features import Array

_NOISE = 0.3  # of an observation, where a figure's spread is 1


class SettingsModel:
    """A Bayesian linear regression of K figures: ``features`` [n, F], ``values`` [n, K]."""

    def __init__(self, features: Array, values: Array) -> None:
        self._centre = values.mean(axis=0)
        self._scale = np.maximum(values.std(axis=0), 1e-9)
        targets = (values - self._centre) / self._scale
        precision = features.T @ features / _NOISE**2
        precision[np.diag_indices_from(precision)] += 1.0
        self._factor = cho_factor(precision, lower=True)
        self._weights = cho_solve(self._factor, features.T @ targets / _NOISE**2)
        self._noise = np.sqrt(((targets - features @ self._weights) ** 2).mean(axis=0) + 1e-4)

    def expected(self, features: Array) -> Array:
        """The mean [n, K] for n settings."""
        expected: Array = features @ self._weights * self._scale + self._centre
        return expected

    def deviation(self, features: Array) -> Array:
        """The standard deviation [n, K] for n settings."""
        solved = solve_triangular(self._factor[0], features.T, lower=True)
        unsure = np.sqrt((solved**2).sum(axis=0))[:, None]
        deviation: Array = np.sqrt(unsure**2 + self._noise**2) * self._scale
        return deviation
