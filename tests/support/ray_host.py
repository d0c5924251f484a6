"""A small host for the tests of a Ray cluster: it counts, waits, fails and dies."""

from __future__ import annotations

import os
import threading
import time


class CountingHost:
    """What it counts tells one host from another."""

    def __init__(self) -> None:
        self._count = 0
        self._opened = threading.Event()

    def count(self) -> int:
        self._count += 1
        return self._count

    def process(self) -> int:
        return os.getpid()

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def wait_until_open(self, seconds: float) -> bool:
        return self._opened.wait(seconds)

    def open(self) -> None:
        self._opened.set()

    def hold(self, seconds: float) -> None:
        time.sleep(seconds)

    def zeros(self, size: int) -> bytes:
        return bytes(size)

    def fail(self) -> None:
        raise ValueError("not today")

    def die(self) -> None:
        os._exit(3)
