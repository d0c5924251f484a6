"""The forkserver ends with its coordinator while it still imports: multiprocessing looks for that only afterwards.

Imported by the forkserver alone, before everything else.
"""

from __future__ import annotations

import os
import threading

from tracker.engine.forkserver import COORDINATOR_VARIABLE
from tracker.training.process_tree import kill_all_below

_LOOK_SECONDS = 0.2
_imported = threading.Event()


def _look(coordinator: str) -> None:
    while not _imported.wait(_LOOK_SECONDS):
        if str(os.getppid()) != coordinator:
            kill_all_below()
            os._exit(1)


_watcher = threading.Thread(target=_look, args=[os.environ.get(COORDINATOR_VARIABLE)], daemon=True)
if os.environ.pop(COORDINATOR_VARIABLE, "") not in ("", str(os.getpid())):  # not where checks import every module
    _watcher.start()


def stop_looking() -> None:
    """End the thread that looks: a process that forks has no other."""
    _imported.set()
    if _watcher.is_alive():
        _watcher.join()
