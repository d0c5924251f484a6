"""What a search decides: which trial gets the next dollars, and how many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tracker.records import Settings, TrialState


@dataclass(frozen=True, slots=True)
class Step:
    """Train a trial until all of its attempts together cost ``until_usd``; None: to its own end.

    ``expected_usd`` is what that is expected to cost from now on. ``numbers`` and ``why`` tell what it was chosen by.
    ``last_epoch`` is where the training ends by itself, as far as that is known: nothing is left to pause there.
    """

    trial: int
    settings: Settings
    until_usd: float | None = None
    expected_usd: float = 0.0
    why: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    last_epoch: float = math.inf


class Searcher(Protocol):
    """Chooses step after step, and is told what became of each.

    A trial is under way from the step that names it until it is said to be paused or ended.
    """

    closed: str
    """Why there was no step when one was asked for last; "" where there was one."""

    def next_step(self, left_usd: float, *, new_trials: bool = True, at_hand: int | None = None) -> Step | None:
        """The step to take next with ``left_usd`` to spend; None where none is worth it or fits.

        Without ``new_trials`` only trials that were begun are gone on with. ``at_hand`` is a paused trial whose
        process is still there: to go on with it costs no new start.
        """

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """A trial's checkpoint: what it reported, and what all of its attempts have used and cost until then."""

    def paused(self, trial: int, price_usd: float) -> None:
        """A trial waits to be gone on with; its attempts cost this much."""

    def prospects(self) -> Mapping[int, float]:
        """What a dollar could add at best through each paused trial; 0 where it can no longer matter."""

    def memory(self) -> dict[str, Any]:
        """What it knows beside what it was told, as JSON: to be given back when the study is resumed."""

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """A trial will not be gone on with; its attempts cost this much. ``reason`` is a word: out_of_memory."""
