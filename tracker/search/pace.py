"""How deep a trial is, in units of its own, whatever its steps count."""

from __future__ import annotations

from typing import NamedTuple


class Pace(NamedTuple):
    """Depth 1 is a trial's ``first`` step; each ``unit`` of further steps is one deeper.

    The unit is the first step, where that is above 0: 20, 40, 60 have depths 1, 2, 3; 1, 2, 4, 8 are their own depths.
    Where the first step is 0, the unit is the stride to the ``second``: 0, 250, 500 have depths 1, 2, 3.

    >>> [Pace.of(20).depth(step) for step in (20, 40, 60)]
    [1.0, 2.0, 3.0]
    >>> [Pace.of(0, 250).depth(step) for step in (0, 250, 500)]
    [1.0, 2.0, 3.0]
    """

    first: int = 1
    unit: int = 1

    @classmethod
    def of(cls, first: int, second: int | None = None) -> Pace:
        """The pace of a trial whose first steps are these; the second is not needed where the first is above 0."""
        if first > 0:
            return cls(first, first)
        return cls(first, 1 if second is None else second - first)

    def depth(self, step: float) -> float:
        """The depth of a step; infinite for an infinite step."""
        return 1 + (step - self.first) / self.unit

    def step(self, depth: float) -> float:
        """The step at ``depth``, a whole number where that is finite."""
        return float(round(self.first + (depth - 1) * self.unit))
