"""A training that reports how much memory it may take."""

from __future__ import annotations

import resource
import time

from tracker import workload


@workload(metrics={"accuracy": "maximize", "limit_bytes": "maximize"})
def restricted(run, size: int = 1, seconds: float = 1.0):
    """Takes a while, and reports the limit of its own memory in bytes."""
    run.ready()
    time.sleep(seconds)
    run.report(1, accuracy=0.1 * size, limit_bytes=float(resource.getrlimit(resource.RLIMIT_DATA)[0]))
