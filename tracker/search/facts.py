"""What a search knows of a trial: what it reached at which price, and how its costs grow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np

from tracker.records import Direction, QualityMetric, Settings, last_epoch_of
from tracker.search.encoding import UnitCube
from tracker.search.features import Array
from tracker.search.objectives import GROWING, PREDICTION_PRICE

_RECENT = 9
"""Of so many epochs the median cost is what the next one is expected to cost: starts in between do not count."""


class Standing(Enum):
    """Whether a trial trains, waits or is over; ELSEWHERE it was one of an earlier study."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    ELSEWHERE = "elsewhere"


class Depth(NamedTuple):
    """A trial where it first came as deep as a doubling of the epoch: ``level`` is the binary logarithm of its epoch.

    ``metrics`` [K], of quality the best until then; ``costs`` [3] of objectives.GROWING.
    """

    level: float
    metrics: Array
    costs: Array


@dataclass(slots=True, eq=False)
class TrialFacts:
    """A trial's checkpoints at each doubling of the epoch, and its latest; ``point`` is where its settings are.

    ``latest`` [K] are the metrics there; in ``metrics`` [K] quality is the best so far. ``costs`` [3] are those of
    objectives.GROWING, over all attempts; ``costs_an_epoch`` [3] is how much one more epoch is expected to take of
    each. ``seen`` has a Depth for each whole binary logarithm of the epoch: the first checkpoint from there on.
    """

    settings: Settings
    point: Array
    last_epoch: float = math.inf
    standing: Standing = Standing.RUNNING
    epoch: int = 0
    costs: Array = field(default_factory=lambda: np.full(len(GROWING), np.nan))
    first_costs: Array = field(default_factory=lambda: np.full(len(GROWING), np.nan))
    first_usd: float = math.nan
    latest: Array = field(default_factory=lambda: np.zeros(0))
    metrics: Array = field(default_factory=lambda: np.zeros(0))
    seen: dict[int, Depth] = field(default_factory=dict)
    start_share: float = 0.0
    prediction_usd: float = math.nan
    memory_bytes: float = 0.0
    failure: str = ""
    costs_an_epoch: Array = field(default_factory=lambda: np.full(len(GROWING), np.nan))
    _growth: list[Array] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Settings, cube: UnitCube, standing: Standing = Standing.RUNNING) -> TrialFacts:
        """What is known of settings before they are tried."""
        return cls(settings, cube.points([settings])[0], last_epoch_of(settings), standing)

    def observe(self, epoch: int, values: Mapping[str, float], metrics: Sequence[str], quality: QualityMetric) -> bool:
        """Take in a checkpoint: of quality, the best so far counts. True where it is the first of its depth.

        A checkpoint at or before the last one, which an attempt that lost its state reaches again, only costs.
        """
        costs = np.array([values.get(name, np.nan) for name in GROWING])
        if epoch <= self.epoch:
            self.costs = np.fmax(self.costs, costs)
            return False
        if self.epoch:
            self._growth = [*self._growth[-_RECENT + 1 :], (costs - self.costs) / (epoch - self.epoch)]
            self.costs_an_epoch = np.maximum(np.median(self._growth, axis=0), 1e-9 * self.first_costs)
        else:
            self.first_costs, self.first_usd = costs / epoch, float(costs[0])
            seconds = values.get("wall_seconds", 0.0)
            self.start_share = min(values.get("startup_seconds", 0.0) / seconds, 0.99) if seconds > 0 else 0.0
            self.costs_an_epoch = self.first_costs * (1 - self.start_share)
        self.latest = now = np.array([values[name] for name in metrics])
        if len(self.metrics):
            better = max if quality.direction is Direction.MAXIMIZE else min
            now = np.array([better(now[0], self.metrics[0]), *now[1:]])
        self.epoch, self.costs, self.metrics = epoch, costs, now
        self.prediction_usd = values.get(PREDICTION_PRICE, self.prediction_usd)
        self.memory_bytes = max(self.memory_bytes, values.get("peak_memory_bytes", 0.0))
        level = int(math.log2(epoch))
        new = level not in self.seen
        if new:
            self.seen[level] = Depth(math.log2(epoch), now, costs)
        return new

    @property
    def epochs_timed(self) -> int:
        """How many epochs ``costs_an_epoch`` is from, beside the first, the latest only."""
        return len(self._growth)

    @property
    def price_usd(self) -> float:
        """What all of its attempts cost so far."""
        return float(self.costs[0]) if self.epoch else 0.0

    @property
    def start_usd(self) -> float:
        """What a new process for it is expected to cost before it trains."""
        return float(self.first_costs[0] * self.start_share) if self.epoch else 0.0
