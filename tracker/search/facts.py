"""What a search knows about a trial: its metrics, their price, and how its costs grow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np

from tracker.records import Direction, QualityMetric, Settings
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.features import Array
from tracker.search.objectives import GROWING, PREDICTION_PRICE
from tracker.search.pace import Pace
from tracker.study.space import GB

_RECENT = 9
"""The next checkpoint is expected to cost the median of this many: a start that was not measured does not count."""
_ALL = 0.999  # of the time between two checkpoints


class Standing(Enum):
    """Whether a trial is running, paused or ended; ELSEWHERE: it belongs to an earlier study."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    ELSEWHERE = "elsewhere"


def own_memory_bytes(settings: Settings) -> float:
    """The memory that a trial has for itself and cannot exceed; infinite without it, and where it trains on GPUs."""
    on_cpu = settings.get("device") != "cuda"
    return float(settings["memory_gb"]) * GB if on_cpu and "memory_gb" in settings else math.inf


class Depth(NamedTuple):
    """A trial's first checkpoint at or after a doubling of its depth: ``level`` is the depth's binary logarithm.

    ``epoch`` is the step that it reported; ``metrics`` [K], of quality the best until then; ``costs`` [3] of
    objectives.GROWING.
    """

    level: float
    epoch: int
    metrics: Array
    costs: Array


class _Time(NamedTuple):
    """What a trial took until a checkpoint, and of that what the starts of its processes did."""

    wall_seconds: float = 0.0
    startup_seconds: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, float]) -> _Time:
        return cls(values.get("wall_seconds", 0.0), values.get("startup_seconds", 0.0))

    def start_share(self, before: _Time) -> float:
        """The share of the time since ``before`` that starts took; 0 where all of it is: the code never said that it
        was ready."""
        wall_seconds, started = self.wall_seconds - before.wall_seconds, self.startup_seconds - before.startup_seconds
        return started / wall_seconds if 0 < started < _ALL * wall_seconds else 0.0


@dataclass(slots=True, eq=False)
class TrialFacts:
    """A trial's checkpoints at each doubling of its depth, and its latest; ``point`` is its settings in the unit cube.

    ``epoch`` is the latest step that it reported; ``pace`` says how deep that is: steps may count anything. ``latest``
    [K] are the metrics there; in ``metrics`` [K] quality is the best so far. ``costs`` [3] are those of
    objectives.GROWING, over all attempts; ``further_costs`` [3] is how much each is expected to grow per unit of depth
    once a process has started. ``seen`` has a Depth for each whole level that a checkpoint reached; ``at`` answers for
    the levels between, too. ``level`` is the deepest of them; -1 without a checkpoint.
    """

    settings: Settings
    point: Array
    ends: Ends
    standing: Standing = Standing.RUNNING
    epoch: int = 0
    pace: Pace = field(default_factory=Pace)
    costs: Array = field(default_factory=lambda: np.full(len(GROWING), np.nan))
    first_costs: Array = field(default_factory=lambda: np.full(len(GROWING), np.nan))
    first_usd: float = math.nan
    latest: Array = field(default_factory=lambda: np.zeros(0))
    metrics: Array = field(default_factory=lambda: np.zeros(0))
    seen: dict[int, Depth] = field(default_factory=dict)
    level: int = -1
    start_share: float = 0.0
    prediction_usd: float = math.nan
    memory_bytes: float = 0.0
    failure: str = ""
    further_costs: Array = field(default_factory=lambda: np.full(len(GROWING), np.nan))
    _time: _Time = field(default_factory=_Time)
    _stride: int = 0
    _growth: list[Array] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Settings, cube: UnitCube, ends: Ends, standing: Standing = Standing.RUNNING) -> TrialFacts:
        """Facts of settings that have no checkpoint yet; ``ends`` is updated with each step they reach.

        Not by those ELSEWHERE: where trainings of an earlier study ended says nothing about this one's.
        """
        return cls(settings, cube.points([settings])[0], ends, standing)

    def observe(self, epoch: int, values: Mapping[str, float], metrics: Sequence[str], quality: QualityMetric) -> bool:
        """Record a checkpoint: of quality, the best so far counts. True where it is the first of its level.

        A checkpoint at or before the last one, reached again by an attempt that lost its state, only adds costs.
        """
        if self.reported and epoch <= self.epoch:
            self.spend(values)
            return False
        costs, time = _costs(values), _Time.of(values)
        if self.reported:
            if not self.epochs_timed:
                self.pace = Pace.of(self.epoch, epoch)
            deeper = self.pace.depth(epoch) - self.depth
            training = (costs - self.costs) * (1 - time.start_share(self._time))
            self._growth = [*self._growth[-_RECENT + 1 :], training / deeper]
            self.further_costs = np.maximum(np.median(self._growth, axis=0), 1e-9 * self.first_costs)
            self._stride = epoch - self.epoch
        else:
            self.pace = Pace.of(epoch)
            self._stride = self.pace.unit
            self.first_costs, self.first_usd = costs, float(costs[0])
            if time.wall_seconds > 0:
                self.start_share = min(time.startup_seconds / time.wall_seconds, 0.99)
            self.further_costs = self.first_costs * (1 - self.start_share)
        self.latest = now = np.array([values[name] for name in metrics])
        if len(self.metrics):
            better = max if quality.direction is Direction.MAXIMIZE else min
            now = np.array([better(now[0], self.metrics[0]), *now[1:]])
        self.epoch, self.costs, self.metrics, self._time = epoch, costs, now, time
        self.prediction_usd = values.get(PREDICTION_PRICE, self.prediction_usd)
        self.memory_bytes = max(self.memory_bytes, values.get("peak_memory_bytes", 0.0))
        if self.standing is not Standing.ELSEWHERE:
            self.ends.reached(self.settings, epoch)
        level = math.log2(self.depth)
        new = int(level) not in self.seen
        if new:
            self.seen[int(level)] = Depth(level, epoch, now, costs)
            self.level = max(self.level, int(level))
        return new

    def spend(self, values: Mapping[str, float]) -> None:
        """Record only the costs of a checkpoint."""
        if self.reported:
            self.costs = np.fmax(self.costs, _costs(values))
            self._time = _Time.of(values)

    def move(self, usd_ratio: float, seconds_ratio: float) -> None:
        """It continues elsewhere: each of its costs grows there so many times as fast, energy as time does."""
        ratios = np.array([usd_ratio, seconds_ratio, seconds_ratio])
        self.further_costs = self.further_costs * ratios
        self._growth = [growth * ratios for growth in self._growth]

    def complete(self) -> None:
        """Mark it as trained to its own end, which is evidence for where others end."""
        if self.reported:
            self.ends.completed(self.settings, self.pace.first, self._stride, self.epoch)

    @property
    def reported(self) -> bool:
        """Whether it has a checkpoint."""
        return bool(self.seen)

    @property
    def depth(self) -> float:
        """How deep its latest checkpoint is."""
        return self.pace.depth(self.epoch)

    def at(self, level: int) -> Depth:
        """Its first checkpoint at a whole level or, where it skipped that, after it."""
        return self.seen[min(each for each in self.seen if each >= level)]

    def price_at(self, depth: float) -> float:
        """What it cost until its first checkpoint at a depth or after it; what it cost so far where none came there."""
        level = math.ceil(math.log2(depth))
        return float(self.at(level).costs[0]) if level <= self.level else self.price_usd

    @property
    def last_epoch(self) -> float:
        """Its last step; infinite where that is unknown, or where it has gone further."""
        last = self.ends.of(self.settings)
        return last if self.epoch <= last else math.inf

    @property
    def last_depth(self) -> float:
        """The depth of its last step, at least that of its first; infinite where that is unknown."""
        return max(self.pace.depth(self.last_epoch), 1.0)

    @property
    def epochs_timed(self) -> int:
        """How many of the latest checkpoints after the first ``further_costs`` is computed from."""
        return len(self._growth)

    @property
    def price_usd(self) -> float:
        """What all of its attempts cost so far."""
        return float(self.costs[0]) if self.reported else 0.0

    @property
    def start_usd(self) -> float:
        """What a new process for it is expected to cost before it trains."""
        return float(self.first_costs[0] * self.start_share) if self.reported else 0.0


def _costs(values: Mapping[str, float]) -> Array:
    return np.array([values.get(name, np.nan) for name in GROWING])
