"""The processes below this one: none of them outlives it, however it was started.

Linux gives an orphan to the nearest process above it that asked for orphans (prctl, PR_SET_CHILD_SUBREAPER), and to the
system's first process where there is none. A worker asks for those of its training, the forkserver for those of a
worker that was killed: a daemon (a double fork, a session of its own) stays below the one or the other.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Collection, Sequence

import psutil

GRACE_SECONDS = 2.0
"""The seconds that what training left running has to stop before it is killed."""
_KILL_SECONDS = 5.0
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_NAME, _VARIABLE = "tracker-worker", "TRACKER_WORKER"
"""What a worker is called, as those that it forks are, and a variable that every program has which it starts."""


def take_orphans() -> None:
    """Be given the orphans of all processes below this one; nothing where the system has no such thing."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def mark_worker() -> None:
    """Mark this process, and whatever it will start, as a worker's."""
    _prctl(_PR_SET_NAME, _NAME.encode())
    os.environ[_VARIABLE] = str(os.getpid())


def end_all_below() -> None:
    """End every process below this one: asked first, then killed."""
    if not has_children():
        return
    for process in _below(psutil.Process()):
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _reap(GRACE_SECONDS)
    deadline = time.monotonic() + _KILL_SECONDS
    while (living := _below(psutil.Process())) and time.monotonic() < deadline:  # one may start another meanwhile
        _kill(living)
        _reap(0.05)


def kill_all_below() -> None:
    """Kill every process below this one."""
    _kill(_below(psutil.Process()))


def kill_strays(forkserver: int, *, spared: Collection[int]) -> None:
    """Kill what workers of a forkserver left behind when they were killed; ``spared`` are its living children."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(forkserver).children():
            if child.pid not in spared and _is_a_workers(child):
                _kill([child, *_below(child)])


def has_children() -> bool:
    """Whether this process has any child; True where the system cannot tell without waiting for one."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def lives(process: int) -> bool:
    """Whether a process has not ended, reaped or not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_a_workers(process: psutil.Process) -> bool:
    try:
        return process.name() == _NAME or _VARIABLE in process.environ()
    except psutil.Error:
        return False


def _below(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [each for each in process.children(recursive=True) if lives(each.pid)]
    return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile, whoever has its number now
            process.kill()


def _reap(seconds: float) -> None:
    """Wait until this process has no child left, at most this long."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] or time.monotonic() < deadline:
            time.sleep(0.005)


def _prctl(option: int, argument: int | bytes) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)
