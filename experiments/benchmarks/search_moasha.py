"""Syne Tune's MOASHA (Schmucker et al. 2021, arXiv:2106.12639) as a searcher; needs syne-tune."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from experiments.benchmarks.curve_table import QUALITY, CurveTable
from tracker.records import Settings, TrialState
from tracker.search.steps import Step
from tracker.study.domains import Choices, Domain


def moasha(table: CurveTable, seed: int, budget_usd: float) -> Moasha:
    """MOASHA on a table's space, with its defaults: it stops a trial or lets it continue after each epoch."""
    del budget_usd
    np.random.seed(seed)  # its settings and brackets are drawn from numpy's global state
    drawn = {name: _domain(each) for name, each in table.space.by_device["cpu"].items()}
    epochs = table.price_usd.shape[1]
    scheduler = MOASHA(drawn, ["loss", "price_usd"], time_attr="epoch", max_t=epochs, random_seed=seed)
    return Moasha(scheduler, table.space.fixed)


class Moasha:
    """A searcher (search.steps.Searcher) that asks the scheduler after each epoch, and never pauses a trial."""

    closed = ""

    def __init__(self, scheduler: Any, fixed: Settings) -> None:
        self._scheduler = scheduler
        self._fixed = fixed
        self._trials = 0
        self._going_on: Trial | None = None

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """One more epoch of the trial that continues, else the first one of a new trial."""
        del left_usd, new_trials, live_trial
        if self._going_on is None:
            config = self._scheduler.suggest().config
            self._going_on = Trial(self._trials, config, datetime.now())
            self._trials += 1
            self._scheduler.on_trial_add(self._going_on)
        trial = self._going_on
        return Step(trial.trial_id, {**self._fixed, "device": "cpu", **trial.config}, 0.0)

    def stay(self, live_trial: int, left_usd: float, rival: Step) -> Step | None:
        """Nothing: one trial is replayed at a time."""

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """An epoch: the scheduler says whether the trial continues."""
        del trial
        result = {"loss": -values[QUALITY], "price_usd": values["price_usd"], "epoch": epoch}
        if self._scheduler.on_trial_result(self._going_on, result) == SchedulerDecision.STOP:
            self._going_on = None

    def paused(self, trial: int, price_usd: float) -> None:
        """Nothing to do: it continues, or was stopped."""

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """Nothing: all trials are replayed on one machine."""

    def prospects(self) -> Mapping[int, float]:
        """Nothing to report: no study waits for it."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Nothing: it is never resumed."""
        return {}

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """The trial is over."""
        del trial, state, price_usd, reason
        self._going_on = None


def _domain(domain: Domain) -> Any:
    if isinstance(domain, Choices):
        return choice(list(domain.values))
    if domain.integer:
        return (lograndint if domain.log else randint)(int(domain.low), int(domain.high))
    return (loguniform if domain.log else uniform)(domain.low, domain.high)
