"""How much more steps cost than was expected: what a step must leave room for to reach its checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

_KEPT = 60
"""How many of the latest steps count, …"""
_PRIOR = 10
"""… beside this many that cost what was expected."""
_LIKELY = 0.9
_MOST = 3.0


class Overruns:
    """The ratios of what steps cost to what they were expected to."""

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=_KEPT)

    def memory(self) -> list[float]:
        """The ratios, the latest last."""
        return list(self._ratios)

    def recall(self, ratios: Sequence[float]) -> None:
        """Restore what ``memory`` returned."""
        self._ratios = deque(ratios, maxlen=_KEPT)

    def learn(self, expected_usd: float, usd: float) -> None:
        """A step cost ``usd``."""
        if expected_usd > 0:
            self._ratios.append(usd / expected_usd)

    @property
    def factor(self) -> float:
        """Nine in ten steps cost at most so many times what was expected: from 1 to 3."""
        quantile = float(np.quantile([*self._ratios, *[1.0] * _PRIOR], _LIKELY))
        return min(max(quantile, 1.0), _MOST)
