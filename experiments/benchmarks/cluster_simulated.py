"""The figures of a cluster's engine that simulated machines show: what it costs, whom it gives up, what it saves."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.benchmarks.figures import Figure
from experiments.benchmarks.measured_engine import MeasuredEngine
from experiments.benchmarks.plain_attempts import PlainAttempts, rate
from experiments.benchmarks.simulated_fleet import At, SimulatedFleet
from experiments.benchmarks.simulated_host import SimulatedHost
from experiments.benchmarks.simulated_market import KINDS, NOTICE_SECONDS
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.cluster.messages import Key, Wish
from tracker.engine.cluster.parcels import Arriving, File, TornError, listed
from tracker.engine.node import Node
from tracker.records import TrialState
from tracker.training.ending import NODE_DRAINS, NODE_LOST
from tracker.training.state import FILE_NAME

MACHINES = 50
STALL_SECONDS, STALL_AFTER_SECONDS = 20.0, 15.0
WORKLOAD = "experiments.benchmarks.simulated_workload:simulated"
NOTICES, NOTICES_AT_ONCE = 200, 20
NOTICE_SPEED = 4.0
STATE_BYTES = 2**20


@contextlib.contextmanager
def _fleet(
    epochs: int, epoch_seconds: float, speed: float = 1.0, host: type[SimulatedHost] = SimulatedHost
) -> Iterator[SimulatedFleet]:
    def make(now: Callable[[], float], at: At, node: Node, speaks: Callable[[], None]) -> SimulatedHost:
        return host(now, at, node.cores, epochs=epochs, epoch_seconds=epoch_seconds, speaks=speaks)

    fleet = SimulatedFleet(make, speed)
    yield fleet
    fleet.close()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        yield Path(folder)


def engine_cpu(attempts: int, machines: int, epoch_seconds: float) -> Iterator[Figure]:
    """What the engine takes of the coordinator's processor, for attempts of five epochs."""
    with _fleet(5, epoch_seconds) as fleet, _folder() as folder:
        for _ in range(machines):
            fleet.add(KINDS[1].node)
        engine = MeasuredEngine(fleet, "study", rate)
        with engine:
            PlainAttempts(engine, folder, WORKLOAD, {"epochs": 5}).run(attempts)
    value = 1000 * engine.cpu_seconds / attempts
    name = f"engine's CPU an attempt of five epochs, {machines} machines, {engine.most_running} at once"
    yield Figure(name, value, "ms", "<= 2", value <= 2)
    seconds = engine.ended_at - engine.began
    yield Figure(f"over {seconds:.0f} s", 100 * engine.cpu_seconds / seconds, "% of a core", "", True)


def falsely_lost(attempts: int) -> Iterator[Figure]:
    """Machines that are given up and live, while the cores are busy and the coordinator once stands still."""
    with _fleet(3, 4.0) as fleet, _folder() as folder, _busy_cores():
        for _ in range(MACHINES):
            fleet.add(KINDS[1].node)
        engine = ClusterEngine(fleet, "study", rate)
        stall = threading.Timer(STALL_AFTER_SECONDS, fleet.stall, [STALL_SECONDS])
        stall.start()
        with engine:
            plain = PlainAttempts(engine, folder, WORKLOAD, {"epochs": 3})
            plain.run(attempts)
    wrong = [each for each in plain.ended if each.record.state is not TrialState.COMPLETED]
    lost = sum(each.record.reason == NODE_LOST for each in wrong)
    name = f"falsely lost of {attempts:,} attempts, cores busy, a stall of {STALL_SECONDS:.0f} s"
    yield Figure(name, lost, "", "= 0", lost == 0)
    if len(wrong) > lost:
        yield Figure("attempts that ended in another way than they did", len(wrong) - lost, "", "= 0", False)


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


class SlowToPause(SimulatedHost):
    """Trainings need a while to stop, and have states of STATE_BYTES."""

    _random = random.Random(0)

    def state(self, epoch: int) -> bytes:
        """As SimulatedHost.state."""
        return f"epoch {epoch}\n".encode().ljust(STATE_BYTES, b".")

    def signal(self, key: Key, wish: Wish, reason: str) -> None:
        """As SimulatedHost.signal."""
        act = super().signal
        self._at(self._random.uniform(0.0, 10.0) if wish == "pause" else 0.0, lambda: act(key, wish, reason))


def spot_notices() -> Iterator[Figure]:
    """Whether everything on a machine that goes is paused and its states are here, before it is gone."""
    saved = 0
    with _fleet(1_000, 5.0, NOTICE_SPEED, SlowToPause) as fleet, _folder() as folder:
        engine = ClusterEngine(fleet, "study", rate)
        with engine:
            plain = PlainAttempts(engine, folder, WORKLOAD, {"epochs": 1_000})
            for _ in range(NOTICES // NOTICES_AT_ONCE):
                saved += _notice_wave(fleet, plain)
    value = 100 * saved / NOTICES
    name = f"of {NOTICES} notices of {NOTICE_SECONDS:.0f} s: paused, states of {STATE_BYTES / 2**20:.0f} MiB here"
    yield Figure(name, value, "%", ">= 99", value >= 99)


def _notice_wave(fleet: SimulatedFleet, plain: PlainAttempts) -> int:
    """Of machines that are all full and all go, how many had everything saved."""
    names = [fleet.add(KINDS[0].node) for _ in range(NOTICES_AT_ONCE)]
    everyone, before = plain.started + NOTICES_AT_ONCE * KINDS[0].cores, len(plain.ended)
    while plain.started < everyone:
        plain.fill(everyone)
        plain.follow()
    until = fleet.now() + 12.0
    while fleet.now() < until:
        plain.follow()
    for name in names:
        fleet.drain(name, NOTICE_SECONDS)
    gone_at = fleet.now() + NOTICE_SECONDS
    unsaved = set(names)
    saved = dict.fromkeys(names, 0)
    while unsaved and fleet.now() < gone_at:
        plain.follow()
        in_time = fleet.now() < gone_at
        for attempt in plain.ended[before:]:
            if in_time and attempt.record.reason == NODE_DRAINS and (attempt.request.folder / FILE_NAME).exists():
                saved[attempt.request.node] += 1
        before = len(plain.ended)
        unsaved = {name for name in names if saved[name] < KINDS[0].cores}
    while plain.engine.running or fleet.now() < gone_at + 2.0:
        plain.follow()
    return NOTICES_AT_ONCE - len(unsaved)


def cut_transfers() -> Iterator[Figure]:
    """A state that arrives only until some byte: the old one is there, whole."""
    old, new = b"old " * 400, b"new state" * 100
    bad = 0
    with _folder() as folder:
        (folder / FILE_NAME).write_bytes(new)
        (file,) = listed(folder, [FILE_NAME])
        (folder / FILE_NAME).write_bytes(old)
        for cut in range(len(new)):
            bad += _is_bad(folder, file, new[:cut]) or (folder / FILE_NAME).read_bytes() != old
        Arriving(folder, "1-end").write(FILE_NAME, 0, new)
        Arriving(folder, "1-end").finish([file])
        bad += (folder / FILE_NAME).read_bytes() != new
    yield Figure(
        f"transfers cut at each of {len(new):,} bytes after which the old state is not there", bad, "", "= 0", bad == 0
    )


def _is_bad(folder: Path, file: File, data: bytes) -> bool:
    """Whether what was cut is taken for whole."""
    arriving = Arriving(folder, "1-end")
    arriving.write(FILE_NAME, 0, data)
    try:
        arriving.finish([file])
    except TornError:
        return False
    return True
