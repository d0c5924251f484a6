"""The budget: dollars, trials and wall time. What was spent stays spent, however an attempt ended."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.study.spec import Budget


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the next step may use of the budget: at most ``left_usd``, and a new trial only where ``new_trials``.

    Steps are likely to cost at most ``overrun`` times what is expected.
    """

    left_usd: float
    new_trials: bool = True
    overrun: float = 1.0

    def fits(self, expected_usd: ArrayLike) -> NDArray[np.bool_] | np.bool_:
        """Whether a step that is expected to cost this much [...] may be taken, [...]: it is likely to fit."""
        return self.covers(self.overrun * np.asarray(expected_usd))

    def covers(self, expected_usd: ArrayLike) -> NDArray[np.bool_] | np.bool_:
        """Whether this much [...] is left, [...]: for what lies beyond the next step, which may still be given up."""
        covers: NDArray[np.bool_] | np.bool_ = np.less_equal(expected_usd, self.left_usd)
        return covers


class Ledger:
    """Every dollar of a study, by attempt, against its budget.

    An attempt's entry only ever grows: a later, lower figure for the same attempt is ignored. While it runs, its
    estimated cost so far counts where that is higher. Sums are exact, so that they do not depend on the order.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._spend_usd: dict[Hashable, float] = {}
        self._recorded_usd = Fraction(0)
        """The sum of these."""
        self._estimated_usd: dict[Hashable, float] = {}
        self._promised_usd: dict[Hashable, float] = {}

    def record(self, attempt: Hashable, spend_usd: float) -> None:
        """Record the measured cost of an attempt; it replaces the estimate."""
        before_usd = self._spend_usd.get(attempt, 0.0)
        self._spend_usd[attempt] = max(spend_usd, before_usd)
        self._recorded_usd += Fraction(self._spend_usd[attempt]) - Fraction(before_usd)
        self._estimated_usd.pop(attempt, None)

    def estimate(self, attempt: Hashable, spend_usd: float) -> None:
        """Set the estimated cost so far of a running attempt."""
        self._estimated_usd[attempt] = spend_usd

    def of(self, attempt: Hashable) -> float:
        """What one attempt has cost so far, in USD."""
        return max(self._spend_usd.get(attempt, 0.0), self._estimated_usd.get(attempt, 0.0))

    @property
    def spend_usd(self) -> float:
        """The sum over all attempts."""
        more = [usd - self._spend_usd.get(attempt, 0.0) for attempt, usd in self._estimated_usd.items()]
        return float(self._recorded_usd) + math.fsum(usd for usd in more if usd > 0)

    def promise(self, attempt: Hashable, spend_usd: float) -> None:
        """Reserve what a running attempt is expected to have cost when it is done; 0 once it has ended."""
        if spend_usd > 0:
            self._promised_usd[attempt] = spend_usd
        else:
            self._promised_usd.pop(attempt, None)

    @property
    def left_usd(self) -> float:
        """What can still be reserved: the budget less the spend, less what running attempts have reserved beyond it."""
        if self.budget.usd is None:
            return math.inf
        promised = sum(max(0.0, usd - self.of(attempt)) for attempt, usd in self._promised_usd.items())
        return max(0.0, self.budget.usd - self.spend_usd - promised)

    def closed(self, wall_seconds: float) -> str:
        """Why nothing more may be spent after ``wall_seconds`` of work, "" while something may."""
        if self.budget.usd is not None and self.spend_usd >= self.budget.usd:
            return f"the budget of ${self.budget.usd:g} is spent"
        if self.budget.wall_seconds is not None and wall_seconds >= self.budget.wall_seconds:
            return f"the budget of {self.budget.wall_seconds:g} seconds is used up"
        return ""

    def new_trials(self, started: int) -> bool:
        """Whether another trial may start after ``started`` of them."""
        return self.budget.trials is None or started < self.budget.trials
