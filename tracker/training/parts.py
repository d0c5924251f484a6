"""The parts of an attempt on further machines, as the worker on the first knows them."""

from __future__ import annotations

import contextlib
import math
import secrets
import socket
import threading
import time
from collections.abc import Callable
from io import BufferedIOBase
from types import TracebackType
from typing import cast

from tracker.records import TrialState
from tracker.training.ending import PROCESS_DIED, Ending
from tracker.training.line import ending_in, keep_alive, listening, read, write
from tracker.training.processes import FAILURE_SECONDS, Verdict, patience
from tracker.training.span import Span

VANISHED_SECONDS = 4.0
"""How long an attempt that lost a part waits to be killed: its coordinator knows whether the machine is lost."""


class Parts:
    """Follows the further machines of an attempt while this context is; there are none where ``span`` is None.

    ``verdict`` hears of a part that failed or vanished. Where the training does not end by itself then, because it
    waits for that part, ``give_up`` is called. Raises OSError where this machine cannot listen.
    """

    def __init__(self, span: Span | None, verdict: Verdict, give_up: Callable[[Ending], None]) -> None:
        self.span = span
        """The span, with the ports that are open now."""
        self.store: socket.socket | None = None
        """Where processes find each other."""
        self._verdict = verdict
        self._give_up = give_up
        self._lines: dict[int, socket.socket] = {}
        self._left = threading.Event()
        self._vanished_at = -math.inf
        self._changed = threading.Condition()
        self._expected = set(range(1, len(span.parts))) if span else set[int]()
        if span is not None:
            self._line, self.store = listening(span.address), listening(span.address)
            self.span = span.opened(self._line.getsockname()[1], self.store.getsockname()[1])

    def __enter__(self) -> Parts:
        if self.span is not None:
            threading.Thread(target=self._accept, name="parts", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._expected or self._verdict.vanished, patience(kind))
            self._expected.clear()  # who ends from now on is asked to
            lines = list(self._lines.values())
        if self._verdict.vanished:
            time.sleep(max(0.0, self._vanished_at + VANISHED_SECONDS - time.monotonic()))
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            connection, _ = self._line.accept()
            threading.Thread(target=self._follow, args=[connection], name="part", daemon=True).start()

    def _follow(self, connection: socket.socket) -> None:
        """Hear how a part ends; a stranger, and a part that was here already, is shown out."""
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as file:
            keep_alive(connection)
            part = self._welcomed(connection, file)
            if part is None:
                return
            ending = self._ended(part, file)
            with contextlib.suppress(OSError):
                write(file, {})  # it is heard
            if ending is None:
                self._left.wait()  # its machine has it as long as the attempt
            seconds = VANISHED_SECONDS if self._verdict.vanished else FAILURE_SECONDS
            if ending is not None and not self._left.wait(seconds):
                self._give_up(self._verdict.ending or ending)

    def _welcomed(self, connection: socket.socket, file: BufferedIOBase) -> int | None:
        hello = read(file)
        if hello is None or self.span is None or not secrets.compare_digest(str(hello.get("key")), self.span.key):
            return None
        part = hello.get("part")
        with self._changed:
            if part not in self._expected or part in self._lines:
                return None
            self._lines[part] = connection
        return cast(int, part)

    def _ended(self, part: int, file: BufferedIOBase) -> Ending | None:
        """Wait for the end of a part; what went wrong, where something did and it was not asked to end."""
        said = read(file)
        with self._changed:
            if part not in self._expected:
                return None
            ending = self._gone(part) if said is None else ending_in(said)
            if ending is not None:
                self._verdict.failed(ending)
            self._expected.remove(part)
            self._changed.notify_all()
        return ending

    def _gone(self, part: int) -> Ending:
        assert self.span is not None, "it has parts"
        self._vanished_at = time.monotonic()
        node = self.span.parts[part].node[:8]
        return Ending(TrialState.KILLED, PROCESS_DIED, f"its part on machine {node} is gone")
