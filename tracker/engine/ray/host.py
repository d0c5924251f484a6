"""What lives on each node of a Ray cluster: one object that holds the host, made where it is first asked."""

from __future__ import annotations

import importlib
import os
import threading
from pathlib import Path
from typing import Any

_SET_BY_RAY = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONBREAKPOINT")
"""Ray limits an actor without cores and accelerators of its own; trainings that it starts must not inherit that."""


def host_actor() -> type[Any]:
    """The actor's class. Ray sends a class that a function made to the nodes as it is, and imports nothing for it.

    So a node without the tracker can say that it lacks it.
    """

    class HostActor:
        """Holds what ``make_host`` ("module:name", called without arguments) makes, and calls its methods by name."""

        def __init__(self, make_host: str) -> None:
            self._make_host = make_host
            self._host: Any = None
            self._making = threading.Lock()
            self._restore_environment()

        def call(self, method: str, *arguments: Any) -> Any:
            """What the method returns; raises what it raises, and ImportError where no host can be made here."""
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

        def _restore_environment(self) -> None:
            """Set what Ray has set to what `ray start` had, which its raylet still has (Linux)."""
            try:
                content = Path(f"/proc/{os.environ['RAY_RAYLET_PID']}/environ").read_bytes()
            except (KeyError, OSError):
                return
            pairs = (os.fsdecode(each).partition("=") for each in content.split(b"\0"))
            started_with = {name: value for name, _, value in pairs}
            for name in _SET_BY_RAY:
                os.environ.pop(name, None)
                if name in started_with:
                    os.environ[name] = started_with[name]

    return HostActor
