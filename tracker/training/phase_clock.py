"""How the wall time of an attempt divides: start-up, training, evaluation, waiting for data, saving.

Only the seconds of training scale with the device that trains: the others are kept apart from them.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Any

from tracker.records import PhaseSeconds


class _Phase(StrEnum):
    EVALUATION = "evaluation"
    DATA = "data"
    SAVING = "saving"


class PhaseClock:
    """Counts the time inside of contexts as that of their phase; the rest is start-up until ``ready``, then training.

    Contexts may be nested: the outermost alone counts, so that an evaluation that waits for data is evaluation.
    ``wall_seconds`` reads the clock of the attempt, ``on_gpu`` is whether a GPU trains: see ``waiting_for_data``.
    """

    def __init__(self, wall_seconds: Callable[[], float], *, on_gpu: bool = False) -> None:
        self._wall_seconds = wall_seconds
        self._counted = dict.fromkeys(_Phase, 0.0)
        self._open: tuple[_Phase, float] | None = None  # the context that counts now, and since when
        self._gpu = _IdleGpu() if on_gpu else None
        self._started_at: float | None = None  # in wall seconds
        self._counted_before = 0.0  # seconds inside of contexts before that

    def ready(self) -> None:
        """Mark the end of start-up; only the first call counts."""
        if self._started_at is None:
            self._started_at, self._counted_before = self._wall_seconds(), self._counted_seconds()

    @property
    def is_ready(self) -> bool:
        """Whether start-up has ended."""
        return self._started_at is not None

    @property
    def startup_seconds(self) -> float:
        """The wall time until start-up ended; all of it so far, where it has not."""
        return self._wall_seconds() if self._started_at is None else self._started_at

    def evaluating(self) -> AbstractContextManager[None]:
        """Count the time inside as evaluation."""
        return self._within(_Phase.EVALUATION)

    def saving(self) -> AbstractContextManager[None]:
        """Count the time inside as saving: states and files are written."""
        return self._within(_Phase.SAVING)

    def waiting_for_data(self) -> AbstractContextManager[None]:
        """Count the time inside as waiting for data.

        The host runs ahead of a GPU, which trains while the next batch is read: there only the time counts in which
        the GPU has nothing left to do.
        """
        outermost_on_gpu = self._gpu is not None and self._open is None
        return self._while_gpu_is_idle() if outermost_on_gpu else self._within(_Phase.DATA)

    def phases(self) -> PhaseSeconds:
        """How the wall time so far divides: the phases add up to it."""
        wall = self._wall_seconds()
        evaluation, data, saving = (self._seconds(phase) for phase in _Phase)
        counted = evaluation + data + saving
        started_at, before = (wall, counted) if self._started_at is None else (self._started_at, self._counted_before)
        startup = max(0.0, started_at - before)
        return PhaseSeconds(startup, max(0.0, wall - startup - counted), evaluation, data, saving)

    @contextmanager
    def _while_gpu_is_idle(self) -> Iterator[None]:
        assert self._gpu is not None
        with self._within(_Phase.DATA), self._gpu.watched():
            yield

    @contextmanager
    def _within(self, phase: _Phase) -> Iterator[None]:
        if self._open is not None:
            yield
            return
        self._open = phase, time.monotonic()
        try:
            yield
        finally:
            begin = self._open[1]
            self._counted[phase] += time.monotonic() - begin
            self._open = None

    def _seconds(self, phase: _Phase) -> float:
        if phase is _Phase.DATA and self._gpu is not None:
            return self._gpu.seconds()
        now_open = self._open
        since = time.monotonic() - now_open[1] if now_open is not None and now_open[0] is phase else 0.0
        return self._counted[phase] + since

    def _counted_seconds(self) -> float:
        return sum(map(self._seconds, _Phase))


class _IdleGpu:
    """How long this process's GPU had nothing to do while it was watched.

    An event at the beginning comes up when the GPU is done with all that it was given before; one at the end, when it
    is done with what was given to it meanwhile. Nothing waits for either: they are read once they have come up.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._pending: deque[tuple[Any, Any, float]] = deque()

    @contextmanager
    def watched(self) -> Iterator[None]:
        import torch  # a clock of a CPU run must not touch CUDA

        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        since = time.monotonic()
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # a GPU that has failed says so to the training itself
                end.record()
                self._pending.append((begin, end, time.monotonic() - since))
                self._read()

    def seconds(self) -> float:
        """Seconds so far, in which the latest may be missing; of a GPU that has failed, those until then."""
        with contextlib.suppress(RuntimeError):
            self._read()
        return self._seconds

    def _read(self) -> None:
        while self._pending and self._pending[0][1].query():
            begin, end, most = self._pending.popleft()
            self._seconds += min(begin.elapsed_time(end) / 1000, most)
