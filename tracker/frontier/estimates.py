"""Figures with their uncertainty: of several studies, of one, and the difference of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.frontier.student_t import t_quantile


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its standard error and the error's degrees of freedom; NaN and 0 where the error is not known."""

    value: float
    error: float = math.nan
    degrees: float = 0

    @classmethod
    def mean(cls, values: Sequence[float]) -> Estimate:
        """The mean of independent values, by Student's t; of one value the error is not known."""
        count = len(values)
        if count < 2:
            return cls(float(values[0]))
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(count), count - 1)

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval; NaN where there is none. An error of exactly 0 is no evidence of certainty."""
        if not math.isfinite(self.error) or self.error <= 0 or self.degrees < 1:
            return math.nan
        return t_quantile(math.floor(self.degrees + 1e-9)) * self.error

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds of the 95 % interval."""
        return self.value - self.half_width, self.value + self.half_width

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two independent figures, with Welch's (1947, Biometrika 34) degrees of freedom."""
        variances = (self.error**2, other.error**2)
        total = sum(variances)
        shares = [
            variance**2 / each.degrees
            for variance, each in zip(variances, (self, other), strict=True)
            if each.degrees > 0
        ]
        degrees = total**2 / sum(shares) if len(shares) == 2 and sum(shares) > 0 else 0.0
        return Estimate(self.value - other.value, math.sqrt(total) if degrees else math.nan, degrees)
