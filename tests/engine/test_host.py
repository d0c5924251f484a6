"""Real workers on real hosts: they are moved, found again, and pause where nobody pays for them any more."""

from __future__ import annotations

import os
import threading
import time

import pytest

from tests.support.attempts import finish, start, wait_for_checkpoint
from tests.support.near_fleet import NearFleet, rate
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.cluster.messages import Key
from tracker.engine.host.host import Host
from tracker.records import TrialState
from tracker.training.events import read_attempt

CORES = sorted(os.sched_getaffinity(0))
RESUMABLE = "tests.support.accidents:accidental"


@pytest.fixture
def fleet(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2]])
    yield fleet
    fleet.close()


@pytest.fixture
def engine(fleet):
    with ClusterEngine(fleet, "study", rate) as engine:
        yield engine


def wait_for_state(engine, attempt):
    while attempt.record.saved_epoch is None:
        engine.poll(0.05)


def start_endless(engine, folder):
    return start(engine, folder, workload=RESUMABLE, epochs=1_000_000, epoch_seconds=0.1)


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_a_trial_goes_on_on_another_machine(engine, fleet, tmp_path):
    attempt = start_endless(engine, tmp_path / "0")
    wait_for_state(engine, attempt)
    node = attempt.reservation.node.node_id
    fleet.drain(node, 600.0)
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "node_drains")
    last = record.checkpoints[-1].epoch
    saved = record.saved_epoch
    resumed = start(engine, tmp_path / "0", workload=RESUMABLE, number=2, epochs=last + 2)
    assert resumed.reservation.node.node_id != node
    finish(engine)
    assert [each.epoch for each in resumed.record.checkpoints] == list(range(saved + 1, last + 3))


def test_a_machine_that_is_gone_costs_its_attempts_and_no_state_that_was_here(engine, fleet, tmp_path):
    attempt = start_endless(engine, tmp_path / "0")
    wait_for_checkpoint(engine, attempt)
    fleet.kill(attempt.reservation.node.node_id)
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.KILLED, "node_lost")
    assert record.usage.wall_seconds >= record.checkpoints[-1].usage.wall_seconds
    assert record == read_attempt(attempt.request.log_path, 1)


def test_a_coordinator_that_is_killed_leaves_its_attempts_to_the_next(fleet, tmp_path):
    first = ClusterEngine(fleet, "study", rate)
    first.__enter__()
    attempt = start_endless(first, tmp_path / "trials" / "0")
    wait_for_state(first, attempt)
    first.abandon()
    second = ClusterEngine(fleet, "study", rate)
    (adopted,) = second.adopt(tmp_path / "trials")
    assert adopted.key == attempt.key
    assert len(adopted.record.checkpoints) >= len(attempt.record.checkpoints)
    with second:
        adopted.pause_at_save()
        record = finish(second).record
    assert record.state is TrialState.PAUSED
    assert record == read_attempt(attempt.request.log_path, 1)
    assert [each.epoch for each in record.checkpoints] == list(range(1, len(record.checkpoints) + 1))


def test_attempts_whose_coordinator_stays_away_pause_at_a_save_and_keep_their_state(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1]], orphan_seconds=0.0)
    engine = ClusterEngine(fleet, "study", rate)
    engine.__enter__()
    attempt = start_endless(engine, tmp_path / "trials" / "0")
    wait_for_state(engine, attempt)
    engine.abandon()
    host = fleet.hosts["node-0"]
    fleet.quiet()
    host._leases["study"] = time.monotonic()
    deadline = time.monotonic() + 300
    while (found := host.found("study"))[0].log_bytes is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(found) == 1
    assert (tmp_path / "fleet" / "node-0" / "study" / "0" / "state.pt").exists()
    again = ClusterEngine(fleet, "study", rate)
    again.adopt(tmp_path / "trials")
    with again:
        record = finish(again).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "paused")
    assert (tmp_path / "trials" / "0" / "state.pt").exists()
    fleet.close()


def test_an_attempt_that_was_given_up_never_starts(tmp_path):
    host = Host(tmp_path, CORES[:1])
    key = Key("study", "0", 3)
    host.fence(key)
    host.start(key, None, b"", "token", False)
    host.start(Key("study", "0", 2), None, b"", "token", False)
    assert host.found("study") == ()
    host.close()


def test_what_is_reserved_and_not_used_is_free_again_in_time(tmp_path):
    host = Host(tmp_path, CORES[:1])
    assert host.take("one", 1, 0, 0.0) is not None
    deadline = time.monotonic() + 300
    while host.take("two", 1, 0, 600.0) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert host.take("two", 1, 0, 600.0) is not None, "asked twice, given once"
    assert host.take("three", 1, 0, 600.0) is None
    host.close()


def test_news_come_at_once_or_after_their_time(tmp_path):
    host = Host(tmp_path, CORES[:1])
    assert host.news("study", {}, 30.0, 0.0).lines == {}
    heard = []
    waiting = threading.Thread(target=lambda: heard.append(host.news("study", {}, 30.0, 600.0)), daemon=True)
    waiting.start()
    with host._changed:
        assert not heard
    host.close()
