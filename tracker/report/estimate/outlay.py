"""What a study spends, and how long it takes, by its budget: many studies of the kind are played through."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.report.estimate.billing import Pool
from tracker.study.spec import Budget

Array = NDArray[np.float64]

STUDIES = 400
"""How many studies are played through."""
MOST_TRIALS = 2000
"""A study of more trials is played through with so many, and its sums are scaled."""
CONFIDENCE = 0.90
"""The share of these studies between the low and the high figure."""
_FIXED_DEVIATION = 0.12
"""Standard deviation of the logarithm of what the same work takes on another day."""
_BETWEEN_SECONDS = 0.2
"""Between the end of a trial and the start of the next one with its cores: the coordinator looks so often."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure: the likely one, and what CONFIDENCE of the cases lie between."""

    low: float
    likely: float
    high: float

    @classmethod
    def of(cls, values: Array) -> Spread:
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
    """What may run at once: trials, cores and GPUs."""

    workers: int
    cores: int
    accelerators: int


@dataclass(frozen=True, slots=True)
class Outlay:
    """What a study spends in all, its whole trainings, and the seconds from its start to its end."""

    spend_usd: Spread
    trials: Spread
    seconds: Spread


@dataclass(frozen=True, slots=True)
class Doubt:
    """Standard deviations of logarithms: of one training's seconds, and of those of all of them together."""

    each: float
    level: float


def play(pool: Pool, budget: Budget, fixed: Fixed, room: Room, doubt: Doubt, *, strategy: str, size: float) -> Outlay:
    """Play many studies that draw their trials from ``pool``, in its order where the strategy is "grid".

    ``size`` is how many different settings the space has. Money that is left for less than a trial stays unspent,
    unless trials are paused and resumed (strategy "frontier").
    """
    random = np.random.default_rng(0)
    wanted = min(size, math.inf if budget.trials is None else budget.trials)
    count = int(min(wanted, _enough(pool, budget, fixed, room), MOST_TRIALS))
    scale = min(wanted, _enough(pool, budget, fixed, room)) / count
    picked = random.integers(len(pool.usd), size=(STUDIES, count))
    if strategy == "grid":
        picked = np.broadcast_to(np.arange(count) % len(pool.usd), (STUDIES, count))
    elif size <= len(pool.usd):  # no settings are tried twice
        picked = random.permuted(np.broadcast_to(np.arange(len(pool.usd)), (STUDIES, len(pool.usd))), axis=1)[:, :count]
    level = np.exp(doubt.level * random.standard_normal((STUDIES, 1)))
    factor = level * np.exp(doubt.each * random.standard_normal((STUDIES, count)) - doubt.each**2 / 2)
    fixed_factor = np.exp(_FIXED_DEVIATION * random.standard_normal(STUDIES))
    fixed_usd, fixed_seconds = fixed.usd * fixed_factor + fixed.data_usd, fixed.seconds * fixed_factor
    usd = np.cumsum(pool.usd[picked] * factor, axis=1) * scale
    seconds = pool.usage.seconds[picked] * factor + _BETWEEN_SECONDS
    elapsed = (
        np.maximum.reduce(
            [
                np.cumsum(seconds, axis=1) / room.workers,
                np.cumsum(seconds * pool.cores[picked], axis=1) / max(room.cores, 1),
                np.cumsum(seconds * pool.accelerators[picked], axis=1) / max(room.accelerators, 1),
            ]
        )
        * scale
    )
    elapsed = np.maximum(elapsed, np.maximum.accumulate(seconds, axis=1))
    starts = np.ones(usd.shape, dtype=bool)
    if budget.usd is not None:
        before = np.concatenate([np.zeros((STUDIES, 1)), usd[:, :-1]], axis=1) + fixed_usd[:, None]
        least = 0.0 if strategy == "frontier" else float(np.median(pool.usd)) * level
        starts &= before + np.where(np.arange(count) == 0, 0.0, least) < budget.usd
    if budget.wall_seconds is not None:
        before = np.concatenate([np.zeros((STUDIES, 1)), elapsed[:, :-1]], axis=1) + fixed_seconds[:, None]
        starts &= before < budget.wall_seconds
    last = starts.sum(axis=1) - 1
    none = last < 0
    at = (np.arange(STUDIES), np.maximum(last, 0))
    spent, took = np.where(none, 0.0, usd[at]), np.where(none, 0.0, elapsed[at])
    share = np.ones(STUDIES)  # of what the started trials would need: the rest is cut off
    if budget.usd is not None:
        share = np.minimum(share, np.maximum(budget.usd - fixed_usd, 0.0) / np.maximum(spent, 1e-300))
    if budget.wall_seconds is not None:
        left = np.maximum(budget.wall_seconds - fixed_seconds, 0.0)
        share = np.minimum(share, left / np.maximum(took, 1e-300))
    return Outlay(
        Spread.of(fixed_usd + spent * share),
        Spread.of((last + 1) * scale),
        Spread.of(fixed_seconds + took * share),
    )


def _enough(pool: Pool, budget: Budget, fixed: Fixed, room: Room) -> float:
    """More trials than the money, or the time, can be enough for."""
    limits = [math.inf]
    if budget.usd is not None:
        limits.append(max(budget.usd - fixed.usd - fixed.data_usd, 0.0) / float(pool.usd.mean()))
    if budget.wall_seconds is not None:
        work = float((pool.usage.seconds * np.maximum(pool.cores / room.cores, 1 / room.workers)).mean())
        limits.append(max(budget.wall_seconds - fixed.seconds, 0.0) / work)
    return math.ceil(3 * min(limits) + 10) if math.isfinite(min(limits)) else math.inf
