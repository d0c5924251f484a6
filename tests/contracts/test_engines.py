"""What every engine does alike, whether its workers run on this machine or on those of a fleet."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.attempts import finish, start, wait_for_checkpoint
from tests.support.near_fleet import NearFleet, rate
from tests.support.studies import DIGITS
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservations
from tracker.errors import StoreError
from tracker.records import TrialState
from tracker.training.events import EventReader, read_attempt

CORES = sorted(os.sched_getaffinity(0))
RESUMABLE = "tests.support.accidents:accidental"


@pytest.fixture(params=["local", "cluster"])
def made(request, tmp_path):
    """An engine that may run one worker, not entered yet."""
    if request.param == "local":
        yield LocalEngine(Forkserver(DIGITS["workload"]), Reservations(CORES[:1], []))
        return
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1]])
    yield ClusterEngine(fleet, "study", rate)
    fleet.close()


@pytest.fixture
def engine(made):
    with made:
        yield made


def test_a_trial_runs_to_its_end_and_what_it_made_is_here(engine, tmp_path):
    events = []
    attempt = start(engine, tmp_path / "0")
    attempt.on_event = events.append
    assert engine.reserve(Needs(1)) is None
    assert finish(engine) is attempt
    record = attempt.record
    assert record.state is TrialState.COMPLETED
    assert [each.epoch for each in record.checkpoints] == [1, 2, 3]
    assert record == read_attempt(attempt.request.log_path, 1)
    assert [event["epoch"] for event in events if event["event"] == "checkpoint"] == [1, 2, 3]
    assert (attempt.request.artifacts / "model.txt").read_text() == "width 4"
    assert attempt.request.output_path.exists()
    start(engine, tmp_path / "1")
    assert finish(engine).record.state is TrialState.COMPLETED, "its place is free again"


def test_the_log_has_each_event_once_and_starts_with_the_request(engine, tmp_path):
    attempt = start(engine, tmp_path / "0")
    finish(engine)
    kinds = [event["event"] for event in EventReader(attempt.request.log_path).new_events()]
    assert kinds[:2] == ["asked", "started"]
    assert kinds[-1] == "ended"
    assert len([kind for kind in kinds if kind not in ("heartbeat", "checkpoint", "saved", "note")]) == len(
        {kind for kind in kinds if kind not in ("heartbeat", "checkpoint", "saved", "note")}
    )


def test_a_paused_trial_is_resumed_from_the_state_that_it_saved(engine, tmp_path):
    attempt = start(engine, tmp_path / "0", workload=RESUMABLE, epochs=10_000, epoch_seconds=0.02)
    while attempt.record.saved_epoch is None:
        engine.poll(0.05)
    attempt.pause_at_save()
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "paused")
    assert (tmp_path / "0" / "state.pt").exists()
    last = record.checkpoints[-1].epoch + 2
    start(engine, tmp_path / "0", workload=RESUMABLE, number=2, epochs=last)
    resumed = finish(engine).record
    assert [each.epoch for each in resumed.checkpoints] == [last - 1, last]
    assert resumed.state is TrialState.COMPLETED
    assert not (tmp_path / "0" / "state.pt").exists(), "nothing is to be resumed any more"


def test_every_worker_is_paused_at_once_and_says_why(engine, tmp_path):
    attempt = start(engine, tmp_path / "0", workload=RESUMABLE, epochs=10_000, epoch_seconds=0.1)
    while attempt.record.saved_epoch is None:
        engine.poll(0.05)
    engine.pause_all("budget")
    assert attempt.stopping
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "budget")
    assert record.usage.wall_seconds >= record.checkpoints[-1].usage.wall_seconds


def test_a_killed_worker_is_billed_until_its_death(engine, tmp_path):
    asked = time.monotonic()
    attempt = start(engine, tmp_path / "0", epochs=10_000, epoch_seconds=0.1)
    wait_for_checkpoint(engine, attempt)
    engine.kill_all()
    record = finish(engine).record
    assert record.state is TrialState.KILLED
    assert "SIGKILL" in record.message
    assert record.checkpoints[-1].usage.wall_seconds <= record.usage.wall_seconds <= time.monotonic() - asked
    assert record == read_attempt(attempt.request.log_path, 1)


def test_a_log_that_cannot_be_written_starts_nothing_and_costs_no_place(engine, tmp_path):
    (tmp_path / "0").write_text("a file where a folder is to be")
    with pytest.raises(StoreError, match="#0 did not start"):
        start(engine, tmp_path / "0")
    assert not engine.running
    start(engine, tmp_path / "1")
    assert finish(engine).record.state is TrialState.COMPLETED


def test_no_worker_outlives_the_context_and_it_may_be_entered_again(made, tmp_path):
    with made:
        attempt = start(made, tmp_path / "0", epochs=10_000, epoch_seconds=0.1)
        wait_for_checkpoint(made, attempt)
    assert not made.running
    assert attempt.record.state is TrialState.KILLED
    with made:
        start(made, tmp_path / "1")
        assert finish(made).record.state is TrialState.COMPLETED


def test_an_accident_says_the_same_on_any_machine(engine, tmp_path):
    start(engine, tmp_path / "0", accident="exit")
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.FAILED, "exit")
    assert "exit code 3" in record.message
