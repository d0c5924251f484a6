"""The figures of a cluster's engine on a real Ray cluster of several nodes on this machine."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from experiments.benchmarks.figures import Figure
from experiments.benchmarks.plain_attempts import PlainAttempts, rate
from experiments.benchmarks.ray_cluster import RayCluster, RayNode
from tracker.engine.cluster.attempt import ClusterAttempt
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.node import Needs
from tracker.records import Settings
from tracker.runner.fleet_machines import HOST, greet
from tracker.training.ending import NODE_LOST
from tracker.training.events import Event

WORKLOAD = "experiments.benchmarks.steady_workload:steady"
SKU = "aws_m7i.xlarge"
BOX = "tracker/box"
"""The label that tells nodes of one machine apart."""
STARTS, KILLS = 40, 3
STATE_MB = 100


@contextlib.contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[RayCluster]:
    """A cluster of a head and nodes of one core, which this process and those that it starts can reach."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        before = dict(os.environ)
        os.environ["TMPDIR"] = folder  # cores are reserved there, and other studies of this machine have theirs
        tempfile.tempdir = None
        cluster = RayCluster()
        os.environ.update(cluster.environment)
        try:
            cluster.add(*({"tracker/sku": SKU, BOX: str(number)} for number in range(nodes)))
            yield cluster
        finally:
            cluster.stop()
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None


@contextlib.contextmanager
def _attempts(cluster: RayCluster, settings: Settings) -> Iterator[PlainAttempts]:
    """Attempts at the steady training on a cluster whose hosts are warm."""
    from tracker.engine.ray.fleet import RayFleet  # an extra

    fleet = RayFleet(cluster.address, HOST)
    greet(fleet)
    try:
        with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
            engine = ClusterEngine(fleet, f"benchmark-{uuid.uuid4().hex}", rate)
            with engine:
                yield PlainAttempts(engine, Path(folder), WORKLOAD, settings)
    finally:
        fleet.close()


def _started(plain: PlainAttempts, trial: int, number: int = 1) -> ClusterAttempt:
    """Start an attempt as soon as there is a place."""
    while (attempt := plain.start(trial, number)) is None:
        plain.follow(0.05)
    return attempt


def _until(plain: PlainAttempts, happened: Callable[[], bool], most_seconds: float = 120.0) -> float:
    """Follow what happens until something is so; the seconds that it took. Raises TimeoutError."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > most_seconds:
            raise TimeoutError(f"it did not happen within {most_seconds:.0f} s")
        plain.follow(0.01)
    return time.monotonic() - began


def warm_starts() -> Iterator[Figure]:
    """From asking for a place to the first line of the training: written there, by the same clock, and known here."""
    written, known = [], []
    with ray_cluster() as cluster, _attempts(cluster, {"epochs": 1}) as plain:
        for trial in range(STARTS + 4):  # the first of a node import what it trains with
            heard: list[float] = []
            began = time.monotonic()
            attempt = _started(plain, trial)
            attempt.on_event = partial(_note_start, heard)
            _until(plain, lambda heard=heard: bool(heard))  # type: ignore[misc]
            written.append(heard[0] - began)
            known.append(time.monotonic() - began)
            _until(plain, lambda trial=trial: len(plain.ended) > trial)  # type: ignore[misc]
    half, most = _quantiles(written[4:])
    yield Figure(f"start on a warm seat: first line, p50 of {STARTS}", half, "s", "<= 0.1", half <= 0.1, written[4:])
    yield Figure("start on a warm seat: first line, p95", most, "s", "<= 0.3", most <= 0.3)
    half, most = _quantiles(known[4:])
    yield Figure("start on a warm seat: first line is here, p50", half, "s", "", True, known[4:])
    yield Figure("start on a warm seat: first line is here, p95", most, "s", "", True)


def _note_start(heard: list[float], event: Event) -> None:
    if event["event"] == "started":
        heard.append(event["steady"])


def _quantiles(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), statistics.quantiles(values, n=20)[-1]


def killed_nodes() -> Iterator[Figure]:
    """From a node's end, as in a power cut, to its attempt's end."""
    seconds = []
    with ray_cluster() as cluster, _attempts(cluster, {"epochs": 10_000, "epoch_seconds": 0.2}) as plain:
        for trial in range(KILLS):
            seconds.append(_lost_after(cluster, plain, trial, RayNode.kill))
            cluster.add({"tracker/sku": SKU, BOX: str(len(cluster.nodes) - 1)})
    value = max(seconds)
    yield Figure(f"killed node known after, worst of {KILLS}", value, "s", "<= 3", value <= 3, seconds)


def hung_nodes() -> Iterator[Figure]:
    """From a node's standing still, as where it is cut off, to its attempt's end."""
    with ray_cluster() as cluster, _attempts(cluster, {"epochs": 10_000, "epoch_seconds": 0.2}) as plain:
        value = _lost_after(cluster, plain, 0, RayNode.hang)
    yield Figure("hung node known after", value, "s", "<= 40", value <= 40)


def _lost_after(cluster: RayCluster, plain: PlainAttempts, trial: int, act: Callable[[RayNode], None]) -> float:
    """Seconds until an attempt is given up to whose node something happens."""
    attempt = _started(plain, trial)
    _until(plain, lambda: len(attempt.record.checkpoints) >= 2)
    act(_box(cluster, attempt))
    seconds = _until(plain, lambda: attempt in plain.ended)
    assert attempt.record.reason == NODE_LOST, attempt.record
    return seconds


def _box(cluster: RayCluster, attempt: ClusterAttempt) -> RayNode:
    node = attempt.reservation.node
    assert node is not None
    return cluster.nodes[1 + int(node.labels[BOX])]


def resumed_elsewhere() -> Iterator[Figure]:
    """A trial with a large state pauses on one node and continues on the other."""
    settings = {"epochs": 10_000, "epoch_seconds": 0.5, "state_mb": STATE_MB}
    with ray_cluster() as cluster, _attempts(cluster, settings) as plain:
        _until(plain, lambda: len(plain.engine.pump.contacts) == 2)
        attempt = _started(plain, 0)
        _until(plain, lambda: attempt.record.saved_epoch is not None)
        attempt.pause_at_save()
        paused = _until(plain, lambda: attempt in plain.ended)
        _until(plain, lambda: _takes_the_place(plain, attempt))
        began = time.monotonic()
        again = _started(plain, 0, number=2)
        heard: set[str] = set()
        again.on_event = lambda event: heard.add(event["event"])
        _until(plain, lambda: "restored" in heard)
        resumed = time.monotonic() - began
        assert again.request.node != attempt.request.node
    yield Figure(f"pause of a trial of {STATE_MB} MB until its state is here", paused, "s", "", True)
    yield Figure(f"resume on another node, {STATE_MB} MB of state", resumed, "s", "<= 3", resumed <= 3)


def _takes_the_place(plain: PlainAttempts, attempt: ClusterAttempt) -> bool:
    """Reserve the place that an attempt had, so that its trial cannot continue there."""
    reservation = plain.engine.reserve(Needs(1), attempt.request.folder)
    node = reservation.node if reservation else None
    return node is not None and node.node_id == attempt.request.node
