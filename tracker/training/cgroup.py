"""What a container or a service manager allows this process: the limits of its Linux control groups.

Both versions are read, and every group above the process's own, because the tightest limit holds.
Source: Linux, Documentation/admin-guide/cgroup-v2 (cpu.max, memory.max), cgroup-v1 (cpu.cfs_quota_us,
memory.limit_in_bytes).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_limit(membership: Path = MEMBERSHIP, root: Path = CGROUP_ROOT) -> float:
    """CPUs' worth of time that the process may use (1.5 is possible); infinite without a limit."""
    limits = [math.inf]
    for folder in _groups("cpu", membership, root):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:  # "max" and -1 are no limit
            limits.append(int(quota) / int(period))
    return min(limits)


def memory_limit_bytes(membership: Path = MEMBERSHIP, root: Path = CGROUP_ROOT) -> float:
    """Bytes of memory that the process may use; infinite without a limit."""
    limits = [math.inf]
    for folder in _groups("memory", membership, root):
        text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        if text.isdecimal():
            limits.append(float(text))
    return min(limits)


def machine_memory_bytes() -> int:
    """Bytes of memory of this machine, as far as this process may use them."""
    return int(min(psutil.virtual_memory().total, memory_limit_bytes()))


def _groups(controller: str, membership: Path, root: Path) -> Iterator[Path]:
    """The folders of the process's group and of all groups above it, in both versions' hierarchies.

    Inside a container the path may be the host's and lead nowhere; its ancestors are there all the same.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        folder = top / path.strip("/")
        yield folder
        while folder != top:
            folder = folder.parent
            yield folder


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
