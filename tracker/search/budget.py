"""The budget: dollars and trials. What was spent stays spent, however an attempt ended."""

from __future__ import annotations

from collections.abc import Hashable

from tracker.study.spec import Budget


class Ledger:
    """Every dollar of a study, by attempt, against its budget.

    An attempt's entry only ever grows: a later, lower figure for the same attempt is not believed.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._spend_usd: dict[Hashable, float] = {}

    def record(self, attempt: Hashable, spend_usd: float) -> None:
        """An attempt has cost this much so far."""
        self._spend_usd[attempt] = max(spend_usd, self._spend_usd.get(attempt, 0.0))

    def of(self, attempt: Hashable) -> float:
        """What one attempt has cost so far, in USD."""
        return self._spend_usd.get(attempt, 0.0)

    @property
    def spend_usd(self) -> float:
        """The sum over all attempts."""
        return sum(self._spend_usd.values())

    @property
    def spent(self) -> bool:
        """Whether the dollars are gone."""
        return self.budget.usd is not None and self.spend_usd >= self.budget.usd

    def closed(self, trials: int) -> str:
        """Why no further trial may start after ``trials`` of them, "" while one may."""
        if self.spent:
            return f"the budget of ${self.budget.usd:g} is spent"
        if self.budget.trials is not None and trials >= self.budget.trials:
            return f"all {self.budget.trials} trials are done"
        return ""
