"""Single attempts on an engine, without a study around them."""

from __future__ import annotations

import time

from experiments.benchmarks import plain_attempts
from tests.support.studies import DIGITS
from tracker.engine.node import Needs

ONE_CORE = Needs(1)


def start(engine, folder, *, workload=DIGITS["workload"], number=1, needs=ONE_CORE, **settings):
    """Start an attempt at a training; its files are in ``folder``."""
    while (reservation := engine.reserve(needs, folder)) is None:
        engine.poll(0.05)
    return engine.start(request_for(reservation, folder, workload=workload, number=number, **settings), reservation)


def request_for(reservation, folder, *, workload=DIGITS["workload"], number=1, **settings):
    """The request for an attempt at a training."""
    known = {"epochs": 3, "width": 4, "learning_rate": 0.01, "epoch_seconds": 0.0, "accident": "none"}
    return plain_attempts.request_for(reservation, folder, workload, {**known, **settings}, number)


def finish(engine, within_seconds=300.0):
    """The first attempt that ends."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if ended := engine.poll(0.1):
            return ended[0]
    raise AssertionError("no worker ended in time")


def wait_for_checkpoint(engine, attempt):
    """Wait until it has reported."""
    while not attempt.record.checkpoints:
        engine.poll(0.05)
