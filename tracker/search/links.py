"""The scales on which metrics are forecast: errors and losses by their logarithms, the rest as they are.

Learning curves are close to power laws (Hestness et al., 2017): straight lines in the logarithms of error and of
epochs. And what is forecast this way stays possible: no accuracy above 1, no loss below 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.records import Direction
from tracker.search.curves import Array

_SMALLEST = 0.002
"""What is added to an error, as a share of the largest: below it there is little left to tell apart."""
_WIDE = 10.0
"""Positive values are compared by their logarithms where the largest is so many times the smallest."""


@dataclass(frozen=True, slots=True)
class Link:
    """A scale: ``sign`` -1 and ``origin`` 1 for shares that are to be large, 1 and 0 for values that are to be small.

    ``offset`` is None where values are taken as they are.
    """

    sign: float = 1.0
    origin: float = 0.0
    offset: float | None = None

    @classmethod
    def of(cls, values: Array, direction: Direction) -> Link:
        """The scale for a metric of which these values [m] were seen."""
        low, high = float(values.min()), float(values.max())
        if direction is Direction.MAXIMIZE and low >= 0 and high <= 1:
            return cls(-1.0, 1.0, _SMALLEST)
        if direction is Direction.MINIMIZE and low > 0 and high > _WIDE * low:
            return cls(1.0, 0.0, _SMALLEST * low)
        return cls()

    def to(self, values: Array) -> Array:
        """Values on the scale; beyond what is possible counts as the limit."""
        if self.offset is None:
            return values
        scaled: Array = np.log(np.maximum(self.sign * (values - self.origin), 0.0) + self.offset)
        return scaled

    def back(self, scaled: Array) -> Array:
        """Values from the scale."""
        if self.offset is None:
            return scaled
        values: Array = self.origin + self.sign * (np.exp(np.minimum(scaled, 50.0)) - self.offset)
        return values
