"""Writes to MLflow and Optuna on threads of their own: whatever those do, no training waits for it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Protocol

from tracker.errors import StoreError
from tracker.records import Behind

FLUSH_SECONDS = 2.0
"""How long entries wait at least to be written together."""
LONGEST_PAUSE_SECONDS = 30.0
"""Each try that fails doubles the pause before the next one, up to this."""


class Outbox(Protocol):
    """What waits to be written somewhere."""

    @property
    def behind(self) -> Behind | None:
        """How much of it waits, and how long; None where nothing does."""

    def flush(self) -> None:
        """Write it. Raises StoreError, and keeps what is not written; RefusedError for what will never be taken."""


class Delivery:
    """In this context what is in ``outbox`` is written now and then, in the order of what happened.

    Outside of the context ``settle`` writes it where it is called.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._turn = threading.Condition()
        self._asked = 0
        self._tried = 0
        self._done = False
        self._thread: threading.Thread | None = None
        self.problem = ""
        """Why the last try failed; "" where it did not."""

    @property
    def behind(self) -> Behind | None:
        """How far what is written is behind."""
        return self._outbox.behind

    def settle(self) -> bool:
        """Write all there is; False where not everything is accepted now."""
        if self._thread is None:
            self._try()
        else:
            with self._turn:
                self._asked += 1
                asked = self._asked
                self._turn.notify_all()
                self._turn.wait_for(lambda: self._tried >= asked)
        return not self.problem

    def _try(self) -> None:
        try:
            self._outbox.flush()
            self.problem = ""
        except StoreError as error:
            self.problem = str(error)

    def _deliver(self) -> None:
        pause = FLUSH_SECONDS
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._done or self._asked > self._tried, pause)
                if self._done:
                    return
                asked = self._asked
            self._try()
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS) if self.problem else FLUSH_SECONDS
            with self._turn:
                self._tried = asked
                self._turn.notify_all()

    def __enter__(self) -> Delivery:
        self._done = False
        self._thread = threading.Thread(target=self._deliver, name="delivery", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._done = True
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
