"""One trial on several machines: it learns what it learns on one, is billed as their sum, and ends with any of them."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import psutil
import pytest

from tests.support.attempts import finish, request_for, start, wait_for_checkpoint
from tests.support.near_fleet import NearFleet, rate
from tracker.engine.cluster import assistance
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservations
from tracker.records import DataCard, TrialState

CORES = sorted(os.sched_getaffinity(0))
TOGETHER = "tests.support.pausable:pausable"
TWO = {"processes": 2, "nodes": 2, "threads": 2}
NEEDS = Needs(1, nodes=2)

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")


@pytest.fixture
def fleet(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2]], address="127.0.0.1")
    yield fleet
    fleet.close()


@pytest.fixture
def engine(fleet):
    with ClusterEngine(fleet, "study", rate) as engine:
        yield engine


def start_on_two(engine, folder, **settings):
    return start(engine, folder, workload=TOGETHER, needs=NEEDS, **{**TWO, **settings})


def losses(record):
    return [each.metrics["validation_loss"] for each in record.checkpoints]


def test_a_trial_on_two_machines_learns_what_two_processes_on_one_learn(engine, tmp_path):
    attempt = start_on_two(engine, tmp_path / "there")
    there = finish(engine).record
    assert there.state is TrialState.COMPLETED, there.message
    with LocalEngine(Forkserver(TOGETHER), Reservations(CORES[:2], [])) as alone:
        start(alone, tmp_path / "here", workload=TOGETHER, needs=Needs(2), processes=2, threads=2)
        here = finish(alone).record
    assert losses(there) == pytest.approx(losses(here), abs=1e-6)
    assert len(losses(there)) == 3
    assert there.usage.cores == here.usage.cores == 2
    nodes = [attempt.reservation.node.node_id, *(each.node.node_id for each in attempt.reservation.others)]
    assert sorted(nodes) == ["node-0", "node-1"]


def test_a_worker_may_work_on_after_all_of_its_parts_have_ended_well(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(assistance, "MISSED_SECONDS", 0.5)
    attempt = start_on_two(engine, tmp_path, epochs=1, accident="alone")
    assert finish(engine) is attempt
    assert attempt.record.state is TrialState.COMPLETED, attempt.record.message


def other_of(attempt):
    return attempt.reservation.others[0].node.node_id


def wait_for_state(engine, attempt):
    while attempt.record.saved_epoch is None:
        engine.poll(0.05)


def all_free(fleet):
    """Whether no machine has anything of an attempt any more."""
    taken = [host.take("all", 1, 0, 60.0) for host in fleet.hosts.values()]
    for host in fleet.hosts.values():
        host.give_back("all")
    return all(taken)


def wait_until(happened, within_seconds=60.0):
    deadline = time.monotonic() + within_seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_nothing_is_left_of_a_trial_that_ended_on_any_machine(engine, fleet, tmp_path):
    attempt = start_on_two(engine, tmp_path / "0")
    assert finish(engine) is attempt
    wait_until(lambda: all_free(fleet))
    folders = [tmp_path / "fleet" / name / "study" / "0" for name in fleet.hosts]
    assert all(not list(folder.glob("*.log")) and not (folder / "state.pt").exists() for folder in folders)
    assert engine.reserve(NEEDS, tmp_path / "1") is not None


def test_a_paused_trial_is_resumed_on_two_machines_from_the_state_that_one_of_them_saved(engine, tmp_path):
    attempt = start_on_two(engine, tmp_path / "0", epochs=6, epoch_seconds=0.3)
    wait_for_state(engine, attempt)
    attempt.pause_at_save()
    paused = finish(engine).record
    assert (paused.state, paused.reason) == (TrialState.PAUSED, "paused")
    start_on_two(engine, tmp_path / "0", number=2, epochs=6)
    resumed = finish(engine).record
    assert resumed.state is TrialState.COMPLETED, resumed.message
    start_on_two(engine, tmp_path / "1", epochs=6)
    assert losses(paused) + losses(resumed) == pytest.approx(losses(finish(engine).record), abs=1e-6)


def test_where_a_machine_of_a_trial_is_lost_it_ends_at_once_and_is_resumed_elsewhere(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2], CORES[1:2]], address="127.0.0.1")
    with ClusterEngine(fleet, "study", rate) as engine:
        attempt = start_on_two(engine, tmp_path / "0", epochs=10_000, epoch_seconds=0.1)
        wait_for_state(engine, attempt)
        lost_at = time.monotonic()
        fleet.kill(other_of(attempt))
        record = finish(engine).record
        assert time.monotonic() - lost_at <= 10.0
        assert (record.state, record.reason) == (TrialState.KILLED, "node_lost"), record.message
        assert (tmp_path / "0" / "state.pt").exists()
        last = record.saved_epoch + 2
        resumed = start_on_two(engine, tmp_path / "0", number=2, epochs=last)
        assert other_of(attempt) not in (other_of(resumed), resumed.reservation.node.node_id)
        assert finish(engine).record.state is TrialState.COMPLETED
        assert [each.epoch for each in resumed.record.checkpoints] == [last - 1, last]
    fleet.close()


@pytest.mark.parametrize("whose", ["assistant", "its process"])
def test_a_process_that_is_killed_on_the_other_machine_ends_the_trial(engine, fleet, tmp_path, whose):
    attempt = start_on_two(engine, tmp_path / "0", epochs=10_000, epoch_seconds=0.1)
    wait_for_state(engine, attempt)
    (assistant,) = fleet.hosts[other_of(attempt)]._assistants._all()
    process = psutil.Process(assistant.process.pid)
    (process if whose == "assistant" else process.children()[0]).kill()
    record = finish(engine, within_seconds=10.0).record
    assert record.reason == "process_died", record.message
    if whose == "assistant":
        assert record.state is TrialState.KILLED
        assert (tmp_path / "0" / "state.pt").exists()
    else:
        assert record.state is TrialState.FAILED, "as where both are on one machine"
    wait_until(lambda: all_free(fleet))


def test_a_process_that_fails_on_the_other_machine_fails_the_trial_with_its_own_words(engine, fleet, tmp_path):
    start_on_two(engine, tmp_path / "0", accident="companion")
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.FAILED, "error")
    assert "process 1: ValueError: process 1 failed, as asked for" in record.message


@pytest.mark.parametrize("fingerprint", ["", str(CORES[0])])
def test_each_machine_prepares_the_data_that_it_lacks_and_other_data_fail_the_trial(
    engine, fleet, tmp_path, fingerprint
):
    folder = tmp_path / "0"
    reservation = engine.reserve(NEEDS, folder)
    while reservation is None:
        engine.poll(0.05)
        reservation = engine.reserve(NEEDS, folder)
    request = request_for(reservation, folder, workload="tests.support.pausable:prepared", **TWO)
    card = DataCard("digits", fingerprint, {"train": 1400})
    elsewhere = tmp_path / "the coordinator's own"
    engine.start(replace(request, cache=elsewhere, data_card=card, prepared_with={"device": "cpu"}), reservation)
    record = finish(engine).record
    caches = [tmp_path / "fleet" / name / "cache" for name in fleet.hosts]
    assert [(cache / f"prepared on {core}").exists() for cache, core in zip(caches, CORES, strict=False)] == [
        True,
        True,
    ]
    if fingerprint:
        assert (record.state, record.reason) == (TrialState.FAILED, "DataError")
        assert "process 1: the data on machine 'node-1' are others than the study's" in record.message
    else:
        assert record.state is TrialState.COMPLETED, record.message


def test_what_fails_on_the_first_machine_ends_the_other_one_too(engine, fleet, tmp_path):
    start_on_two(engine, tmp_path / "0", accident="memory")
    record = finish(engine).record
    assert (record.state, record.reason) == (TrialState.FAILED, "out_of_memory"), record.message
    wait_until(lambda: all_free(fleet))


def test_a_worker_that_is_killed_leaves_nothing_on_the_other_machine(engine, fleet, tmp_path):
    attempt = start_on_two(engine, tmp_path / "0", epochs=10_000, epoch_seconds=0.1)
    wait_for_checkpoint(engine, attempt)
    (assistant,) = fleet.hosts[other_of(attempt)]._assistants._all()
    everyone = [psutil.Process(assistant.process.pid), *psutil.Process(assistant.process.pid).children()]
    engine.kill_all()
    assert finish(engine).record.state is TrialState.KILLED
    wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in everyone))


def test_a_new_coordinator_continues_a_trial_on_two_machines(fleet, tmp_path):
    first = ClusterEngine(fleet, "study", rate)
    first.__enter__()
    attempt = start_on_two(first, tmp_path / "trials" / "0", epochs=12, epoch_seconds=0.3)
    wait_for_state(first, attempt)
    first.abandon()
    second = ClusterEngine(fleet, "study", rate)
    (adopted,) = second.adopt(tmp_path / "trials")
    assert other_of(adopted) == other_of(attempt)
    with second:
        assert second.reserve(Needs(1)) is None, "its places are held on both"
        record = finish(second).record
    assert record.state is TrialState.COMPLETED, record.message
    assert [each.epoch for each in record.checkpoints] == list(range(1, 13))
    wait_until(lambda: all_free(fleet))


def test_a_coordinator_that_dies_before_the_other_machine_was_asked_costs_nothing(fleet, tmp_path, monkeypatch):
    first = ClusterEngine(fleet, "study", rate)
    with monkeypatch.context() as patch:
        patch.setattr(first.pump._assistance, "call", lambda _: None)
        first.__enter__()
        attempt = start_on_two(first, tmp_path / "trials" / "0")
        while attempt.meeting is None:
            first.poll(0.05)
        first.abandon()
    second = ClusterEngine(fleet, "study", rate)
    assert len(second.adopt(tmp_path / "trials")) == 1
    with second:
        record = finish(second).record
    assert record.state is TrialState.COMPLETED, record.message


def test_parts_whose_coordinator_stays_away_end_after_their_worker_could_save(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2]], orphan_seconds=2.0, address="127.0.0.1")
    engine = ClusterEngine(fleet, "study", rate)
    engine.__enter__()
    attempt = start_on_two(engine, tmp_path / "trials" / "0", epochs=10_000, epoch_seconds=0.1)
    wait_for_state(engine, attempt)
    engine.abandon()
    fleet.quiet()
    for host in fleet.hosts.values():
        host._leases["study"] = time.monotonic()
    wait_until(lambda: not fleet.hosts[other_of(attempt)]._assistants._all())
    (found,) = fleet.hosts[attempt.reservation.node.node_id].found("study")
    assert found.log_bytes is not None, "it has ended"
    again = ClusterEngine(fleet, "study", rate)
    again.adopt(tmp_path / "trials")
    with again:
        record = finish(again).record
    assert (record.state, record.reason) == (TrialState.PAUSED, "paused")
    fleet.close()
