"""What lives on each node of a Ray cluster: one object that holds the host, made where it is first asked.

Ray sends this module to the nodes by value, so it imports nothing of the tracker: a node without the tracker says so.
"""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

_SET_BY_RAY = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONBREAKPOINT")
"""Ray limits an actor without cores and accelerators of its own; trainings that it starts must not inherit that."""


class HostActor:
    """Holds what ``make_host`` ("module:name", called without arguments) makes, and calls its methods by name."""

    def __init__(self, make_host: str) -> None:
        self._make_host = make_host
        self._host: Any = None
        self._making = threading.Lock()
        _restore_environment()

    def call(self, method: str, *arguments: Any) -> Any:
        """What the host's method returns; raises what it raises, and ImportError where the host cannot be made here."""
        with self._making:
            if self._host is None:
                self._host = self._made()
        return getattr(self._host, method)(*arguments)

    def _made(self) -> Any:
        module, _, name = self._make_host.partition(":")
        try:
            return getattr(importlib.import_module(module), name)()
        except (ImportError, AttributeError) as error:
            raise ImportError(str(error), name=self._make_host) from error


def _restore_environment() -> None:
    """Give the variables that Ray sets the values which `ray start` had, as its raylet still has them (Linux)."""
    try:
        with open(f"/proc/{os.environ['RAY_RAYLET_PID']}/environ", "rb") as file:  # noqa: PTH123 - imports stay few
            pairs = (os.fsdecode(each).partition("=") for each in file.read().split(b"\0"))
            started_with = {name: value for name, _, value in pairs}
    except (KeyError, OSError):
        return
    for name in _SET_BY_RAY:
        if name in started_with:
            os.environ[name] = started_with[name]
        else:
            os.environ.pop(name, None)
