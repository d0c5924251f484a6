"""A thread that looks at the attempts of this machine, however long whoever uses them is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import wait

from tracker.engine.local_attempt import LocalAttempt

LOOK_SECONDS = 0.2
"""How long at most no attempt is looked at."""
Report = Callable[[LocalAttempt, bool, Exception | None], None]
"""Receives an attempt that has news, whether it has ended, and what went wrong where it was looked at."""


class Watcher:
    """Reads the events of attempts, ends those that are overdue and closes those that ended.

    ``report`` is called by the thread; a problem with one attempt costs no other one.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._watched: list[LocalAttempt] = []
        self._thread: threading.Thread | None = None
        self._awaken, self._wake = Pipe()
        self._done = False

    def add(self, attempt: LocalAttempt) -> None:
        """Look at an attempt from now on, until it has ended."""
        self._watched.append(attempt)
        self._wake.send_bytes(b"started")

    def start(self) -> None:
        """Start the thread."""
        self._done = False
        self._thread = threading.Thread(target=self._watch, name="watcher of workers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._done = True
        self._wake.send_bytes(b"done")
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Look at every attempt once."""
        for attempt in tuple(self._watched):
            self._look_at(attempt)

    def _watch(self) -> None:
        while not self._done:
            wait([self._awaken, *(attempt.process.sentinel for attempt in self._watched)], LOOK_SECONDS)
            while self._awaken.poll():
                self._awaken.recv_bytes()
            self.look()

    def _look_at(self, attempt: LocalAttempt) -> None:
        ended = not attempt.process.is_alive()
        heard, problem = False, None
        for act in (attempt.close,) if ended else (attempt.read, attempt.end_if_overdue):
            try:
                heard |= bool(act())
            except Exception as error:  # noqa: BLE001 - for whoever uses the attempts
                problem = error
        if ended:
            self._watched.remove(attempt)
        if heard or ended or problem:
            self._report(attempt, ended, problem)
