"""What the living processes below this one use: the system counts a child to its parent only once it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from tracker.training.process_tree import has_children


@dataclass(frozen=True, slots=True)
class LivingUsage:
    """``cpu_seconds`` of all living descendants and of those below them that ended, ``memory_bytes`` they hold now."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0


class Descendants:
    """Looks at all processes below the one that makes it, whenever it is asked."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._waiting_seconds: dict[int, float] = {}

    def look(self) -> LivingUsage:
        """What they use. Reading every process of the machine takes milliseconds: only done where there is a child."""
        if not has_children():
            return LivingUsage()
        cpu_seconds, memory_bytes = 0.0, 0
        for process in self._process.children(recursive=True):
            try:
                cpu_seconds += sum(process.cpu_times()[:4])  # its own, user and system, and its ended children's
                memory_bytes += process.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
            self._waiting_seconds[process.pid] = run_queue_seconds(str(process.pid)) or 0.0
        return LivingUsage(cpu_seconds, memory_bytes)

    @property
    def waiting_seconds(self) -> float:
        """Seconds that they were ready to run and had to wait for a core, ended ones as of the last look."""
        return sum(self._waiting_seconds.values())


def run_queue_seconds(process: str = "self") -> float | None:
    """Seconds that a process's threads were ready to run and had to wait for a core.

    The second figure of each thread's /proc/.../schedstat (Linux, Documentation/scheduler/sched-stats);
    None where the system does not tell.
    """
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        delays = [int((task / "schedstat").read_text().split()[1]) for task in tasks]
    except (OSError, IndexError, ValueError):
        return None
    return sum(delays) / 1e9
