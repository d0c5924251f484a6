"""How far forecasts have come true: what steps of each rung brought, against what was expected of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracker.search.features import Array

_KEPT = 0.95
"""Of what is remembered, at each further step of a rung: some twenty steps count."""
_BENEFIT_OF_DOUBT = 1.0
"""So many steps that came true as expected are assumed before the first."""
_MOST = 2.0


class Trust:
    """For each rung, the ratio of the growth of the hypervolume that came to that which was expected."""

    def __init__(self, memory: Mapping[str, Sequence[float]] | None = None) -> None:
        # rung -> steps, expected, came
        self._sums: dict[int, Array] = {int(rung): np.array(sums) for rung, sums in (memory or {}).items()}
        self._open: dict[int, list[float]] = {}  # trial -> rung, expected, came

    def memory(self) -> dict[str, list[float]]:
        """What is to be given to a new one for it to go on as this."""
        return {str(rung): [float(value) for value in sums] for rung, sums in self._sums.items()}

    def promise(self, trial: int, rung: int, gain: float) -> None:
        """A step is taken that is expected to add ``gain``."""
        self._open[trial] = [rung, gain, 0.0]

    def came(self, trial: int, gain: float) -> None:
        """A checkpoint of the trial added ``gain``."""
        if trial in self._open:
            self._open[trial][2] += gain

    def settle(self, trial: int) -> None:
        """The step is over."""
        if trial in self._open:
            rung, expected, came = self._open.pop(trial)
            sums = self._sums.setdefault(int(rung), np.zeros(3))
            sums *= _KEPT
            sums += [1.0, expected, came]

    def of(self, rung: int) -> float:
        """The ratio for a rung; 1 where nothing is known."""
        steps, expected, came = self._sums.get(rung, (0.0, 0.0, 0.0))
        if not steps or expected <= 0:
            return 1.0
        doubt = _BENEFIT_OF_DOUBT * expected / steps
        return float(min((came + doubt) / (expected + doubt), _MOST))
