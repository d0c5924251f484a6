"""Workers on this machine: a ledger of its cores and GPUs, and the processes that hold them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from tracker.engine.asked import write_request
from tracker.engine.forkserver import Forkserver
from tracker.engine.local_attempt import LocalAttempt, launch
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservation, Reservations
from tracker.engine.watcher import Watcher
from tracker.errors import HardwareError, StoreError
from tracker.records import AttemptRecord
from tracker.training.events import Event
from tracker.training.request import AttemptRequest


class LocalEngine:
    """Runs attempts as local processes, each on its own cores (and GPU), at most ``workers`` at once. An Engine."""

    def __init__(self, forkserver: Forkserver, reservations: Reservations, workers: int | None = None) -> None:
        self._forkserver = forkserver
        self._reservations = reservations
        self._workers = workers or len(reservations.cores)
        self.running: list[LocalAttempt] = []
        self._watcher = Watcher(self._seen)
        self._ended: list[LocalAttempt] = []
        self._problem: Exception | None = None
        self._news = threading.Condition()

    @property
    def has_room(self) -> bool:
        """Whether one more worker may run, if its cores are free."""
        return len(self.running) < self._workers

    def reserve(self, needs: Needs, folder: Path | None = None) -> Reservation | None:
        """Reserve cores and GPUs; None when they are not free or enough workers are running.

        Raises HardwareError for an attempt at a trial that was started where there is more: on several machines of a
        cluster, or with more memory.
        """
        del folder  # this machine has every state
        if needs.nodes > 1:
            raise HardwareError(f"a trial trains on {needs.nodes} machines, and this is one; resume on a cluster")
        if needs.memory_bytes > (most := self._reservations.memory_bytes):
            raise HardwareError(
                f"a trial takes {needs.memory_bytes / 2**30:.1f} GB of memory, and those of this machine may take "
                f"{most / 2**30:.1f}; resume where there is more"
            )
        if not self.has_room:
            return None
        return self._reservations.take(needs.cores, needs.accelerators, needs.memory_bytes)

    def start(
        self, request: AttemptRequest, reservation: Reservation, on_event: Callable[[Event], None] | None = None
    ) -> LocalAttempt:
        """Start a worker for a request on ``reservation``; its event log starts with the request.

        ``poll`` passes each of its events to ``on_event``. Raises StoreError where the log cannot be written: nothing
        has started then, and the reservation is free again.
        """
        try:
            write_request(request)
        except StoreError:
            self._reservations.give_back(reservation)
            raise
        attempt = self._launch(request, reservation)
        attempt.on_event = on_event
        self.running.append(attempt)
        self._watcher.add(attempt)
        return attempt

    def _launch(self, request: AttemptRequest, reservation: Reservation) -> LocalAttempt:
        return launch(self._forkserver, request, reservation)

    def poll(self, timeout_seconds: float) -> list[LocalAttempt]:
        """Wait until an attempt has ended, or a little, and return the attempts that ended.

        An ended attempt's record is final; its cores are free again. Raises StoreError where a log cannot be read: the
        next call goes on.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._problem, timeout_seconds)
            problem, self._problem = self._problem, None
            if problem is not None:
                raise problem
            ended, self._ended = self._ended, []
        for attempt in ended:
            self.running.remove(attempt)
            self._reservations.give_back(attempt.reservation)
        for attempt in (*self.running, *ended):
            attempt.pass_on()
        return ended

    def adopt(self, trials: Path) -> Sequence[LocalAttempt]:
        """Nothing: a worker of this machine ends with its coordinator."""
        del trials
        return ()

    def recount(self, ended: Iterable[tuple[Event, AttemptRecord]]) -> None:
        """Nothing: of this machine, what attempts took is all that is counted."""
        del ended

    def pause_all(self, reason: str) -> None:
        """Ask every worker to pause, or to stop where it cannot; ``reason`` is one word. ``poll`` returns them."""
        for attempt in self.running:
            attempt.stop(reason, pause=True)

    def kill_all(self) -> None:
        """Kill every worker at once. ``poll`` returns them."""
        for attempt in tuple(self.running):
            attempt.process.kill()

    def __enter__(self) -> LocalEngine:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the workers that are still running, whatever ended the context, and wait for them."""
        self.kill_all()
        try:
            while self.running:
                with contextlib.suppress(StoreError):  # what cannot be read of a worker that is killed is lost
                    self.poll(1.0)
        finally:
            self._watcher.stop()
            self._reservations.give_all_back()

    def _seen(self, attempt: LocalAttempt, ended: bool, problem: Exception | None) -> None:
        """Keep what the watcher found, for ``poll``."""
        if ended or problem:
            with self._news:
                self._ended += [attempt] * ended
                self._problem = problem or self._problem
                self._news.notify()
