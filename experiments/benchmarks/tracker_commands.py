"""A tracker command in a process of its own: how long it took, and how much memory."""

from __future__ import annotations

import os
import sys

from tracker.errors import RequestError


def tracker_command(*words: str) -> tuple[float, float]:
    """The seconds that a tracker command took, and its peak memory in MB. Raises RequestError where it fails."""
    began = os.times().elapsed
    argv = [sys.executable, "-m", "tracker.cli.main", *words]
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(sys.executable, argv, os.environ, file_actions=nowhere)
    _, status, used = os.wait4(process, 0)
    if status:
        raise RequestError(f"tracker {' '.join(words)} failed")
    return os.times().elapsed - began, used.ru_maxrss * 1024 / 1e6
