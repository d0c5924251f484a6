"""What a study spends, and how long it takes, by its budget: many studies of the kind are played through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.report.estimate.billing import Pool
from tracker.runner.plan import StudyPlan
from tracker.study.spec import Budget

Array = NDArray[np.float64]

STUDIES = 400
"""How many studies are played through."""
MOST_TRIALS = 2000
"""A study of more trials is played through with so many, and its sums are scaled."""
CONFIDENCE = 0.90
"""The share of these studies between the low and the high figure."""
_BETWEEN_SECONDS = 0.2
"""Between the end of a trial and the start of the next one with its cores: the coordinator looks so often."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure: the likely one, and what CONFIDENCE of the cases lie between."""

    low: float
    likely: float
    high: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Spread:
        """The median of values [n], and their quantiles."""
        edge = (1 - CONFIDENCE) / 2
        low, likely, high = np.quantile(values, [edge, 0.5, 1 - edge])
        return cls(float(low), float(likely), float(high))

    @property
    def document(self) -> dict[str, float]:
        """Its three figures."""
        return {"low": self.low, "likely": self.likely, "high": self.high}


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a study does before its trials, one after the other: its data and its baselines."""

    usd: float = 0.0
    seconds: float = 0.0
    data_usd: float = 0.0
    """The price of the data themselves, which is known."""


@dataclass(frozen=True, slots=True)
class Room:
    """What may run at once: trials, and those that share so many cores, GPUs and bytes of memory."""

    workers: int
    cores: int
    accelerators: int
    memory_bytes: float = math.inf

    @classmethod
    def of(cls, plan: StudyPlan, workers: int | None) -> Room:
        """That of the plan's machine, with at most so many trials."""
        cores, hardware = plan.hardware.cores, plan.hardware
        return cls(min(workers or cores, cores), cores, hardware.accelerator_count, hardware.trial_memory_bytes)

    def shares(self, pool: Pool) -> list[Array]:
        """What each trial of the pool takes of the machine, [n] for each thing that trials share: 1 is all of it."""
        return [
            np.full(len(pool.usd), 1.0 / self.workers),
            _shares(pool.cores, self.cores),
            _shares(pool.accelerators, self.accelerators),
            _shares(pool.memory, self.memory_bytes),
        ]

    def at_once(self, pool: Pool) -> int:
        """The most trials of the pool that run at once."""
        return math.floor(min(1.0 / max(float(share.min()), _TINY) for share in self.shares(pool)) + 1e-9)


@dataclass(frozen=True, slots=True)
class Outlay:
    """What a study spends in all, its whole trainings, and the seconds from its start to its end."""

    spend_usd: Spread
    trials: Spread
    seconds: Spread


@dataclass(frozen=True, slots=True)
class Doubt:
    """Standard deviations of logarithms: of one training's seconds, of those of all together, of the fixed work's."""

    each: float
    level: float
    fixed: float


@dataclass(frozen=True, eq=False)
class _Course:
    """Studies [S] of trials [T], one after the other: what they spend and how long they take after each, [S, T].

    ``fixed_usd`` and ``fixed_seconds`` [S] come before; ``least_usd`` [S, 1] is what must be left for another trial.
    """

    usd: Array
    elapsed: Array
    fixed_usd: Array
    fixed_seconds: Array
    least_usd: Array

    def last(self, budget: Budget) -> NDArray[np.int64]:
        """The last trial [S] that starts; -1 where none does."""
        starts = np.ones(self.usd.shape, dtype=bool)
        if budget.usd is not None:
            needed = np.concatenate([np.zeros_like(self.least_usd), self.usd[:, :-1] + self.least_usd], axis=1)
            starts &= needed + self.fixed_usd[:, None] < budget.usd
        if budget.wall_seconds is not None:
            before = np.concatenate([np.zeros_like(self.least_usd), self.elapsed[:, :-1]], axis=1)
            starts &= before + self.fixed_seconds[:, None] < budget.wall_seconds
        last: NDArray[np.int64] = starts.sum(axis=1) - 1
        return last

    def outlay(self, budget: Budget, scale: float) -> Outlay:
        """What they come to within a budget; each trial stands for ``scale`` of them."""
        last = self.last(budget)
        at = (np.arange(len(last)), np.maximum(last, 0))
        spent, took = (np.where(last < 0, 0.0, each[at]) for each in (self.usd, self.elapsed))
        share = np.ones(len(last))  # of what the started trials would need: the rest is cut off
        if budget.usd is not None:
            share = np.minimum(share, np.maximum(budget.usd - self.fixed_usd, 0.0) / np.maximum(spent, _TINY))
        if budget.wall_seconds is not None:
            left = np.maximum(budget.wall_seconds - self.fixed_seconds, 0.0)
            share = np.minimum(share, left / np.maximum(took, _TINY))
        return Outlay(
            Spread.of(self.fixed_usd + spent * share),
            Spread.of((last + 1) * scale),
            Spread.of(self.fixed_seconds + took * share),
        )


_TINY = 1e-300


def _shares(needs: Array, room: float) -> Array:
    """The share of a machine's ``room`` that trials with these needs [n] take, what stays empty beside them included.

    Beside one, others run as far as the smallest of them fit; what needs more than there is takes all of it.
    """
    if not needs.any() or math.isinf(room):
        return np.zeros(len(needs))
    least = float(needs[needs > 0].min())
    filled = needs + np.floor(np.maximum(room - needs, 0.0) / least + 1e-9) * least
    return np.where(needs > 0, needs / np.maximum(filled, least), 0.0)


def play(pool: Pool, budget: Budget, fixed: Fixed, room: Room, doubt: Doubt, *, strategy: str, size: float) -> Outlay:
    """Play many studies that draw their trials from ``pool``, in its order where the strategy is "grid".

    ``size`` is how many different settings the space has. Money that is left for less than a trial stays unspent,
    unless trials are paused and resumed (strategy "frontier").
    """
    random = np.random.default_rng(0)
    wanted = min(size, _enough(pool, budget, fixed, room), math.inf if budget.trials is None else budget.trials)
    count = int(min(wanted, MOST_TRIALS))
    picked = _picked(random, len(pool.usd), count, in_order=strategy == "grid", once=size <= len(pool.usd))
    level = np.exp(doubt.level * random.standard_normal((STUDIES, 1)))
    factor = level * np.exp(doubt.each * random.standard_normal(picked.shape) - doubt.each**2 / 2)
    before = np.exp(doubt.fixed * random.standard_normal(STUDIES))
    scale = wanted / count
    seconds = pool.usage.seconds[picked] * factor + _BETWEEN_SECONDS
    lanes = np.maximum.reduce([np.cumsum(seconds * share[picked], axis=1) for share in room.shares(pool)])
    course = _Course(
        usd=np.cumsum(pool.usd[picked] * factor, axis=1) * scale,
        elapsed=np.maximum(lanes * scale, np.maximum.accumulate(seconds, axis=1)),
        fixed_usd=fixed.usd * before + fixed.data_usd,
        fixed_seconds=fixed.seconds * before,
        least_usd=(0.0 if strategy == "frontier" else float(np.median(pool.usd))) * level,
    )
    return course.outlay(budget, scale)


def _picked(random: np.random.Generator, settings: int, count: int, *, in_order: bool, once: bool) -> NDArray[np.int64]:
    """Which of the settings each study tries, [STUDIES, count]."""
    every = np.broadcast_to(np.arange(settings), (STUDIES, settings))
    if in_order:
        return every[:, :count]
    if once:  # none is tried twice
        return random.permuted(every, axis=1)[:, :count]
    return random.integers(settings, size=(STUDIES, count))


def _enough(pool: Pool, budget: Budget, fixed: Fixed, room: Room) -> float:
    """More trials than the money, or the time, can be enough for."""
    limits = [math.inf]
    if budget.usd is not None:
        limits.append(max(budget.usd - fixed.usd - fixed.data_usd, 0.0) / float(pool.usd.mean()))
    if budget.wall_seconds is not None:
        work = float((pool.usage.seconds * np.maximum.reduce(room.shares(pool))).mean())
        limits.append(max(budget.wall_seconds - fixed.seconds, 0.0) / work)
    return math.ceil(3 * min(limits) + 10) if math.isfinite(min(limits)) else math.inf
