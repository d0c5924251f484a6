"""An attempt whose worker is a process of this machine: asked to stop by signals, closed where it vanished."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

from tracker.engine.engine import STOP_GRACE_SECONDS, Attempt
from tracker.engine.forkserver import Forkserver
from tracker.engine.reservations import Reservation
from tracker.engine.worker_process import WorkerProcess
from tracker.errors import StoreError
from tracker.records import AttemptRecord
from tracker.training.ending import NODE_LOST, vanished, write_ending
from tracker.training.events import Event, EventLog
from tracker.training.request import AttemptRequest
from tracker.training.state import discard_state
from tracker.training.stopping import PAUSE_AT_SAVE_SIGNAL, PAUSE_SIGNAL

SILENCE_SECONDS = 600.0
"""A worker whose log says nothing for so long hangs: it writes every two seconds, unless code that never lets Python
run, or the system, keeps it from that."""


class LocalAttempt(Attempt):
    """A worker that ``forkserver`` started as ``process``."""

    def __init__(
        self, request: AttemptRequest, reservation: Reservation, forkserver: Forkserver, process: WorkerProcess
    ) -> None:
        super().__init__(request, reservation)
        self.process = process
        self._forkserver = forkserver
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

    def read(self, text: bytes | None = None) -> list[Event]:
        """As Attempt.read."""
        events = super().read(text)
        if events:
            self._heard_at = time.monotonic()
        return events

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

    def kill(self, reason: str = "") -> None:
        """End the worker at once; ``reason`` is one word where there is more to say than that somebody wished it."""
        if reason and not self._why_asked:
            EventLog(self.request.log_path).write("stop_asked", {"reason": reason})
            self._why_asked = reason
        self.process.kill()

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

    def close(self) -> None:
        """Make sure that a dead worker has an end, in its log where the disk takes it, and leaves no process behind.

        Raises StoreError where the log cannot be read: it has an end all the same, by what is known of it.
        """
        exit_code, problem = self.process.exit_code(), self._try_to_read()
        if self.record.ended_at is None:
            self._write_end(exit_code)
        if problem is not None:
            raise problem

    def _write_end(self, exit_code: int | None) -> None:
        self._forkserver.kill_strays()
        request = self.request
        known = replace(self.record, reason=self.record.reason or self._why_asked)  # the disk may have taken no event
        starved = self._memory_kills is not None and (_memory_kills() or 0) > self._memory_kills
        ending = vanished(known, exit_code, starved=starved, time_limit_seconds=request.time_limit_seconds)
        kept_epoch = known.saved_epoch or 0 if ending.reason == NODE_LOST else None  # a part of it ran there
        ended: AttemptRecord = write_ending(request.log_path, known, ending, self.wall_seconds, kept_epoch=kept_epoch)
        self._try_to_read()
        if self.record.ended_at is None:
            self.record = ended
        if ending.for_good:
            discard_state(request.folder)

    def _try_to_read(self) -> StoreError | None:
        try:
            self.read()
        except StoreError as error:
            return error
        return None


def launch(forkserver: Forkserver, request: AttemptRequest, reservation: Reservation) -> LocalAttempt:
    """Start a worker for a request whose log has its first event."""
    process = forkserver.start(_work, request)
    return LocalAttempt(request, reservation, forkserver, WorkerProcess(process, forkserver.pid))


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
