"""How far forecasts came true: what steps at each rung gained, against what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.search.features import Array
from tracker.search.outcomes import Outcome

_KEPT = 0.95
"""The decay of older steps with each step of a rung: about twenty steps count."""
_BENEFIT_OF_DOUBT = 1.0
"""A prior of this many steps that came true as expected."""
_MOST = 2.0


class Trust:
    """For each rung, the ratio of the actual growth of the hypervolume to the expected one."""

    def __init__(self) -> None:
        self._sums: dict[int, Array] = {}  # rung -> steps, expected, came

    def memory(self) -> dict[str, list[float]]:
        """Its state, to restore it from."""
        return {str(rung): [float(value) for value in sums] for rung, sums in self._sums.items()}

    def recall(self, memory: Mapping[str, Sequence[float]]) -> None:
        """Restore what ``memory`` returned."""
        self._sums = {int(rung): np.array(sums) for rung, sums in memory.items()}

    def learn(self, outcome: Outcome) -> None:
        """Count a step that is over; one without a forecast teaches nothing."""
        if outcome.expected_gain is None:
            return
        sums = self._sums.setdefault(outcome.rung, np.zeros(3))
        sums *= _KEPT
        sums += [1.0, outcome.expected_gain, outcome.gain]

    def of(self, rung: int) -> float:
        """The ratio for a rung; 1 before the first step."""
        steps, expected, came = self._sums.get(rung, (0.0, 0.0, 0.0))
        if not steps or expected <= 0:
            return 1.0
        doubt = _BENEFIT_OF_DOUBT * expected / steps
        return float(min((came + doubt) / (expected + doubt), _MOST))


def rungs(prices_usd: Sequence[float], cheapest_usd: float) -> NDArray[np.int64]:
    """The rungs [n] of trials that cost so much, from 1; each costs twice the one below. New trials have 0."""
    doublings = np.floor(np.log2(np.maximum(prices_usd, cheapest_usd) / cheapest_usd)).astype(np.int64)
    return 1 + doublings
