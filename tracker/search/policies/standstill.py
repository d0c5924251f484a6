"""How long the frontier has stood still."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.search.knowledge import Knowledge
from tracker.search.policies.first_trials import FIRST_TRIALS
from tracker.search.valuation import Valuation

PATIENCE = 0.25
"""The share of the dollars spent so far that must have brought nothing."""
_LEAST_TRIALS = 2 * FIRST_TRIALS


class Standstill:
    """Follows how the hypervolume changes with the dollars spent, from one ``look`` to the next.

    A change by no more than ``least_growth`` of itself is none.
    """

    def __init__(self, knowledge: Knowledge, valuation: Valuation, least_growth: float) -> None:
        self._knowledge = knowledge
        self._valuation = valuation
        self._least_growth = least_growth
        self._moved_usd = 0.0
        self._moved_to = 0.0
        self._recalled = False

    def memory(self) -> dict[str, float]:
        """The spend at which the hypervolume last moved."""
        return {"usd": self._moved_usd}

    def recall(self, memory: Mapping[str, float]) -> None:
        """Restore what ``memory`` returned."""
        if "usd" in memory:
            self._moved_usd, self._recalled = memory["usd"], True

    def look(self) -> None:
        """See whether the hypervolume has moved.

        After ``recall`` the first look takes it as it is: of the same checkpoints, reported again in another order, it
        is a little different.
        """
        hypervolume = self._valuation.hypervolume
        if self._recalled:
            self._moved_to, self._recalled = hypervolume, False
        elif abs(hypervolume - self._moved_to) > self.least:
            self._moved_usd, self._moved_to = self._knowledge.trials.spent_usd(), hypervolume

    @property
    def least(self) -> float:
        """By how much the hypervolume must change to count as moving."""
        return self._least_growth * self._valuation.hypervolume

    @property
    def usd(self) -> float | None:
        """The dollars since it last moved; None where that is not long, or few trials were started."""
        spent_usd = self._knowledge.trials.spent_usd()
        still_usd = spent_usd - self._moved_usd
        long = still_usd >= PATIENCE * spent_usd and len(self._knowledge.trials) >= _LEAST_TRIALS
        return still_usd if long else None
