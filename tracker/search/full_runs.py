"""Plain Optuna, and the grid: each trial is trained to its own end."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.records import Settings, TrialState
from tracker.search.sampler import Trials
from tracker.search.steps import Step


class FullRuns:
    """A searcher (search.steps.Searcher) whose every step is a whole trial of what ``trials`` suggests.

    ``objectives`` are the names of the values that a completed trial is judged by; ``enqueued_only`` ends with the
    last of the settings that are enqueued, as a grid does.
    """

    def __init__(self, trials: Trials, objectives: Sequence[str], *, enqueued_only: bool = False) -> None:
        self.closed = ""
        self._trials = trials
        self._objectives = objectives
        self._enqueued_only = enqueued_only
        self._settings: dict[int, Settings] = {}
        self._last: dict[int, Mapping[str, float]] = {}
        self._paused: list[int] = []
        self._prices_usd: list[float] = []

    def know(self, trial: int, settings: Settings) -> None:
        """A trial that was begun before: what is reached, paused and ended of it is told after this."""
        self._settings[trial] = settings

    def next_step(self, left_usd: float, *, new_trials: bool = True, at_hand: int | None = None) -> Step | None:
        """A paused trial if there is one, else a new one; none where a trial's median price does not fit."""
        del at_hand
        expected_usd = statistics.median(self._prices_usd) if self._prices_usd else 0.0
        self.closed = ""
        if expected_usd > left_usd:
            self.closed = f"what is left, ${left_usd:.4g}, is less than a trial's median price of ${expected_usd:.4g}"
        elif self._paused:
            trial = self._paused.pop(0)
            return Step(trial, self._settings[trial], None, expected_usd, "it was interrupted")
        elif not new_trials:
            self.closed = "every trial is done"
        elif self._enqueued_only and not self._trials.waiting:
            self.closed = "every combination was tried"
        else:
            suggestion = self._trials.ask()
            self.know(suggestion.trial, suggestion.settings)
            return Step(suggestion.trial, suggestion.settings, None, expected_usd, "the sampler suggested it")
        return None

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """A trial's checkpoint: only its last one is told."""
        del epoch
        self._last[trial] = values

    def paused(self, trial: int, price_usd: float) -> None:
        """A trial was interrupted; it goes first when steps are taken again."""
        del price_usd
        self._paused.append(trial)

    def prospects(self) -> Mapping[int, float]:
        """Nothing is known of what is paused."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Nothing but what it was told."""
        return {}

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """A trial is over; Optuna is told."""
        last = self._last.get(trial)
        whole = {**last, "price_usd": price_usd} if last else {}
        self._trials.tell(trial, state, [whole[name] for name in self._objectives] if last else None)
        if state is TrialState.COMPLETED:
            self._prices_usd.append(price_usd)
        if reason == "out_of_memory":
            self._trials.avoid(self._settings[trial])
