"""Workers on this machine: a ledger of its cores and GPUs, and the processes that hold them."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType

from tracker.engine.forkserver import Forkserver
from tracker.engine.reservations import Reservation, Reservations
from tracker.engine.worker_process import WorkerProcess
from tracker.errors import StoreError
from tracker.records import AttemptRecord
from tracker.training.ending import vanished, write_ending
from tracker.training.events import Event, EventLog, EventReader, follow, new_attempt, set_aside
from tracker.training.request import AttemptRequest
from tracker.training.state import discard_state
from tracker.training.stopping import PAUSE_AT_SAVE_SIGNAL, PAUSE_SIGNAL

STOP_GRACE_SECONDS = 5.0
SILENCE_SECONDS = 600.0
"""A worker whose log says nothing for so long hangs: it writes every two seconds, unless code that never lets Python
run, or the system, keeps it from that."""
LOOK_SECONDS = 0.2
"""How long at most no attempt is looked at."""


class Attempt:
    """A running attempt, as its coordinator sees it."""

    def __init__(self, request: AttemptRequest, reservation: Reservation, process: WorkerProcess) -> None:
        self.on_event: Callable[[Event], None] | None = None
        self.request = request
        self.reservation = reservation
        self.process = process
        self.record: AttemptRecord = new_attempt(request.attempt, request.asked_at, len(request.cores))
        self._reader = EventReader(request.log_path)
        self._unseen: deque[Event] = deque()
        self._why_asked = ""
        self._stop_deadline: float | None = None
        self._heard_at = time.monotonic()
        self._memory_kills = _memory_kills()

    @property
    def wall_seconds(self) -> float:
        """Seconds since it was requested: what it would be billed for if it ended now."""
        return max(self.record.usage.wall_seconds, time.monotonic() - self.request.asked_steady)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop or to pause at once."""
        return self._stop_deadline is not None

    def read(self) -> None:
        """Update ``record``."""
        events = self._reader.new_events()
        if events:
            self._heard_at = time.monotonic()
            self.record = follow(self.record, events)
            self._unseen.extend(events if self.on_event is not None else ())

    def pass_on(self) -> None:
        """Pass new events to ``on_event``."""
        while self._unseen and self.on_event is not None:
            self.on_event(self._unseen.popleft())

    def stop(self, reason: str, *, pause: bool = False) -> None:
        """Ask the worker to stop, or to pause if it can; it is killed when it has not ended in the grace period."""
        if self._stop_deadline is None:
            EventLog(self.request.log_path).write("stop_asked", {"reason": reason})
            self._why_asked = reason
            self._stop_deadline = time.monotonic() + STOP_GRACE_SECONDS
            self.process.send(PAUSE_SIGNAL if pause else signal.SIGTERM)

    def pause_at_save(self) -> None:
        """Ask the worker to pause when it next saves its state; one that saves none continues."""
        self.process.send(PAUSE_AT_SAVE_SIGNAL)

    def end_if_overdue(self) -> None:
        """Stop a worker that is past its time limit, hangs or lost its forkserver; kill one that does not stop."""
        limit = self.request.time_limit_seconds
        if limit is not None and self.wall_seconds > limit:
            self.stop("time_limit")
        elif time.monotonic() - self._heard_at > SILENCE_SECONDS:
            self.stop("no_heartbeat")
        elif self.process.is_orphan:
            self.stop("forkserver_died", pause=True)
        if self._stop_deadline is not None and time.monotonic() > self._stop_deadline:
            self.process.kill()

    @property
    def last_known(self) -> AttemptRecord:
        """Its record, with why it was asked to stop, which its log may lack: the disk may take no event."""
        return replace(self.record, reason=self.record.reason or self._why_asked)

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether the system's out-of-memory killer was active since it started, as far as the system reports it."""
        return self._memory_kills is not None and (_memory_kills() or 0) > self._memory_kills


class LocalEngine:
    """Runs attempts as local processes, each on its own cores (and GPU), at most ``workers`` at once.

    As a context it has a thread of its own that looks at the attempts, however long its user is busy: it reads their
    events and ends those that are overdue. It leaves no worker behind.
    """

    def __init__(self, forkserver: Forkserver, reservations: Reservations, workers: int | None = None) -> None:
        self._forkserver = forkserver
        self._reservations = reservations
        self._workers = workers or len(reservations.cores)
        self.running: list[Attempt] = []
        self._watched: list[Attempt] = []
        self._ended: list[Attempt] = []
        self._problem: Exception | None = None
        self._news = threading.Condition()
        self._watcher: threading.Thread | None = None
        self._awaken, self._wake = Pipe()
        self._done = False

    @property
    def has_room(self) -> bool:
        """Whether one more worker may run, if its cores are free."""
        return len(self.running) < self._workers

    def reserve(self, cores: int, accelerators: int = 0) -> Reservation | None:
        """Reserve cores and GPUs; None when they are not free or enough workers are running."""
        return self._reservations.take(cores, accelerators) if self.has_room else None

    def start(
        self, request: AttemptRequest, reservation: Reservation, on_event: Callable[[Event], None] | None = None
    ) -> Attempt:
        """Start a worker for a request on ``reservation``; its event log starts with the request.

        ``poll`` passes each of its events to ``on_event``. Raises StoreError where the log cannot be written: nothing
        has started then, and the reservation is free again.
        """
        try:
            _write_request(request)
        except StoreError:
            self._reservations.give_back(reservation)
            raise
        attempt = self._launch(request, reservation)
        attempt.on_event = on_event
        self.running.append(attempt)
        self._watched.append(attempt)
        self._wake.send_bytes(b"started")
        return attempt

    def _launch(self, request: AttemptRequest, reservation: Reservation) -> Attempt:
        process = self._forkserver.start(_work, request)
        return Attempt(request, reservation, WorkerProcess(process, self._forkserver.pid))

    def poll(self, timeout_seconds: float) -> list[Attempt]:
        """Wait until an attempt has ended, or a little, and return the attempts that ended.

        An ended attempt's record is final; its cores are free again. Raises StoreError where a log cannot be read: the
        next call goes on.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._problem, timeout_seconds)
            ended, self._ended = self._ended, []
            problem, self._problem = self._problem, None
            if problem is not None:
                self._ended = ended
                raise problem
        for attempt in ended:
            self.running.remove(attempt)
            self._reservations.give_back(attempt.reservation)
        for attempt in (*self.running, *ended):
            attempt.pass_on()
        return ended

    def pause_all(self, reason: str) -> None:
        """Ask every worker to pause, or to stop where it cannot; ``reason`` is one word. ``poll`` returns them."""
        for attempt in self.running:
            attempt.stop(reason, pause=True)

    def kill_all(self) -> None:
        """Kill every worker at once. ``poll`` returns them."""
        for attempt in tuple(self.running):
            attempt.process.kill()

    def __enter__(self) -> LocalEngine:
        self._done = False
        self._watcher = threading.Thread(target=self._watch, name="watcher of workers", daemon=True)
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
            self._done = True
            self._wake.send_bytes(b"done")
            if self._watcher is not None:
                self._watcher.join()

    def _watch(self) -> None:
        while not self._done:
            wait([self._awaken, *(attempt.process.sentinel for attempt in self._watched)], LOOK_SECONDS)
            while self._awaken.poll():
                self._awaken.recv_bytes()
            self._look()

    def _look(self) -> None:
        """Look at every attempt once; a problem with one is raised where the engine is used, and costs no other one."""
        for attempt in tuple(self._watched):
            ended = not attempt.process.is_alive()
            try:
                if ended:
                    self._close(attempt)
                else:
                    self._read(attempt)
                    attempt.end_if_overdue()
            except Exception as error:  # noqa: BLE001 - raised by poll
                self._problem = error
            if ended:
                self._watched.remove(attempt)
            with self._news:
                self._ended += [attempt] * ended
                if self._ended or self._problem:
                    self._news.notify()

    def _read(self, attempt: Attempt) -> None:
        try:
            attempt.read()
        except StoreError as error:  # it is still watched, and ends by what is known of it
            self._problem = error

    def _close(self, attempt: Attempt) -> None:
        """Make sure that a dead worker has an end, in its log where the disk takes it, and leaves no process behind."""
        request, exit_code = attempt.request, attempt.process.exit_code()
        self._read(attempt)
        if attempt.record.ended_at is not None:
            return
        self._forkserver.kill_strays()
        known = attempt.last_known
        ending = vanished(
            known,
            exit_code,
            starved=attempt.ran_out_of_memory,
            time_limit_seconds=request.time_limit_seconds,
        )
        ended = write_ending(request.log_path, known, ending, attempt.wall_seconds)
        self._read(attempt)
        if attempt.record.ended_at is None:
            attempt.record = ended
        if ending.for_good:
            discard_state(request.folder)


def _write_request(request: AttemptRequest) -> None:
    """Write the first event of an attempt. Raises StoreError."""
    asked = {
        "role": request.role,
        "label": request.label,
        "attempt": request.attempt,
        "settings": request.settings,
        "seed": request.seed,
        "cores": request.cores,
        "accelerators": request.accelerators,
        "price_point": request.price_point.row,
        "price_book": request.price_book,
        "last_epoch": request.last_epoch,
        "user": request.user,
        "time": request.asked_at,
        "steady": request.asked_steady,
    }
    log = EventLog(request.log_path)
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        set_aside(request.log_path)
        problem = "" if log.write("asked", asked) else log.problem
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise StoreError(f"event log '{request.log_path}' cannot be written: {problem}; {request.label} did not start")


def _memory_kills() -> int | None:
    """The count of out-of-memory kills on Linux; None where it is not available (proc_vmstat)."""
    try:
        lines = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(lines["oom_kill"]) if "oom_kill" in lines else None


def _work(request: AttemptRequest) -> None:
    """The whole life of a worker. Only its process imports what it trains with: torch takes seconds and much memory."""
    from tracker.training import worker

    worker.work(request)
