"""A cluster's engine that notes what it costs its coordinator, and studies that run on a fleet of one's own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tracker.engine.cluster.attempt import ClusterAttempt
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservation
from tracker.runner import machines
from tracker.training.events import Event
from tracker.training.request import AttemptRequest


class MeasuredEngine(ClusterEngine):
    """``cpu_seconds`` is the processor's time of its calls and of its own thread; ``started`` counts attempts.

    ``began`` and ``ended_at`` are when its thread began and ended, by the fleet's clock.
    """

    cpu_seconds = 0.0
    own_cpu_seconds = 0.0
    started = 0
    most_running = 0
    began = ended_at = 0.0

    def reserve(self, needs: Needs, folder: Path | None = None) -> Reservation | None:
        """As ClusterEngine.reserve."""
        with self._measured():
            return super().reserve(needs, folder)

    def start(
        self, request: AttemptRequest, reservation: Reservation, on_event: Callable[[Event], None] | None = None
    ) -> ClusterAttempt:
        """As ClusterEngine.start."""
        with self._measured():
            self.started += 1
            attempt = super().start(request, reservation, on_event)
            self.most_running = max(self.most_running, len(self.running))
            return attempt

    def poll(self, timeout_seconds: float) -> list[ClusterAttempt]:
        """As ClusterEngine.poll."""
        with self._measured():
            return super().poll(timeout_seconds)

    def _run(self) -> None:
        self.began = self._fleet.now()
        before = time.thread_time()
        with self._measured():
            super()._run()
        self.own_cpu_seconds = time.thread_time() - before
        self.ended_at = self._fleet.now()

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        before = time.thread_time()
        try:
            yield
        finally:
            self.cpu_seconds += time.thread_time() - before


@contextlib.contextmanager
def studies_on(fleet: Fleet, engine_class: type[MeasuredEngine] = MeasuredEngine) -> Iterator[Sequence[MeasuredEngine]]:
    """Run this process's studies that name a cluster on ``fleet``, while the context is; the engines that they get."""
    made: list[MeasuredEngine] = []

    @contextlib.contextmanager
    def connected(*_: Any, **__: Any) -> Iterator[Fleet]:
        yield fleet

    def engine(*arguments: Any) -> MeasuredEngine:
        made.append(engine_class(*arguments))
        return made[-1]

    with mock.patch.object(machines, "connected", connected), mock.patch.object(machines, "ClusterEngine", engine):
        yield made
