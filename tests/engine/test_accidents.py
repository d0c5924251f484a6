"""Whatever happens to a worker, its whole process tree is gone, what it spent is counted, and the next one starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.accidents import daemons_of
from tests.support.attempts import finish, start, wait_for_checkpoint
from tests.support.command import ROOT
from tests.support.coordinators import Coordinator
from tests.support.fragile_disk import fragile_disk
from tests.support.unavailable import UnavailableError
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.reservations import Reservations
from tracker.errors import StoreError
from tracker.records import TrialState
from tracker.training.events import read_attempt

WORKLOAD = "tests.support.accidents:accidental"
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def forkserver():
    return Forkserver(WORKLOAD)


@pytest.fixture
def engine(forkserver):
    with LocalEngine(forkserver, Reservations(CORES[:1], [])) as engine:
        yield engine


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk that can be made read-only under whoever writes to it."""
    try:
        with fragile_disk(tmp_path / "disk") as disk:
            yield disk
    except UnavailableError as error:
        pytest.skip(str(error))


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for_state(engine, attempt):
    while attempt.record.saved_epoch is None:
        engine.poll(0.05)


def wait_until(happened, within_seconds=120.0):
    deadline = time.monotonic() + within_seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_daemons_end_with_their_training(engine, tmp_path):
    start(engine, tmp_path, workload=WORKLOAD, accident="daemons", epochs=1)
    assert finish(engine).record.state is TrialState.COMPLETED
    daemons = daemons_of(tmp_path)
    assert len(daemons) == 2
    wait_until(lambda: all(map(gone, daemons)))


def test_daemons_end_with_a_worker_that_is_killed_and_the_forkserver_s_other_children_do_not(engine, tmp_path):
    other = engine._forkserver.start(time.sleep, 600)
    attempt = start(engine, tmp_path, workload=WORKLOAD, accident="daemons", epochs=1000, epoch_seconds=0.1)
    wait_for_checkpoint(engine, attempt)
    os.kill(attempt.process.pid, signal.SIGKILL)
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.KILLED, "killed")
    wait_until(lambda: all(map(gone, daemons_of(tmp_path))))
    assert other.is_alive()
    other.kill()
    other.join()


def test_a_killed_forkserver_pauses_its_workers_and_is_started_again(engine, forkserver, tmp_path):
    attempt = start(engine, tmp_path, workload=WORKLOAD, epochs=1000, epoch_seconds=0.1)
    wait_for_state(engine, attempt)
    before = forkserver.pid
    os.kill(before, signal.SIGKILL)
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "forkserver_died")
    assert gone(attempt.process.pid)
    assert record == read_attempt(tmp_path / "1.jsonl", 1)
    start(engine, tmp_path, workload=WORKLOAD, number=2, epochs=record.checkpoints[-1].epoch + 1)
    resumed = finish(engine).record
    assert resumed.state is TrialState.COMPLETED
    assert resumed.checkpoints[0].epoch > 1, "it continues from its saved state"
    assert forkserver.pid != before


def test_a_process_that_hangs_is_killed(engine, tmp_path, monkeypatch):
    attempt = start(engine, tmp_path, workload=WORKLOAD, epochs=1000, epoch_seconds=0.1)
    wait_for_checkpoint(engine, attempt)
    os.kill(attempt.process.pid, signal.SIGSTOP)
    monkeypatch.setattr("tracker.engine.local_attempt.SILENCE_SECONDS", 0.5)
    monkeypatch.setattr("tracker.engine.local_attempt.STOP_GRACE_SECONDS", 0.5)
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.KILLED, "no_heartbeat")
    assert "it hung" in record.message
    assert record.usage.wall_seconds > record.checkpoints[-1].usage.wall_seconds


def test_a_full_disk_pauses_the_training_and_leaves_what_is_written_whole(engine, small_disk):
    attempt = start(engine, small_disk, workload=WORKLOAD, epochs=100_000, epoch_seconds=0.02)
    wait_for_state(engine, attempt)
    with (small_disk / "others").open("wb", buffering=0) as others:
        with pytest.raises(OSError, match="No space left"):
            while True:
                others.write(b"\0" * 1024)
        record = finish(engine).record
        assert (record.state, record.reason) == (TrialState.PAUSED, "disk_failed")
        assert "full" in record.message
        written = read_attempt(small_disk / "1.jsonl", 1)
        assert written.ended_at is None, "its end could not be written either"
        assert record.checkpoints == written.checkpoints
        with pytest.raises(StoreError, match="No space left on device; #0 did not start"):
            start(engine, small_disk, workload=WORKLOAD, number=2)
    (small_disk / "others").unlink()
    start(engine, small_disk, workload=WORKLOAD, number=3, epochs=record.checkpoints[-1].epoch + 1)
    resumed = finish(engine).record
    assert resumed.state is TrialState.COMPLETED
    assert resumed.checkpoints[0].epoch > 1, "the last state that was saved whole is still there"


def test_a_disk_that_becomes_read_only_pauses_the_training_and_keeps_what_it_holds(engine, disk):
    attempt = start(engine, disk.folder, workload=WORKLOAD, epochs=100_000, epoch_seconds=0.1)
    wait_for_state(engine, attempt)
    disk.make_read_only()
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "disk_failed")
    with pytest.raises(StoreError, match="Read-only file system; #0 did not start"):
        start(engine, disk.folder, workload=WORKLOAD, number=2)
    disk.mend()
    kept = read_attempt(disk.folder / "1.jsonl", 1).checkpoints
    assert len(record.checkpoints) - 1 <= len(kept), "the last one may not have been on the disk yet"
    assert kept == record.checkpoints[: len(kept)]
    start(engine, disk.folder, workload=WORKLOAD, number=3, epochs=record.checkpoints[-1].epoch + 1)
    assert finish(engine).record.state is TrialState.COMPLETED


COORDINATOR = """
import sys, time
from pathlib import Path
from tests.engine.test_accidents import CORES, WORKLOAD
from tests.support.attempts import start
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.reservations import Reservations
with LocalEngine(Forkserver(WORKLOAD), Reservations(CORES[:1], [])) as engine:
    start(engine, Path(sys.argv[1]), workload=WORKLOAD, accident="spins", epochs=100_000, epoch_seconds=0.1)
    time.sleep(600)
"""


def test_training_that_ignores_every_request_does_not_outlive_its_coordinator(tmp_path):
    coordinator = Coordinator(COORDINATOR, tmp_path)
    wait_until(lambda: read_attempt(tmp_path / "1.jsonl", 1).checkpoints, 300.0)
    coordinator.kill()
    coordinator.wait()
    wait_until(lambda: read_attempt(tmp_path / "1.jsonl", 1).ended_at is not None)
    record = read_attempt(tmp_path / "1.jsonl", 1)
    assert (record.state, record.reason) == (TrialState.KILLED, "coordinator_gone")
    assert record.usage.wall_seconds >= record.checkpoints[-1].usage.wall_seconds
    daemons = daemons_of(tmp_path)
    assert len(daemons) == 2
    wait_until(lambda: all(map(gone, daemons)))


IMPORTS_FOR_EVER = """
import os, pathlib, time
pathlib.Path(os.environ["WRITE_TO"]).write_text(f"{os.getpid()}\\n")
time.sleep(600)
"""
WARMS_UP = """
import time
from tracker.engine.forkserver import Forkserver
Forkserver("imports_for_ever:train").warm_up()
time.sleep(600)
"""
ASKS = """
import sys
from pathlib import Path
from tests.engine.test_accidents import ask
from tracker.engine.forkserver import Forkserver
Forkserver().call(ask, Path(sys.argv[1]))
"""


def ask(written):
    """What a child is asked to do: it never answers."""
    written.write_text(f"{os.getpid()}\n{os.getppid()}\n")
    time.sleep(600)


@pytest.mark.parametrize("coordinator", [WARMS_UP, ASKS], ids=["the forkserver imports", "a child works"])
def test_no_process_outlives_a_coordinator_that_is_killed_before_it_has_a_worker(coordinator, tmp_path):
    (tmp_path / "imports_for_ever.py").write_text(IMPORTS_FOR_EVER)
    written = tmp_path / "written"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "WRITE_TO": str(written)}
    killed = subprocess.Popen([sys.executable, "-c", coordinator, str(written)], cwd=ROOT, env=environment)
    wait_until(lambda: written.exists() and written.read_text().endswith("\n"), 300.0)
    killed.kill()
    killed.wait()
    for process in map(int, written.read_text().split()):
        wait_until(lambda process=process: gone(process))
