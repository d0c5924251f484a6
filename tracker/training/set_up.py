"""What a process of an attempt sets up for itself, and for those that it makes, before it trains."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

from tracker.training.loading import arguments_of
from tracker.training.process_tree import mark_worker, take_orphans
from tracker.training.request import AttemptRequest

_HEADROOM_BYTES = 2**25
"""Less than this cannot start a training: a thread's stack alone takes 8 MB."""


def begin(request: AttemptRequest) -> None:
    """Become a process of an attempt: whoever it leaves behind is found, and what it prints goes to its file.

    It ends at once where the disk takes no output.
    """
    take_orphans()
    mark_worker()
    try:
        _redirect_output(request.output_path)
    except OSError:
        sys.exit(os.EX_IOERR)
    sys.argv = arguments_of(request.workload)


def take_cores(cores: tuple[int, ...]) -> None:
    """Run on these cores alone from now on."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # a hint: a container may forbid it
            os.sched_setaffinity(0, cores)


def limit_memory(request: AttemptRequest) -> None:
    """Limit this process's memory, so that an allocation fails before the system runs out and kills some process.

    The processes that train here get equal parts. Linux counts what is private and writable of each process
    (RLIMIT_DATA): those that read data for it may each take as much again. A process that drives GPUs reserves far
    more than it uses.

    Raises MemoryError where the process has about as much already, with all that it has imported: below the limit
    nothing would work in it, not even a thread that starts.
    """
    if request.memory_limit_bytes is not None and not request.accelerators and sys.platform == "linux":
        each_bytes = request.memory_limit_bytes // len(request.ranks)
        if (data_bytes := _data_bytes()) + _HEADROOM_BYTES > each_bytes:
            has, may = (f"{each / 2**30:.2f} GB" for each in (data_bytes, each_bytes))
            raise MemoryError(f"the process has {has} before it trains, and may take {may}")
        with contextlib.suppress(OSError, ValueError):  # a tighter limit is set already
            resource.setrlimit(resource.RLIMIT_DATA, (each_bytes, resource.RLIM_INFINITY))
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")  # prefer killing the worker to killing the coordinator


def _data_bytes() -> int:
    """What RLIMIT_DATA limits of this process; 0 where it is not known."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmData:")).split()[1]) * 1024
    return 0


def _redirect_output(path: Path) -> None:
    """Send what this process prints, native libraries included, to a file beside its log. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
