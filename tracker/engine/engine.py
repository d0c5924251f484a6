"""What runs attempts, as the runner sees it: an engine, and the attempts that it runs, wherever their workers are."""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tracker.engine.node import Needs
from tracker.engine.reservations import Reservation
from tracker.records import AttemptRecord
from tracker.training.events import Event, EventReader, follow, new_attempt
from tracker.training.request import AttemptRequest

STOP_GRACE_SECONDS = 5.0
"""How long a worker that was asked to stop may take to save and end, before it is killed."""


class Attempt(abc.ABC):
    """A running attempt: ``record`` is what its event log, on the coordinator's disk, says so far.

    ``on_event`` receives each of its events while its engine is polled.
    """

    def __init__(self, request: AttemptRequest, reservation: Reservation) -> None:
        self.request = request
        self.reservation = reservation
        self.on_event: Callable[[Event], None] | None = None
        self.record: AttemptRecord = new_attempt(request.attempt, request.asked_at, len(request.cores))
        self._reader = EventReader(request.log_path)
        self._unseen: deque[Event] = deque()

    @property
    @abc.abstractmethod
    def wall_seconds(self) -> float:
        """Seconds since it was requested: what it would be billed for if it ended now."""

    @property
    @abc.abstractmethod
    def stopping(self) -> bool:
        """Whether it was asked to stop or to pause at once."""

    @abc.abstractmethod
    def stop(self, reason: str, *, pause: bool = False) -> None:
        """Ask the worker to stop, or to pause if it can; it is killed when it has not ended in the grace period."""

    @abc.abstractmethod
    def pause_at_save(self) -> None:
        """Ask the worker to pause when it next saves its state; one that saves none continues."""

    @property
    def read_bytes(self) -> int:
        """How much of its event log was read."""
        return self._reader.read_bytes

    def read(self, text: bytes | None = None) -> list[Event]:
        """Update ``record``, and return the events that are new. Raises StoreError where the log cannot be read.

        ``text`` is what the log has after ``read_bytes``, where that is known; None to read it.
        """
        events = self._reader.new_events() if text is None else self._reader.events_in(text)
        if events:
            self.record = follow(self.record, events)
            self._unseen.extend(events if self.on_event is not None else ())
        return events

    def pass_on(self) -> None:
        """Pass new events to ``on_event``."""
        while self._unseen and self.on_event is not None:
            self.on_event(self._unseen.popleft())


class Engine(Protocol):
    """Runs attempts, on this machine or on many. As a context it watches them, however long its user is busy.

    It leaves no worker behind when its context ends; it may be entered again.
    """

    @property
    def running(self) -> Sequence[Attempt]:
        """The attempts that have not ended, as far as ``poll`` has returned them."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether one more worker may run, if there is a machine for it."""
        ...

    def reserve(self, needs: Needs, folder: Path | None = None) -> Reservation | None:
        """Reserve a place for an attempt; None where there is none now.

        ``folder`` is that of its trial: a machine that has the state to resume from is preferred.
        """
        ...

    def start(
        self, request: AttemptRequest, reservation: Reservation, on_event: Callable[[Event], None] | None = None
    ) -> Attempt:
        """Start a worker for a request on ``reservation``; its event log starts with the request.

        ``poll`` passes each of its events to ``on_event``. Raises StoreError where the log cannot be written: nothing
        has started then, and the reservation is free again.
        """
        ...

    def poll(self, timeout_seconds: float) -> Sequence[Attempt]:
        """Wait until an attempt has ended, or a little, and return the attempts that ended.

        An ended attempt's record is final; its place is free again. Raises StoreError where a log cannot be read: the
        next call goes on.
        """
        ...

    def adopt(self, trials: Path) -> Sequence[Attempt]:
        """Continue what still runs of a study whose coordinator is gone, and return it; before the context begins.

        ``trials`` has the folders of its attempts.
        """
        ...

    def recount(self, ended: Iterable[tuple[Event, AttemptRecord]]) -> None:
        """Count again what attempts took of machines: ``ended`` are all that have ended, each with its first event."""
        ...

    def pause_all(self, reason: str) -> None:
        """Ask every worker to pause, or to stop where it cannot; ``reason`` is one word. ``poll`` returns them."""
        ...

    def kill_all(self) -> None:
        """Kill every worker at once; also from a signal handler. ``poll`` returns them."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
