"""Single attempts on an engine, without a study around them."""

from __future__ import annotations

import time

from tests.support.studies import DIGITS
from tracker.engine.node import Needs
from tracker.pricing.price_book import load_price_book
from tracker.records import DataCard, Direction, Market, QualityMetric, Role
from tracker.training.request import AttemptRequest

ONE_CORE = Needs(1)


def start(engine, folder, *, workload=DIGITS["workload"], number=1, needs=ONE_CORE, **settings):
    """Start an attempt at a training; its files are in ``folder``."""
    while (reservation := engine.reserve(needs, folder)) is None:
        engine.poll(0.05)
    return engine.start(request_for(reservation, folder, workload=workload, number=number, **settings), reservation)


def request_for(reservation, folder, *, workload=DIGITS["workload"], number=1, **settings):
    """The request for an attempt at a training."""
    known = {"epochs": 3, "width": 4, "learning_rate": 0.01, "epoch_seconds": 0.0, "accident": "none"}
    hardware = {"device": "cpu", "threads": 1, "precision": "fp32", "compile": False}
    return AttemptRequest(
        study="study",
        quality=QualityMetric("accuracy", Direction.MAXIMIZE),
        folder=folder,
        attempt=number,
        role=Role.TRIAL,
        label="#0",
        workload=workload,
        settings={**known, **hardware, **settings},
        data={},
        data_card=DataCard("digits", "8x8", {"train": 1400}),
        seed=0,
        cores=reservation.cores,
        accelerators=(),
        accelerator_model="",
        price_point=reservation.price_point or load_price_book().point("aws/m7i.large", Market.ON_DEMAND),
        price_book="",
        cache=folder,
        asked_at=time.time(),
        node=reservation.node.node_id if reservation.node else "",
        span=reservation.span,
    )


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
