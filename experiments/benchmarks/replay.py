"""A search replayed: a study's own searcher, but what a training costs and reaches is looked up, not trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from experiments.benchmarks.curve_table import QUALITY, USD_PER_SECOND, CurveTable, Numbers
from tracker.records import TrialState
from tracker.search.steps import Searcher, Step


@dataclass
class Trajectory:
    """The result of a search. Entry i of the lists is its i-th checkpoint; of ``decision_seconds``, its i-th step.

    ``trial`` is the number of its trial; ``spend_usd`` what the whole search had spent by then, the checkpoint itself
    included; ``price_usd`` what its trial had cost. ``started`` is how many trials had started when the step was
    asked for.
    """

    table: CurveTable
    budget_usd: float
    trial: list[int] = field(default_factory=list)
    spend_usd: list[float] = field(default_factory=list)
    price_usd: list[float] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    decision_seconds: list[float] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    trials: int = 0
    spent_usd: float = 0.0
    closed: str = ""

    def trace(self) -> Trace:
        """How the hypervolume of all checkpoints had so far grew with the spend."""
        frontier, spend_usd, share = np.empty((0, 2)), [0.0], [0.0]
        for spent, price, quality in zip(self.spend_usd, self.price_usd, self.quality, strict=True):
            if ((frontier[:, 0] <= price) & (frontier[:, 1] >= quality)).any():
                continue
            kept = frontier[(frontier[:, 0] < price) | (frontier[:, 1] > quality)]
            frontier = np.vstack([kept, [price, quality]])
            spend_usd.append(spent)
            share.append(self.table.share_of_frontier(frontier[:, 1], frontier[:, 0]))
        return Trace(np.array(spend_usd), np.array(share))


@dataclass(frozen=True)
class Trace:
    """How a hypervolume (CurveTable's) grew: ``share`` [k] was reached once ``spend_usd`` [k] was spent."""

    spend_usd: Numbers
    share: Numbers

    def at(self, spend_usd: float) -> float:
        """What ``spend_usd`` dollars had bought."""
        return float(self.share[np.searchsorted(self.spend_usd, spend_usd, side="right") - 1])

    def spend_to_reach(self, share: float) -> float:
        """The dollars after which the hypervolume was at least ``share``; infinite where it never was."""
        enough = np.flatnonzero(self.share >= share)
        return float(self.spend_usd[enough[0]]) if len(enough) else float("inf")


def replay(searcher: Searcher, table: CurveTable, budget_usd: float, most_trials: int | None = None) -> Trajectory:
    """Let ``searcher`` spend a budget on a table, one step after another, with one worker.

    A suggestion is trained as the table's row with the nearest settings, epoch by epoch; two trials of one row are
    both paid. A step continues until the trial has cost what the step says, by one epoch at least. The budget is hard:
    an epoch that does not fit is not counted, and spends what is left. The search also ends with the
    ``most_trials``-th new trial, and where the searcher has no step. Raises ValueError for a step on a trial that has
    ended.
    """
    trajectory = Trajectory(table, budget_usd)
    _Replay(searcher, table, trajectory).run(most_trials)
    return trajectory


@dataclass
class _Training:
    """The progress of a trial: its row of the table, its epochs, what it has cost."""

    row: int
    epoch: int = 0
    price_usd: float = 0.0


class _Replay:
    def __init__(self, searcher: Searcher, table: CurveTable, trajectory: Trajectory) -> None:
        self._searcher = searcher
        self._table = table
        self._trajectory = trajectory
        self._trainings: dict[int, _Training] = {}
        self._seconds = 0.0

    def run(self, most_trials: int | None) -> None:
        trajectory, live_trial = self._trajectory, None
        while trajectory.spent_usd < trajectory.budget_usd and trajectory.trials != most_trials:
            started, self._seconds = trajectory.trials, 0.0
            with self._deciding():
                step = self._searcher.next_step(trajectory.budget_usd - trajectory.spent_usd, live_trial=live_trial)
            if step is None:
                trajectory.closed = self._searcher.closed
                return
            live_trial = self._take(step)
            trajectory.started.append(started)
            trajectory.decision_seconds.append(self._seconds)

    def _take(self, step: Step) -> int | None:
        """Train on and report to the searcher; returns the trial if it is paused."""
        if step.trial not in self._trainings:
            self._trainings[step.trial] = _Training(self._table.nearest(step.settings))
            self._trajectory.trials += 1
        training = self._trainings[step.trial]
        last = int(self._table.lengths[training.row])
        if training.epoch >= last:
            raise ValueError(f"a step on trial {step.trial}, which ended after epoch {last}")
        while training.epoch < last:
            if not self._train_an_epoch(step.trial, training):
                return None
            if step.until_usd is not None and training.price_usd >= step.until_usd:
                break
        with self._deciding():
            if training.epoch < last:
                self._searcher.paused(step.trial, training.price_usd)
                return step.trial
            self._searcher.ended(step.trial, TrialState.COMPLETED, training.price_usd)
            return None

    def _train_an_epoch(self, trial: int, training: _Training) -> bool:
        """Whether the budget paid for the epoch."""
        trajectory, table = self._trajectory, self._table
        price_usd = float(table.price_usd[training.row, training.epoch])
        spent_usd = trajectory.spent_usd + price_usd - training.price_usd
        if spent_usd > trajectory.budget_usd:
            trajectory.spent_usd = trajectory.budget_usd
            return False
        quality = float(table.quality[training.row, training.epoch])
        training.epoch, training.price_usd, trajectory.spent_usd = training.epoch + 1, price_usd, spent_usd
        trajectory.trial.append(trial)
        trajectory.spend_usd.append(spent_usd)
        trajectory.price_usd.append(price_usd)
        trajectory.quality.append(quality)
        values = {QUALITY: quality, "price_usd": price_usd, "wall_seconds": price_usd / USD_PER_SECOND}
        with self._deciding():
            self._searcher.reached(trial, training.epoch, values)
        return True

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """What the searcher takes inside counts as the step's decision."""
        begin = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - begin
