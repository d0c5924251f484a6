"""How long the frontier has stood still."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.search.knowledge import Knowledge
from tracker.search.policies.first_trials import FIRST_TRIALS
from tracker.search.valuation import Valuation

PATIENCE = 0.25
"""The share of the dollars spent so far that must have brought nothing."""
MOVES = 0.001
"""The share of itself by which the hypervolume must change to count as moving, where a study sets none."""
_LEAST_TRIALS = 2 * FIRST_TRIALS


class Standstill:
    """Follows how the hypervolume changes with the dollars spent.

    A change by no more than ``least_growth`` of itself is none; where that is 0, by no more than MOVES.
    """

    def __init__(self, knowledge: Knowledge, valuation: Valuation, least_growth: float) -> None:
        self._knowledge = knowledge
        self._valuation = valuation
        self._least_growth = least_growth or MOVES
        self._moved_usd = 0.0
        self._moved_to = 0.0

    def memory(self) -> dict[str, float]:
        """The spend at which the hypervolume last moved, and the hypervolume then."""
        return {"usd": self._moved_usd, "hypervolume": self._moved_to}

    def recall(self, memory: Mapping[str, float]) -> None:
        """Restore what ``memory`` returned."""
        self._moved_usd, self._moved_to = memory.get("usd", 0.0), memory.get("hypervolume", 0.0)

    @property
    def least(self) -> float:
        """By how much the hypervolume must change to count as moving."""
        return self._least_growth * self._valuation.hypervolume

    def usd(self) -> float | None:
        """The dollars since it last moved; None where that is not long, or few trials were started."""
        spent_usd, hypervolume = self._knowledge.trials.spent_usd(), self._valuation.hypervolume
        if abs(hypervolume - self._moved_to) > self.least:
            self._moved_usd, self._moved_to = spent_usd, hypervolume
        still_usd = spent_usd - self._moved_usd
        long = still_usd >= PATIENCE * spent_usd and len(self._knowledge.trials) >= _LEAST_TRIALS
        return still_usd if long else None
