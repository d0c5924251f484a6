"""What each step brought, and what it cost, by the policy that chose it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step on ``trial`` that ``policy`` chose: ``gain`` is the growth of the hypervolume, ``usd`` what it cost.

    ``expected_gain`` was forecast, at ``rung``; None where the step was taken without a forecast. It was expected to
    cost ``expected_usd``.
    """

    trial: int
    policy: str
    rung: int
    expected_gain: float | None
    gain: float = 0.0
    usd: float = 0.0
    expected_usd: float = 0.0


class OpenSteps:
    """The steps that are running, by trial."""

    def __init__(self) -> None:
        self._open: dict[int, Outcome] = {}
        self._paid_usd: dict[int, float] = {}

    def start(self, trial: int, policy: str, rung: int, expected_gain: float | None, expected_usd: float = 0.0) -> None:
        """A step starts that ``policy`` chose."""
        self._open[trial] = Outcome(trial, policy, rung, expected_gain, expected_usd=expected_usd)

    def came(self, trial: int, gain: float) -> None:
        """A checkpoint of the trial added ``gain``."""
        if trial in self._open:
            self._open[trial] = replace(self._open[trial], gain=self._open[trial].gain + gain)

    def settle(self, trial: int, price_usd: float) -> Outcome | None:
        """The trial's step is over, and all of its attempts have cost ``price_usd``; None where no step was open."""
        before_usd = self._paid_usd.get(trial, 0.0)
        self._paid_usd[trial] = price_usd
        if trial not in self._open:
            return None
        return replace(self._open.pop(trial), usd=price_usd - before_usd)
