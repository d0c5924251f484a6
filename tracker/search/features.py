"""Features for linear models of settings: smooth in each knob, as far as it matters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FOURIER_FEATURES = 100
_LENGTH_SCALE = 1.2  # of the kernel, in the unit cube, before there is evidence
_STEP = 1.6  # the factor by which a length scale is varied in one round
_NOISES = np.geomspace(0.05, 1.0, 9)  # of an observation, where the targets' spread is 1
_LIKELY_NOISE, _NOISE_DECADES = 0.3, 1.5  # its prior: log-normal, with a standard deviation in natural logarithms


class Features:
    """F features of points [n, width] in the unit cube: the coordinates, and waves across the cube.

    The waves are random Fourier features of a squared-exponential kernel (Rahimi and Recht, NeurIPS 2007), the same for
    the same width. ``frequencies`` [width], the inverse of its length scales, say how fast the modelled figure changes
    with each coordinate.
    """

    def __init__(self, width: int, frequencies: Array | None = None) -> None:
        random = np.random.default_rng([0, width])
        self._width = width
        self._waves = random.normal(size=(width, _FOURIER_FEATURES))
        self._phases = random.uniform(0, 2 * np.pi, _FOURIER_FEATURES)
        self.frequencies = np.full(width, 1 / _LENGTH_SCALE) if frequencies is None else frequencies

    def __call__(self, points: Array) -> Array:
        """[n, width] points in the unit cube -> [n, F]."""
        angles = points @ (self._waves * self.frequencies[:, None]) + self._phases
        waves = np.cos(angles) * np.sqrt(2 / _FOURIER_FEATURES)
        return np.concatenate([np.ones((len(points), 1)), points - 0.5, waves], axis=1)

    def places(self, points: Array) -> Array:
        """Points [n, width], scaled so that the modelled figure changes over a distance of about 1."""
        places: Array = points * self.frequencies
        return places

    def spacing(self, count: int, dimensions: int) -> float:
        """The distance between neighbours among the places of ``count`` points that are spread evenly.

        They fill a box of as many dimensions, each as long as the frequencies are in their geometric mean.
        """
        return float(np.exp(np.log(self.frequencies).mean()) * count ** (-1 / dimensions))

    def refined(self, points: Array, beside: Array, targets: Array) -> Features:
        """Features with frequencies that explain ``targets`` [n] at ``points`` better, if there are any.

        ``beside`` [n, C] are other inputs of the same regression. Each coordinate in turn is tried at a higher and at a
        lower frequency; the one with more evidence is kept (Bishop, Pattern Recognition and Machine Learning, 2006,
        section 3.5; a frequency of almost 0 means that a coordinate does not matter).
        """
        spread = targets.std()
        if spread == 0:
            return self
        scaled = (targets - targets.mean()) / spread
        best = self
        most = best._evidence(points, beside, scaled)
        for coordinate in range(self._width):
            for factor in (_STEP, 1 / _STEP):
                frequencies = best.frequencies.copy()
                frequencies[coordinate] *= factor
                other = Features(self._width, frequencies)
                evidence = other._evidence(points, beside, scaled)
                if evidence > most:
                    best, most = other, evidence
                    break
        return best

    def _evidence(self, points: Array, beside: Array, targets: Array) -> float:
        """The logarithm of the evidence, up to a constant, at the noise where it is largest, priors included."""
        rows = np.concatenate([self(points), beside], axis=1)
        powers, directions = np.linalg.eigh(rows.T @ rows)
        powers = np.maximum(powers, 0.0)[:, None]
        along = (directions.T @ (rows.T @ targets))[:, None] ** 2
        variance = _NOISES**2
        misfit = (targets @ targets - (along / (powers + variance)).sum(axis=0)) / variance
        volume = np.log1p(powers / variance).sum(axis=0) + len(targets) * np.log(variance)
        noise_prior = (np.log(_NOISES / _LIKELY_NOISE) / _NOISE_DECADES) ** 2
        prior = (np.log(self.frequencies * _LENGTH_SCALE) ** 2).sum()
        return float((-0.5 * (misfit + volume + noise_prior)).max() - 0.5 * prior)
