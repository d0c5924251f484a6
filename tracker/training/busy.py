"""Whether a measurement was disturbed by other work on the machine."""

from __future__ import annotations

from tracker.records import Usage


def measured_while_busy(usage: Usage) -> bool:
    """Whether a run shared its cores with something else, so that its wall time, and price, are too high.

    Its CPU seconds are well (a tenth or more) under cores × wall, and its threads waited for a core for at
    least as long. Where the system does not tell the waiting, half the reserved CPU time unused is enough.
    Both limits are assumed: a training loop also leaves its cores idle by itself.
    """
    reserved_seconds = usage.cores * usage.wall_seconds
    if usage.waiting_seconds is None:
        return not usage.accelerators and usage.cpu_seconds < 0.5 * reserved_seconds
    return usage.cpu_seconds < 0.9 * reserved_seconds and usage.waiting_seconds > 0.1 * reserved_seconds
