"""The scales on which metrics are forecast: errors and losses by their logarithms, the rest as they are.

Learning curves are close to power laws (Hestness et al., 2017): straight lines in the logarithms of error and of
epochs. A forecast on this scale stays possible: no accuracy above 1 or below 0, no loss below 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracker.records import Direction
from tracker.search.features import Array

_SMALLEST = 0.002
"""What is added to an error, as a share of the largest: below it, differences do not matter."""
_WIDE = 10.0
"""Positive values are compared by their logarithms where the largest is so many times the smallest."""


@dataclass(frozen=True, slots=True)
class Link:
    """A scale on which more is always better; ``rising`` is 1 where more of the metric is, else -1.

    A metric maps to the logarithm of its distance from ``best``, at most ``span``, plus ``offset``; without an
    ``offset`` values are taken as they are.
    """

    rising: float
    best: float = 0.0
    offset: float | None = None
    span: float = math.inf

    @classmethod
    def of(cls, values: Array, direction: Direction) -> Link:
        """The scale for a metric with these observed values [m]."""
        low, high = float(values.min()), float(values.max())
        if direction is Direction.MAXIMIZE:
            return cls(1.0, 1.0, _SMALLEST, 1.0) if low >= 0 and high <= 1 else cls(1.0)
        return cls(-1.0, 0.0, _SMALLEST * low) if low > 0 and high > _WIDE * low else cls(-1.0)

    def to(self, values: Array) -> Array:
        """Values on the scale, clipped to what is possible."""
        if self.offset is None:
            return self.rising * values
        lacks = np.clip(self.rising * (self.best - values), 0.0, self.span)
        scaled: Array = -np.log(lacks + self.offset)
        return scaled

    def back(self, scaled: Array) -> Array:
        """Values from the scale, clipped to what is possible."""
        if self.offset is None:
            return self.rising * scaled
        lacks = np.clip(np.exp(np.minimum(-scaled, 50.0)) - self.offset, 0.0, self.span)
        values: Array = self.best - self.rising * lacks
        return values
