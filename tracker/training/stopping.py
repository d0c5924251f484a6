"""How a worker comes to stop: it is asked to by a signal, or it notices itself that nobody counts what it spends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from tracker.training.ending import DISK_FAILED
from tracker.training.events import EventLog
from tracker.training.meter import Meter

HEARTBEAT_SECONDS = 2.0
UNWRITTEN_SECONDS = 10.0
"""For how long training continues while no event can be written: what it spends then is known to nobody."""
STOP_SECONDS = 15.0
"""The seconds that training has to stop where this process has asked it to."""
PAUSE_SIGNAL = signal.SIGUSR1
"""Asks a worker to end at once so that its trial can be resumed; SIGTERM ends the trial for good."""
PAUSE_AT_SAVE_SIGNAL = signal.SIGUSR2
"""Asks a worker to pause when it next saves its state: no training is lost."""
_REQUESTS = (signal.SIGTERM, PAUSE_SIGNAL, PAUSE_AT_SAVE_SIGNAL)


def hold_requests() -> None:
    """Let requests wait, in this process and those that it forks, until they are taken."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)


def take_requests() -> None:
    """Take the requests that came meanwhile, and those that come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)


class StopRequested(BaseException):
    """Raised in the main thread of a worker that is asked to stop; like KeyboardInterrupt, not an error."""


class StopSignal:
    """Turns SIGTERM and PAUSE_SIGNAL into StopRequested in the main thread, never in the middle of an event."""

    def __init__(self) -> None:
        self.reason = ""
        """Why, where this process knows better than the coordinator that asked."""
        self.pausing = False
        """Whether the trial is to be resumed."""
        self.pause_at_save: Callable[[], None] = lambda: None
        """What to do when a pause at the next saving is asked for."""
        self._held = False
        self._pending = False
        self._worker = os.getpid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the coordinator decides
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(PAUSE_SIGNAL, self._receive)
        signal.signal(PAUSE_AT_SAVE_SIGNAL, self._pause_at_save)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if os.getpid() != self._worker:  # a fork that training made: it must not end as if it were the worker
            os._exit(128 + number)
        self.pausing = number == PAUSE_SIGNAL
        if self._held:
            self._pending = True
        else:
            raise StopRequested

    def _pause_at_save(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.pause_at_save()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """In this context a request waits for its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise StopRequested

    def ask(self, reason: str) -> None:
        """Ask the main thread to pause, or to stop where it cannot."""
        self.reason = reason
        os.kill(os.getpid(), PAUSE_SIGNAL)

    def ignore(self) -> None:
        """Ignore requests from now on: the training has ended."""
        for number in _REQUESTS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # libraries watch their children there, and raise where one dies


@contextlib.contextmanager
def heartbeat(log: EventLog, meter: Meter, stop: StopSignal, give_up: Callable[[], None]) -> Iterator[None]:
    """Log the usage every two seconds; stop the training where the coordinator has vanished or no event is written.

    ``give_up`` is called where the training does not stop then.
    """
    # Not the process above this one: the forkserver lives for as long as any of its children.
    coordinator, done = multiprocessing.parent_process(), threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            log.write("heartbeat", {"usage": meter.usage()})
            reason = ""
            if coordinator is not None and not coordinator.is_alive():
                reason = "coordinator_gone"
            elif log.failing_seconds > UNWRITTEN_SECONDS:
                reason = DISK_FAILED
            if reason:
                stop.ask(reason)
                if not done.wait(STOP_SECONDS):
                    give_up()
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1.0)
