"""NePS' PriMO, without priors, as a searcher; needs neural-pipeline-search.

It begins with MOASHA, and after as many full trainings' worth of epochs as there are settings continues with Bayesian
optimisation of full trainings.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from neps.optimizers.algorithms import primo as make_primo
from neps.optimizers.ask_and_tell import AskAndTell
from neps.space import HPOCategorical, HPOFloat, HPOInteger, SearchSpace

from experiments.benchmarks.curve_table import QUALITY, CurveTable
from tracker.records import Settings, TrialState
from tracker.search.steps import Step
from tracker.study.domains import Choices, Domain

_EPOCHS = "epochs"


def primo(table: CurveTable, seed: int, budget_usd: float) -> Primo:
    """PriMO on a table's space, with its defaults; epochs are its fidelity."""
    del budget_usd
    random.seed(seed)  # it draws from global states
    np.random.seed(seed)
    torch.manual_seed(seed)
    drawn = {name: _parameter(each) for name, each in table.space.by_device["cpu"].items()}
    epochs = HPOInteger(1, table.price_usd.shape[1], is_fidelity=True)
    space = SearchSpace({**drawn, _EPOCHS: epochs})
    return Primo(AskAndTell(make_primo(space, prior_centers={})), table.space.fixed)


class Primo:
    """A searcher (search.steps.Searcher) that trains what is asked for, epoch by epoch to the epoch asked for."""

    closed = ""

    def __init__(self, optimiser: Any, fixed: Settings) -> None:
        self._optimiser = optimiser
        self._fixed = fixed
        self._numbers: dict[str, int] = {}
        self._asked: Any = None
        self._step: Step | None = None

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """One more epoch of what was asked for, else the first epoch of what is asked now."""
        del left_usd, new_trials, live_trial
        if self._step is None:
            self._asked = self._optimiser.ask()
            # "3_1" is configuration 3 on rung 1; "3" is one of Bayesian optimisation, whatever "3_1" is.
            name, rung, _ = self._asked.id.partition("_")
            number = self._numbers.setdefault(name + rung, len(self._numbers))
            self._step = Step(number, {**self._fixed, "device": "cpu", **self._asked.config}, 0.0)
        return self._step

    def stay(self, live_trial: int, left_usd: float, rival: Step) -> Step | None:
        """Nothing: one trial is replayed at a time."""

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record an epoch: report its values if it is the requested one."""
        del trial
        if epoch >= self._asked.config[_EPOCHS]:
            self._optimiser.tell(self._asked, {"objective_to_minimize": [-values[QUALITY], values["price_usd"]]})
            self._step = None

    def paused(self, trial: int, price_usd: float) -> None:
        """Nothing to do: it continues, or waits to be asked for again."""

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """Nothing: all trials are replayed on one machine."""

    def prospects(self) -> Mapping[int, float]:
        """Nothing to report: no study waits for it."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Nothing: it is never resumed."""
        return {}

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Nothing to do: its last epoch was asked for."""


def _parameter(domain: Domain) -> Any:
    if isinstance(domain, Choices):
        return HPOCategorical(list(domain.values))
    if domain.integer:
        return HPOInteger(int(domain.low), int(domain.high), log=domain.log)
    return HPOFloat(domain.low, domain.high, log=domain.log)
