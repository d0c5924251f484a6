"""What is struck: a worker, the forkserver, the coordinator, the whole process group, the disk, or the clock."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from tests.support.fragile_disk import FragileDisk
from tests.support.moved_clock import MovedClock

MARK = "TRACKER_FAULTS"
"""The environment variable that all processes of a campaign have: who still has it at the end is an orphan."""
_FULL_SECONDS = (0.1, 0.5, 2.0)
_CLOCK_SECONDS = (-86_400.0, -7200.0, -60.0, 0.0, 60.0, 7200.0, 86_400.0)


@dataclass(frozen=True, slots=True)
class Strike:
    """A victim, and the signal that it gets.

    Of the disk, how long it is full, 0 where it becomes read-only; of the clock, how far from the true time it is set.
    """

    victim: str
    signal: signal.Signals | None = None
    full_seconds: float = 0.0
    clock_seconds: float = 0.0

    @classmethod
    def drawn(cls, random: Random, disk: FragileDisk | None = None, clock: MovedClock | None = None) -> Strike:
        """One of all, a power cut most often; two in three at the ``disk`` or the ``clock`` where there is one."""
        if clock is not None and random.random() < 2 / 3:
            return cls("clock", clock_seconds=random.choice(_CLOCK_SECONDS))
        if disk is not None and random.random() < 2 / 3:
            return cls("disk")
        victims = ("group", "coordinator", "worker", "forkserver", "disk")
        victim = random.choices(victims, weights=(8, 6, 5, 2, 1))[0]
        if victim == "disk":
            return cls(victim, full_seconds=random.choice(_FULL_SECONDS))
        signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
        return cls(victim, random.choices(signals, weights=(6, 2, 1))[0])

    @property
    def words(self) -> str:
        """The strike in words."""
        if self.victim == "clock":
            return f"clock set {self.clock_seconds:+g} s from the true time"
        if self.victim == "disk":
            return f"disk full for {self.full_seconds:g} s" if self.full_seconds else "disk read-only"
        return f"{self.signal.name if self.signal else ''} to the {self.victim}"

    @property
    def leaves_the_coordinator(self) -> bool:
        """Whether the coordinator is to continue."""
        return self.victim in ("worker", "clock") or self.full_seconds > 0

    def carry_out(
        self,
        study: subprocess.Popen[bytes],
        mark: str,
        random: Random,
        disk: FragileDisk | None = None,
        clock: MovedClock | None = None,
    ) -> bool:
        """Strike; False where there is no such process at this moment."""
        if clock is not None and self.victim == "clock":
            clock.set(self.clock_seconds)
            return True
        if self.victim == "disk" and disk is not None and not self.full_seconds:
            disk.make_read_only()
            return True
        if self.victim == "disk":
            return _fill_the_disk(mark, self.full_seconds)
        if self.victim == "group":
            return _strike_all(study, mark, self.signal or signal.SIGKILL)
        chosen = [study.pid] if self.victim == "coordinator" else _children(study.pid, self.victim)
        if not chosen:
            return False
        return _sent(random.choice(sorted(chosen)), self.signal or signal.SIGKILL)


def marked(mark: str) -> list[psutil.Process]:
    """The living processes of a campaign."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                found.append(process)
    return [process for process in found if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _children(coordinator: int, kind: str) -> list[int]:
    """The forkserver, or the processes that it forked."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(coordinator).children():
            with contextlib.suppress(psutil.Error):
                if "forkserver" in " ".join(child.cmdline()):
                    found += [child.pid] if kind == "forkserver" else [each.pid for each in child.children()]
    return found


def _strike_all(study: subprocess.Popen[bytes], mark: str, number: signal.Signals) -> bool:
    """A power cut: nobody does anything between the first process that is struck and the last."""
    if number is not signal.SIGKILL:  # Ctrl-C, or a terminal that is closed
        with contextlib.suppress(ProcessLookupError):
            os.killpg(study.pid, number)
            return True
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(study.pid, signal.SIGSTOP)
    processes = marked(mark)
    for stop in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            _sent(process.pid, stop)
    for process in marked(mark):
        _sent(process.pid, signal.SIGKILL)
    return bool(processes)


def _fill_the_disk(mark: str, seconds: float) -> bool:
    """No process of the campaign can make a file longer for a while: each write says that the file is too large."""
    limited = []
    for process in marked(mark):
        with contextlib.suppress(OSError):
            before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, before[1]))
            limited.append((process.pid, before))
    time.sleep(seconds)
    for pid, before in [*limited, *((each.pid, limited[0][1]) for each in marked(mark) if limited)]:
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    return bool(limited)


def _sent(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
