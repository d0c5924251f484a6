"""Workers are real processes; whatever happens to one, its attempt ends and its cores come back."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing import popen_forkserver
from pathlib import Path

import psutil
import pytest

from tests.support.attempts import finish, start, wait_for_checkpoint
from tests.support.command import ROOT
from tests.support.studies import DIGITS
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservations
from tracker.errors import DataError, HardwareError, StoreError, WorkFailedError
from tracker.records import TrialState
from tracker.training.events import read_attempt

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def forkserver():
    return Forkserver(DIGITS["workload"])


@pytest.fixture
def engine(forkserver):
    with LocalEngine(forkserver, Reservations(CORES[:1], [])) as engine:
        yield engine


def ignores(pid, number):
    """Whether a process ignores a signal, as Linux tells it."""
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_trial_runs_to_its_end_and_gives_its_core_back(engine, tmp_path):
    start(engine, tmp_path)
    assert engine.reserve(Needs(1)) is None
    attempt = finish(engine)
    record = attempt.record
    assert record.state is TrialState.COMPLETED
    assert [each.epoch for each in record.checkpoints] == [1, 2, 3]
    assert record.usage.wall_seconds >= record.checkpoints[-1].usage.wall_seconds > 0
    assert record.summary["test_accuracy"] > 0
    assert (attempt.request.artifacts / "model.txt").read_text() == "width 4"
    assert engine.reserve(Needs(1)) is not None


def test_one_machine_takes_no_trial_of_several(engine):
    with pytest.raises(HardwareError, match="a trial trains on 2 machines, and this is one; resume on a cluster"):
        engine.reserve(Needs(1, nodes=2))


def test_spend_rises_from_checkpoint_to_checkpoint(engine, tmp_path):
    start(engine, tmp_path)
    seconds = [each.usage.wall_seconds for each in finish(engine).record.checkpoints]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("accident", "state", "reason", "said"),
    [
        ("not_a_number", TrialState.FAILED, "not_finite", "accuracy is nan after epoch 2"),
        ("raise", TrialState.FAILED, "error", "RuntimeError: the training raised, as asked for"),
        ("memory", TrialState.FAILED, "out_of_memory", "out of memory"),
        ("exit", TrialState.FAILED, "exit", "exit code 3"),
        ("leave", TrialState.COMPLETED, "", ""),
        ("give up", TrialState.FAILED, "exit", "no data"),
        ("vanish", TrialState.COMPLETED, "", "exit code 0"),
        ("segfault", TrialState.KILLED, "crashed", "SIGSEGV"),
    ],
)
def test_an_accident_costs_its_own_attempt_and_says_why(engine, tmp_path, accident, state, reason, said):
    start(engine, tmp_path, accident=accident, epoch_seconds=0.2)
    record = finish(engine).record
    assert (record.state, record.reason) == (state, reason)
    assert said in record.message
    assert len(record.checkpoints) == (2 if accident == "vanish" else 1)
    assert record.usage.wall_seconds > 0.4
    assert read_attempt(tmp_path / "1.jsonl", 1) == record


def test_a_killed_worker_is_billed_until_its_death(engine, tmp_path):
    attempt = start(engine, tmp_path, epochs=1000, epoch_seconds=0.2)
    wait_for_checkpoint(engine, attempt)
    time.sleep(0.5)
    killed_at = time.time()
    os.kill(attempt.process.pid, signal.SIGKILL)
    record = finish(engine).record
    assert record.state is TrialState.KILLED
    assert "SIGKILL" in record.message
    assert record.usage.wall_seconds >= record.checkpoints[-1].usage.wall_seconds
    until_seen = time.time() - attempt.request.asked_at
    assert killed_at - record.started_at <= record.usage.wall_seconds <= until_seen


def test_a_worker_that_is_asked_to_stop_before_it_trains_stops_as_any_other(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("tracker.engine.local_attempt.STOP_GRACE_SECONDS", 600.0)  # it is not killed
    start(engine, tmp_path, epochs=10_000, epoch_seconds=0.3)
    engine.pause_all("interrupted")
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.STOPPED, "interrupted")
    assert record.message == "stopped before its last epoch"


def test_a_worker_that_is_asked_to_stop_ends_at_once_with_what_it_reached(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("tracker.engine.local_attempt.STOP_GRACE_SECONDS", 600.0)  # it is not killed
    attempt = start(engine, tmp_path, epochs=10_000, epoch_seconds=0.3)
    wait_for_checkpoint(engine, attempt)
    engine.pause_all("budget")
    record = finish(engine).record
    assert record.reason == "budget"
    assert record.state is TrialState.STOPPED
    assert record.checkpoints


def test_a_worker_that_is_deaf_to_the_request_is_killed(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("tracker.engine.local_attempt.STOP_GRACE_SECONDS", 0.5)
    attempt = start(engine, tmp_path, accident="deaf")
    wait_for_checkpoint(engine, attempt)
    while not ignores(attempt.process.pid, signal.SIGTERM):
        time.sleep(0.01)
    engine.pause_all("budget")
    assert finish(engine).record.state is TrialState.KILLED


def test_a_worker_is_pinned_to_its_cores_and_its_output_is_kept(engine, tmp_path):
    attempt = start(engine, tmp_path, epochs=1000, epoch_seconds=0.2, accident="none")
    wait_for_checkpoint(engine, attempt)
    assert os.sched_getaffinity(attempt.process.pid) == {CORES[0]}
    assert (tmp_path / "1.log").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [("raise ValueError('no data')", "ValueError('no data')"), ("import sys; sys.exit('bad usage')", "bad usage")],
)
def test_a_module_that_cannot_be_imported_is_said_in_a_line(code, said, tmp_path):
    (tmp_path / "wrong_at_import.py").write_text(code)
    (tmp_path / "s.toml").write_text(
        'name = "s"\nworkload = "wrong_at_import:train"\nbudget = { trials = 1 }\nspace = { seed = [1] }\n'
        'quality = { metric = "score", direction = "maximize" }\n'
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "tracker.cli.main", "run", "s.toml", "--home", "h"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 2, ran.stderr
    assert "workload module 'wrong_at_import' cannot be imported" in ran.stderr and said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_call_gives_the_result_or_the_error_of_a_function_in_a_child(forkserver):
    assert forkserver.call(os.getpid) != os.getpid()
    with pytest.raises(WorkFailedError, match="ZeroDivisionError"):
        forkserver.call(divmod, 1, 0)
    with pytest.raises(WorkFailedError, match="ended without an answer"):
        forkserver.call(os._exit, 3)
    with pytest.raises(DataError, match="no such data"):
        forkserver.call(fail_with_data_error)


def note(path):
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")


def test_a_child_that_nobody_knows_of_does_nothing(forkserver, tmp_path, monkeypatch):
    """As where the forkserver dies after it has made a child, and before it has said which."""
    read, lost = popen_forkserver.forkserver.read_signed, []

    def lose_the_first(descriptor):
        pid = read(descriptor)
        if not lost:
            lost.append(pid)
            raise EOFError
        return pid

    monkeypatch.setattr(popen_forkserver.forkserver, "read_signed", lose_the_first)
    child = forkserver.start(note, tmp_path / "ran")
    child.join()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(lost[0]).wait(60)
    assert (tmp_path / "ran").read_text() == f"{child.pid}\n" != f"{lost[0]}\n"


def fail_with_data_error():
    raise DataError("no such data")


def test_a_log_that_cannot_be_read_is_said_and_its_worker_still_ends(forkserver, tmp_path):
    with LocalEngine(forkserver, Reservations(CORES[:1], [])) as engine:
        attempt = start(engine, tmp_path, epochs=1000, epoch_seconds=0.1)
        wait_for_checkpoint(engine, attempt)
        log = attempt.request.log_path
        log.rename(log.with_name("moved"))
        log.mkdir()  # nobody can read or write it, whoever they are
        with pytest.raises(StoreError, match="cannot be read"):
            finish(engine)
        attempt.stop("checked")
        deadline, ended = time.monotonic() + 300, []
        while not ended and time.monotonic() < deadline:
            with contextlib.suppress(StoreError):
                ended = engine.poll(0.1)
        assert ended == [attempt]
        assert attempt.record.state is not TrialState.RUNNING
        assert attempt.record.checkpoints, "what was known of it"
    assert not psutil.pid_exists(attempt.process.pid)
