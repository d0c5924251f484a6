"""Plain Optuna, and the grid: each trial is trained to its end without pausing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.records import Settings, TrialState
from tracker.search.sampler import Trials
from tracker.search.steps import Step
from tracker.search.tried import NONE_LEFT


class FullRuns:
    """A searcher (search.steps.Searcher) whose every step is a full trial of settings that ``trials`` suggests.

    ``objectives`` names the values of a completed trial; ``in_order`` goes through all combinations of the space in the
    order written, as a grid does. No settings are tried twice.
    """

    def __init__(self, trials: Trials, objectives: Sequence[str], *, in_order: bool = False) -> None:
        self.closed = ""
        self._trials = trials
        self._objectives = objectives
        self._in_order = in_order
        self._settings: dict[int, Settings] = {}
        self._last: dict[int, Mapping[str, float]] = {}
        self._paused: list[int] = []
        self._prices_usd: list[float] = []

    def register(self, trial: int, settings: Settings) -> None:
        """Register a trial that was started before; its checkpoints, pauses and end are reported after this."""
        self._settings[trial] = settings
        self._trials.tried.take(settings)

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """A paused trial if there is one, else a new one; none where a trial's median price does not fit."""
        del live_trial
        expected_usd = statistics.median(self._prices_usd) if self._prices_usd else 0.0
        self.closed = ""
        if expected_usd > left_usd:
            self.closed = f"${left_usd:.4g} is left, less than a trial's median price of ${expected_usd:.4g}"
        elif self._paused:
            trial = self._paused.pop(0)
            return Step(trial, self._settings[trial], None, expected_usd, "it was interrupted")
        elif self._trials.tried.all:
            self.closed = NONE_LEFT
        elif not new_trials:
            self.closed = "every trial has ended"
        else:
            suggestion = self._trials.open(self._trials.tried.left[0]) if self._in_order else self._trials.ask()
            why = "it is the next combination" if self._in_order else "the sampler suggested it"
            self.register(suggestion.trial, suggestion.settings)
            return Step(suggestion.trial, suggestion.settings, None, expected_usd, why)
        return None

    def stay(self, live_trial: int, left_usd: float, rival: Step) -> Step | None:
        """No forecast: what waits comes first."""

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record a trial's checkpoint: only its last one counts."""
        del epoch
        self._last[trial] = values

    def paused(self, trial: int, price_usd: float) -> None:
        """Mark a trial as interrupted: it is resumed before new ones start."""
        del price_usd
        self._paused.append(trial)

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """No forecast: a trial trains to its end wherever it is."""

    def prospects(self) -> Mapping[int, float]:
        """No forecast: plain Optuna knows nothing about paused trials."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Nothing beyond the reported trials."""
        return {}

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Mark a trial as ended, in Optuna too."""
        whole = {**self._last.get(trial, {}), "price_usd": price_usd}
        values = [whole.get(name, math.nan) for name in self._objectives]
        self._trials.tell(trial, state, values if all(map(math.isfinite, values)) else None)
        if state is TrialState.COMPLETED:
            self._prices_usd.append(price_usd)
        if reason == "out_of_memory":
            self._trials.avoid(self._settings[trial])
