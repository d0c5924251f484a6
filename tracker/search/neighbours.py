"""Residuals that settings share with their nearest tried neighbours, beyond what smooth features explain."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import KDTree

from tracker.search.features import Array

_NEAREST = 4
"""How many neighbours are considered; at each depth the most informative one counts."""
_AT_ONCE = (0.0, 0.3, 0.6, 0.8, 0.95, 0.99)
"""What the correlation of residuals may be at no distance, …"""
_LENGTHS = (0.06, 0.12, 0.25, 0.5, 1.0)
"""… the distances over which it may fall, where features change over 1, …"""
_POWERS = (1.0, 2.0)
"""… and how: exponentially, or as a bell."""
_OUTLIER = 3.0  # standard deviations: values further off are clipped to this


class Neighbours:
    """A model's ``residuals`` [n, D] at ``places`` [n, width] (Features.places), in D figures each.

    ``left_out`` [n, C], of variance 1, are residuals of the model without the trial's own observations, NaN where there
    is none. The correlation of neighbours is learnt from them: an average, weighted by likelihood, over laws of how a
    correlation falls with distance. ``known`` [n, D] is the correlation of unobserved residuals with observed ones.
    """

    def __init__(self, places: Array, residuals: Array, left_out: Array, known: Array | None = None) -> None:
        self._tree = KDTree(places)
        self._residuals = residuals
        self._known = np.ones_like(residuals) if known is None else known
        self._laws = np.array(list(itertools.product(_AT_ONCE, _LENGTHS, _POWERS))).T  # [3, laws]
        self._weights = np.zeros(self._laws.shape[1])
        if len(places) > 1:
            self._learn(places, np.clip(left_out, -_OUTLIER, _OUTLIER))

    def _learn(self, places: Array, left_out: Array) -> None:
        distance, nearest = self._tree.query(places, k=2)
        itself = nearest[:, 0] == np.arange(len(places))  # at equal places the other may come first
        other = np.where(itself, nearest[:, 1], nearest[:, 0])
        there = left_out[other]
        both = np.isfinite(left_out) & np.isfinite(there)
        share = both / np.maximum(both.sum(axis=1, keepdims=True), 1)  # a pair counts once
        here, there = np.where(both, left_out, 0.0), np.where(both, there, 0.0)
        alike = self._correlations(np.where(itself, distance[:, 1], distance[:, 0]))  # [n, laws]
        left = 1 - alike**2
        likelihood = np.zeros(alike.shape[1])
        for weight, one, two in zip(share.T, here.T, there.T, strict=True):
            off = one[:, None] - alike * two[:, None]
            likelihood -= 0.5 * weight @ (off**2 / left + np.log(left))
        self._weights = np.exp(likelihood - likelihood.max())
        self._weights /= self._weights.sum()

    def _correlations(self, distance: Array) -> Array:
        """The correlation by each law, at distances [...]: [..., laws]."""
        at_once, length, power = self._laws
        correlations: Array = at_once * np.exp(-0.5 * (distance[..., None] / length) ** power)
        return correlations

    def of(self, places: Array) -> tuple[Array, Array]:
        """The expected residuals [n, D] at ``places``, and the share [n, D] of their variance that remains."""
        count = min(_NEAREST, len(self._residuals))
        distance, nearest = (each.reshape(-1, count) for each in self._tree.query(places, k=count))
        alike = (self._correlations(distance) @ self._weights)[:, :, None]  # [n, nearest, 1]
        tell = alike * self._known[nearest]
        best = tell.argmax(axis=1)[:, None]  # [n, 1, D]
        expected = np.take_along_axis(alike * self._residuals[nearest], best, axis=1)[:, 0]
        return expected, 1 - np.take_along_axis(tell, best, axis=1)[:, 0] ** 2
