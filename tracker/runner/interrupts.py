"""Ctrl-C and SIGTERM, while workers run."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from tracker.engine.local import LocalEngine


class Interrupts:
    """In this context the first SIGINT or SIGTERM sets ``reason``, and every further one kills the workers at once.

    ``reason`` is "" before. Only the main thread gets signals: elsewhere this changes nothing.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self.reason = ""
        self._engine = engine
        self._before: dict[int, Any] = {}

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
        if self.reason:
            self._engine.kill_all()
        self.reason = f"stopped by {signal.Signals(number).name}"
