"""The interface of a search: which trial gets the next dollars, and how many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tracker.records import Settings, TrialState


@dataclass(frozen=True, slots=True)
class Step:
    """Train a trial until all of its attempts together cost ``until_usd``; None: to its own end.

    ``expected_usd`` is what that is expected to cost from now on. ``why`` and ``numbers`` explain the choice.
    ``last_epoch`` is where the training ends by itself, if known: there is nothing left to pause.
    """

    trial: int
    settings: Settings
    until_usd: float | None = None
    expected_usd: float = 0.0
    why: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    last_epoch: float = math.inf


class Searcher(Protocol):
    """Chooses the next step, and receives the outcome of each.

    A trial is running from the step that names it until ``paused`` or ``ended`` is called for it.
    """

    closed: str
    """Why ``next_step`` last returned None; "" where it returned a step."""

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """The step to take next with ``left_usd`` to spend; None where none is worth it or fits.

        Without ``new_trials`` only paused trials are resumed. ``live_trial`` is a paused trial whose process is still
        alive: resuming it costs no new start.
        """

    def stay(self, live_trial: int, left_usd: float, rival: Step) -> Step | None:
        """A further step of a paused trial whose process is alive, where it is worth more than ``rival``.

        That step was chosen before and waits for the live trial's place. None: the live trial pauses.
        """

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record a trial's checkpoint: what it reported, and what all of its attempts have used and cost until then."""

    def paused(self, trial: int, price_usd: float) -> None:
        """Mark a trial as paused; its attempts have cost this much."""

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """A paused trial continues where an epoch is expected to cost, and to take, so many times as much."""

    def prospects(self) -> Mapping[int, float]:
        """The most that a dollar spent on each paused trial could add; 0 where it can no longer matter."""

    def memory(self) -> dict[str, Any]:
        """Its state beyond the reported trials, as JSON; restored when the study is resumed."""

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Mark a trial as ended; its attempts have cost this much. ``reason`` is one word, such as out_of_memory."""
