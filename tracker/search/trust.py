"""How far forecasts came true: what steps at each rung gained, against what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracker.search.features import Array

_KEPT = 0.95
"""The decay of older steps with each step of a rung: about twenty steps count."""
_BENEFIT_OF_DOUBT = 1.0
"""A prior of this many steps that came true as expected."""
_MOST = 2.0


class Trust:
    """For each rung, the ratio of the actual growth of the hypervolume to the expected one."""

    def __init__(self, memory: Mapping[str, Sequence[float]] | None = None) -> None:
        # rung -> steps, expected, came
        self._sums: dict[int, Array] = {int(rung): np.array(sums) for rung, sums in (memory or {}).items()}
        self._open: dict[int, list[float]] = {}  # trial -> rung, expected, came

    def memory(self) -> dict[str, list[float]]:
        """Its state, to restore it from."""
        return {str(rung): [float(value) for value in sums] for rung, sums in self._sums.items()}

    def promise(self, trial: int, rung: int, gain: float) -> None:
        """A step starts that is expected to add ``gain``."""
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
        """The ratio for a rung; 1 before the first step."""
        steps, expected, came = self._sums.get(rung, (0.0, 0.0, 0.0))
        if not steps or expected <= 0:
            return 1.0
        doubt = _BENEFIT_OF_DOUBT * expected / steps
        return float(min((came + doubt) / (expected + doubt), _MOST))
