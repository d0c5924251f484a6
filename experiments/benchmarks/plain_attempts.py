"""Attempts on an engine without a study around them: nothing decides, prices or logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tracker.engine.cluster.attempt import ClusterAttempt
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.node import Needs, Node
from tracker.engine.reservations import Reservation
from tracker.pricing.price_book import load_price_book
from tracker.pricing.price_point import PricePoint
from tracker.records import DataCard, Direction, Market, QualityMetric, Role, Settings
from tracker.runner.coordinator import LAUNCH_SECONDS
from tracker.training.request import AttemptRequest

RATE = load_price_book().point("aws/m7i.large", Market.ON_DEMAND)
HARDWARE: Settings = {"device": "cpu", "threads": 1, "precision": "fp32", "compile": False}


def request_for(
    reservation: Reservation, folder: Path, workload: str, settings: Settings, number: int = 1
) -> AttemptRequest:
    """The request for attempt ``number`` at a training on the CPU; its files are in ``folder``."""
    return AttemptRequest(
        study="study",
        quality=QualityMetric("accuracy", Direction.MAXIMIZE),
        folder=folder,
        attempt=number,
        role=Role.TRIAL,
        label="#0",
        workload=workload,
        settings={**HARDWARE, **settings},
        data={},
        data_card=DataCard("digits", "8x8", {"train": 1400}),
        seed=0,
        cores=reservation.cores,
        accelerators=(),
        accelerator_model="",
        price_point=reservation.price_point or RATE,
        price_book="",
        cache=folder,
        asked_at=time.time(),
        node=reservation.node.node_id if reservation.node else "",
        span=reservation.span,
        memory_bytes=reservation.memory_bytes,
    )


def rate(node: Node, needs: Needs) -> PricePoint:
    """Every machine is billed alike."""
    del node, needs
    return RATE


class PlainAttempts:
    """Starts attempts at a training on ``engine``, which is entered, one at each trial after the other.

    ``running`` are those that have not ended, ``ended`` those that have, in that order.
    """

    def __init__(self, engine: ClusterEngine, folder: Path, workload: str, settings: Settings) -> None:
        self.engine = engine
        self.ended: list[ClusterAttempt] = []
        self.started = 0
        self._folder, self._workload, self._settings = folder, workload, settings

    def fill(self, most: int) -> None:
        """Start attempts at new trials where there is room, until so many were started, for LAUNCH_SECONDS at most."""
        until = time.monotonic() + LAUNCH_SECONDS
        while self.started < most and time.monotonic() < until and self.start(self.started) is not None:
            self.started += 1

    def start(self, trial: int, number: int = 1) -> ClusterAttempt | None:
        """Start attempt ``number`` at a trial; None where there is no place now."""
        folder = self._folder / str(trial)
        reservation = self.engine.reserve(Needs(1), folder)
        if reservation is None:
            return None
        return self.engine.start(request_for(reservation, folder, self._workload, self._settings, number), reservation)

    def follow(self, seconds: float = 0.1) -> None:
        """Wait until an attempt has ended, or so long."""
        self.ended += self.engine.poll(seconds)

    def run(self, count: int, turn: Callable[[], None] = lambda: None) -> None:
        """Run so many attempts to their end; ``turn`` is called again and again meanwhile."""
        while len(self.ended) < count:
            self.fill(count)
            self.follow()
            turn()
