"""States on their way between a machine and a store: each once, however often its coordinator asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any


class Transfers:
    """What was carried, and what is being carried, each by its name; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[tuple[Hashable, ...], Future[Any]] = {}

    def once(self, name: tuple[Hashable, ...], carry: Callable[[], Any]) -> Any:
        """What ``carry`` returns or raises; who asks meanwhile, or later, gets the same. A failure is not kept."""
        with self._lock:
            known = self._by_name.get(name)
            future = self._by_name.setdefault(name, Future())
        if known is None:
            try:
                future.set_result(carry())
            except Exception as error:  # noqa: BLE001 - whoever asks gets it
                with self._lock:
                    del self._by_name[name]
                future.set_exception(error)
        return future.result()

    def forget(self, key: Hashable) -> None:
        """Forget what was carried under names that begin with ``key``."""
        with self._lock:
            for name in [name for name in self._by_name if name[0] == key]:
                del self._by_name[name]
