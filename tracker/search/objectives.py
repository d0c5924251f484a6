"""The objectives of a search, two to four, and how much a new point would add to their hypervolume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.records import Direction
from tracker.study.spec import COSTS

Array = NDArray[np.float64]

GROWING, PREDICTION_PRICE = COSTS[:-1], COSTS[-1]
"""The costs that grow with every epoch, and the price of predictions, which each checkpoint has."""
LEAST_COST = 1e-12
"""A cost of 0 counts as this: costs are compared by their ratios."""
_RAYS = {2: 64, 3: 144, 4: 192}
"""How many rays the hypervolume is integrated over, by the number of objectives."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective, by the name that its value is reported or priced under."""

    name: str
    direction: Direction

    @property
    def logarithmic(self) -> bool:
        """Whether it is compared by ratios, as money and time are."""
        return self.name in COSTS

    def gain(self, value: Array | float, reference: float) -> Array:
        """How much better ``value`` is than ``reference``, in decades where it is logarithmic."""
        sign = 1.0 if self.direction is Direction.MAXIMIZE else -1.0
        values = np.asarray(value, dtype=np.float64)
        if self.logarithmic:
            return sign * (np.log10(np.maximum(values, LEAST_COST)) - math.log10(reference))
        return sign * (values - reference)


class Frontier:
    """The hypervolume that points dominate beyond a reference, and what further points would add to it.

    With D objectives the volume is an average over directions: of the D-th power of how far the frontier reaches
    along each ray from the reference point (Zhang and Golovin, ICML 2020, lemma 5). The rays are fixed: even angles for
    two objectives, a Halton sequence on the positive part of the sphere for more. Every volume is in units of the box
    from the reference to the best that was seen of each objective.
    """

    def __init__(self, objectives: Sequence[Objective], reference: Mapping[str, float]) -> None:
        self.objectives = objectives
        self.reference = dict(reference)
        self._rays = 1.0 / _directions(len(objectives))  # [L, D]
        self._power = len(objectives)
        self._scale = np.ones(self._power)
        self._points = np.zeros((0, self._power))
        self._reach = np.zeros(len(self._rays))

    def gains(self, values: Sequence[Mapping[str, float]]) -> Array:
        """How much better each of n points is than the reference, by objective: [n, D]."""
        columns = [
            each.gain(np.array([value[each.name] for value in values]), self.reference[each.name])
            for each in self.objectives
        ]
        return np.stack(columns, axis=-1).reshape(len(values), self._power)

    def add(self, gains: Array) -> None:
        """Add points [n, D] that were reached. Points worse than the reference in an objective add nothing."""
        inside = gains[(gains > 0).all(axis=1)]
        inside = inside[[not (self._points >= point).all(axis=1).any() for point in inside]]
        if not len(inside):
            return
        for point in inside:
            if not (self._points >= point).all(axis=1).any():
                left = self._points[(self._points > point).any(axis=1)]
                self._points = np.concatenate([left, point[None]])
        scale = self._points.max(axis=0)
        if (scale > self._scale * 1.05).any() or (scale < self._scale / 1.05).any():
            self._scale = scale
            self._reach = self.reaches(self._points).max(axis=0)
        else:
            self._reach = np.maximum(self._reach, self.reaches(inside).max(axis=0))

    @property
    def empty(self) -> bool:
        """Whether no point beats the reference in every objective."""
        return not len(self._points)

    @property
    def volume(self) -> float:
        """The hypervolume, as a share of the box."""
        return float(self._volume(self._reach**self._power))

    def reaches(self, gains: Array) -> Array:
        """How far points [..., D] reach along each ray: [..., L]."""
        scaled = np.maximum(gains / self._scale, 0.0)
        far = scaled[..., 0, None] * self._rays[:, 0]
        for index in range(1, self._power):
            np.minimum(far, scaled[..., index, None] * self._rays[:, index], out=far)
        return far

    def added(self, reaches: Array) -> Array:
        """What points that reach this far [..., L] would add to the volume: [...]."""
        grown: Array = np.maximum(reaches, self._reach) ** self._power - self._reach**self._power
        return self._volume(grown)

    def closeness(self, reaches: Array) -> Array:
        """How near points [..., L] come to the frontier along each ray that it reaches, [..., M]: 1 on it, more beyond
        it.

        A single 0 where it reaches none.
        """
        reached = self._reach > 0
        if not reached.any():
            return np.zeros((*reaches.shape[:-1], 1))
        near: Array = reaches[..., reached] / self._reach[reached]
        return near

    def _volume(self, powers: Array) -> Array:
        # The positive part of the sphere has 1 / 2^D of its surface; its volume is that surface / D.
        dimensions = self._power
        share = math.pi ** (dimensions / 2) / (2**dimensions * math.gamma(dimensions / 2 + 1))
        mean: Array = share * powers.mean(axis=-1)
        return mean


def _directions(dimensions: int) -> Array:
    count = _RAYS[dimensions]
    if dimensions == 2:
        angles = (np.arange(count) + 0.5) / count * math.pi / 2
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # |Normal| coordinates, made from uniform ones by Box and Muller's formula in pairs, have no preferred direction.
    paired = np.stack([_halton(count, base) for base in (2, 3, 5, 7)], axis=1)
    radius = np.sqrt(-2 * np.log(paired[:, 0::2]))
    angle = math.pi / 2 * paired[:, 1::2]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2).reshape(count, -1)[:, :dimensions]
    normal = np.maximum(np.abs(normal), 1e-6)
    unit: Array = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return unit


def _halton(count: int, base: int) -> Array:
    values = np.zeros(count)
    for index in range(count):
        number, fraction = index + 1, 1.0
        while number:
            fraction /= base
            values[index] += fraction * (number % base)
            number //= base
    return values
