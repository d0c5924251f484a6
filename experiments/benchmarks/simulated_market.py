"""Simulated machines of three SKUs; a market takes away those that were bought on it."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from experiments.benchmarks.simulated_fleet import At, SimulatedFleet
from experiments.benchmarks.simulated_host import SimulatedHost
from experiments.benchmarks.simulated_workload import metrics_after, quality_of
from tracker.engine.host.node_host import Hello
from tracker.engine.node import Node
from tracker.records import Hardware
from tracker.training.request import AttemptRequest

NOTICE_SECONDS = 30.0
REPLACED_SECONDS = 120.0
"""After so long another machine is there in place of one that was taken away."""
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of machine; an epoch takes ``slowness`` times as long there."""

    sku: str
    market: str
    cores: int
    slowness: float

    @property
    def node(self) -> Node:
        """A machine of this kind, without a name."""
        labels = {"tracker/sku": self.sku, "tracker/market": self.market}
        return Node("", "", self.cores, 0, "", self.cores * 4 * 2**30, labels)


KINDS = (
    Kind("gcp/e2-standard-2", "spot", 2, 1.3),
    Kind("gcp/e2-standard-4", "spot", 4, 1.0),
    Kind("azure/Standard_D2s_v5", "on_demand", 2, 1.2),
)
_SLOWNESS = {kind.sku: kind.slowness for kind in KINDS}


class SearchHost(SimulatedHost):
    """A machine of a fleet on which trials of the simulated workload run, with an epoch of about ``epoch_seconds``.

    Its time of day began with the fleet's clock.
    """

    heartbeat_seconds = 30.0
    epoch_seconds: ClassVar[float] = 60.0

    def __init__(self, now: Callable[[], float], at: At, node: Node, speaks: Callable[[], None]) -> None:
        super().__init__(now, at, node.cores, speaks=speaks)
        self.zero_time = time.time() - now()
        self._node = node

    def course(self, request: AttemptRequest) -> tuple[int, float]:
        """Wide networks take longer."""
        slowness = _SLOWNESS[self._node.labels["tracker/sku"]]
        width = float(request.settings["width"])
        return int(request.settings["epochs"]), self.epoch_seconds * slowness * (0.5 + width / 64)

    def metrics(self, request: AttemptRequest, epoch: int) -> dict[str, float]:
        """As the workload knows them."""
        return metrics_after(epoch, quality_of(request.settings))

    def hello(self) -> Hello:
        """As NodeHost.hello."""
        node = self._node
        precisions = {"cpu": ("fp32",)}
        hardware = Hardware("Linux", "simulated", "x86_64", node.cores, node.memory_bytes, precisions=precisions)
        return Hello(hardware, time.time())


class SpotMarket:
    """Fills a fleet with machines, and takes ``share`` of its spot machines away an hour; others take their place.

    Of three, one is gone at once, one says nothing any more, and one goes after a notice.
    """

    def __init__(self, fleet: SimulatedFleet, share: float, seed: int = 0) -> None:
        self.lost = 0
        self._fleet = fleet
        self._per_second = -math.log(1 - share) / _HOUR_SECONDS
        self._random = random.Random(seed)
        self._manners = itertools.cycle(("unnoticed", "at once", "after a notice"))

    def fill(self, counts: Sequence[int]) -> None:
        """Add so many machines of each kind."""
        for kind, count in zip(KINDS, counts, strict=True):
            for _ in range(count):
                self._add(kind)

    def _add(self, kind: Kind) -> None:
        name = self._fleet.add(kind.node)
        if kind.market == "spot":
            self._fleet.later(self._random.expovariate(self._per_second), lambda: self._take(name, kind))

    def _take(self, name: str, kind: Kind) -> None:
        self.lost += 1
        manner = next(self._manners)
        if manner == "after a notice":
            self._fleet.drain(name, NOTICE_SECONDS)
        else:
            self._fleet.kill(name, noticed=manner == "at once")
        self._fleet.later(REPLACED_SECONDS, lambda: self._add(kind))
