"""Ctrl-C and SIGTERM, from the moment that a study can be found by `tracker stop` until it has ended."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from tracker.engine.engine import Engine


class Interrupts:
    """In this context the first SIGINT or SIGTERM sets ``reason``: a coordinator ends the study cleanly once it runs.

    The second kills the workers of ``engine`` at once, the third raises KeyboardInterrupt. ``reason`` is "" before.
    Only the main thread gets signals: elsewhere this changes nothing.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.engine: Engine | None = None
        self._before: dict[int, Any] = {}
        self._received = 0

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            signals = (signal.SIGINT, signal.SIGTERM)
            self._before = {number: signal.signal(number, self._receive) for number in signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._received += 1
        self.reason = f"stopped by {signal.Signals(number).name}"
        if self._received > 1 and self.engine is not None:
            self.engine.kill_all()
        if self._received > 2:
            raise KeyboardInterrupt
