"""Whatever happens to machines and to what is said to them: each event counts once, each attempt ends and is paid."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

import pytest

from experiments.benchmarks.simulated_training import state
from tests.support.attempts import request_for
from tests.support.fake_fleet import FAULTS, FakeFleet
from tests.support.near_fleet import RATE
from tests.support.virtual_study import VirtualStudy, node_of, training_of
from tracker.engine.cluster.node_times import read_node_times
from tracker.engine.cluster.pump import LEASE_SECONDS, PATIENCE_SECONDS
from tracker.engine.node import Needs
from tracker.errors import ClusterError, StoreError
from tracker.records import Market, TrialState
from tracker.training.events import read_attempt


@pytest.fixture
def fleet():
    return FakeFleet()


@pytest.fixture
def study(fleet, tmp_path):
    fleet.add()
    fleet.add()
    study = VirtualStudy(fleet, tmp_path)
    study.run(0.2)
    return study


def log_of(attempt):
    return attempt.request.log_path.read_bytes()


def test_an_attempt_s_log_here_is_the_one_there_byte_for_byte(study, fleet):
    attempt = study.start(0)
    study.run_until(lambda: study.ended)
    assert study.ended == [attempt]
    assert attempt.record.state is TrialState.COMPLETED
    assert len(attempt.record.checkpoints) == 10
    assert log_of(attempt) == training_of(fleet, attempt).log
    assert attempt.record.usage.wall_seconds == pytest.approx(50.0)
    assert not fleet.hosts[node_of(attempt)].trainings, "its host keeps nothing of it"


def test_places_are_those_that_machines_have_and_what_lacks_one_is_wanted(study, fleet):
    assert all(study.start(trial) for trial in range(4))
    assert study.start(4) is None
    study.run(0.1)
    assert fleet.wanted[-1] == [Needs(1)]
    study.run_until(lambda: len(study.ended) == 4)
    study.run(2.0)
    assert study.start(4) is not None
    study.run(0.1)
    assert fleet.wanted[-1] == []


def test_a_place_that_another_study_has_is_not_given_twice(study, fleet, tmp_path):
    other = VirtualStudy(fleet, tmp_path / "other", "other")
    other.run(0.2)
    assert all(other.start(trial) for trial in range(4))
    assert study.start(0) is None
    other.run_until(lambda: len(other.ended) == 4)
    assert study.start(0) is not None


def test_a_machine_that_dies_is_known_at_once_and_its_attempts_are_killed(study, fleet):
    attempt = study.start(0)
    study.run(23.0)
    fleet.kill(node_of(attempt))
    dead_at = fleet.now()
    study.run_until(lambda: study.ended)
    assert fleet.now() - dead_at <= 3.0
    record = attempt.record
    assert (record.state, record.reason) == (TrialState.KILLED, "node_lost")
    assert [each.epoch for each in record.checkpoints] == [1, 2, 3, 4]
    truth = training_of(fleet, attempt)
    assert 20.0 <= record.usage.wall_seconds <= truth.ended_at - truth.began
    assert read_attempt(attempt.request.log_path, 1) == record


@pytest.mark.parametrize("cut_off", [True, False])
def test_a_machine_that_says_nothing_is_lost_after_its_lease(study, fleet, cut_off):
    attempt = study.start(0)
    study.run(12.0)
    silent_at = fleet.now()
    fleet.silence(node_of(attempt)) if cut_off else fleet.kill(node_of(attempt), noticed=False)
    study.run_until(lambda: study.ended)
    silent_seconds = fleet.now() - silent_at
    assert LEASE_SECONDS <= silent_seconds <= LEASE_SECONDS + PATIENCE_SECONDS + 5.0
    assert attempt.record.reason == "node_lost"


def test_what_a_lost_machine_did_unseen_is_kept_beside_and_never_counted(study, fleet):
    attempt = study.start(0)
    study.run(12.0)
    node = node_of(attempt)
    fleet.silence(node)
    study.run_until(lambda: study.ended)
    record, log = attempt.record, log_of(attempt)
    fleet.heal(node)
    study.run(120.0)
    truth = training_of(fleet, attempt)
    assert truth.ended_at is not None, "it is killed once its machine is there again"
    assert (attempt.record, log_of(attempt)) == (record, log)
    late = attempt.request.log_path.with_name("1.late.jsonl").read_bytes()
    assert truth.log.endswith(late) and b"checkpoint" in late
    assert log.startswith(truth.log[: -len(late)])
    assert not fleet.hosts[node].trainings
    assert study.start(1) is not None


def test_a_coordinator_that_stalls_loses_no_machine(study, fleet):
    attempts = [study.start(trial) for trial in range(4)]
    study.run(7.0)
    fleet.pass_time(60.0)
    study.run_until(lambda: len(study.ended) == 4)
    assert {attempt.record.state for attempt in attempts} == {TrialState.COMPLETED}


def test_a_paused_trial_is_resumed_on_the_machine_that_has_its_state(study, fleet):
    attempt = study.start(0)
    study.run(12.0)
    attempt.pause_at_save()
    study.run_until(lambda: study.ended)
    assert attempt.record.state is TrialState.PAUSED
    assert (study.folder / "0" / "state.pt").read_bytes() == state(3)
    resumed = study.start(0)
    assert node_of(resumed) == node_of(attempt)
    study.run_until(lambda: len(study.ended) == 2)
    assert [each.epoch for each in resumed.record.checkpoints] == [4, 5, 6, 7, 8, 9, 10]
    assert not (study.folder / "0" / "state.pt").exists()


def test_a_state_travels_to_another_machine_where_its_own_is_gone(study, fleet):
    attempt = study.start(0)
    study.run(12.0)
    attempt.pause_at_save()
    study.run_until(lambda: study.ended)
    fleet.kill(node_of(attempt))
    study.run(2.0)
    resumed = study.start(0)
    assert node_of(resumed) != node_of(attempt)
    study.run_until(lambda: len(study.ended) == 2)
    assert [each.epoch for each in resumed.record.checkpoints] == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_lost_repeated_late_or_torn_on_the_way_changes_nothing(study, fleet, fault):
    for number in range(6):
        fleet.fault("node-0", fault)
        fleet.fault("node-1", fault)
        while study.start(number) is None:
            study.run(1.0)
        study.run(7.0)
    study.run_until(lambda: len(study.ended) == 6)
    for attempt in study.ended:
        assert attempt.record.state is TrialState.COMPLETED
        assert log_of(attempt) == training_of(fleet, attempt).log
        assert attempt.record.usage.wall_seconds == pytest.approx(50.0)
    assert fleet.met[fault] >= 6


def test_a_state_that_arrives_torn_is_not_used_and_the_older_one_stays(study, fleet):
    attempt = study.start(0)
    study.run(12.0)
    attempt.pause_at_save()
    study.run_until(lambda: study.ended)
    kept = (study.folder / "0" / "state.pt").read_bytes()
    resumed = study.start(0)
    study.run(12.0)
    resumed.pause_at_save()
    for _ in range(50):
        fleet.fault(node_of(resumed), "tear")
    study.run_until(lambda: len(study.ended) == 2)
    assert resumed.record.state is TrialState.PAUSED
    assert (study.folder / "0" / "state.pt").read_bytes() == kept
    assert any("could not be brought" in note for note in resumed.record.notes)


def test_a_notice_has_trials_paused_and_their_states_here_before_the_deadline(study, fleet):
    attempts = [study.start(trial) for trial in range(4)]
    study.run(12.0)
    fleet.drain("node-0", 30.0)
    study.run_until(lambda: len(study.ended) == 2)
    assert "node-0" in fleet.hosts, "it is still there"
    for attempt in study.ended:
        assert (attempt.record.state, attempt.record.reason) == (TrialState.PAUSED, "node_drains")
        assert (attempt.request.folder / "state.pt").read_bytes() == state(2)
    study.run_until(lambda: len(study.ended) == 4)
    assert all(node_of(study.start(trial)) == "node-1" for trial in range(2))
    assert len(attempts) == 4


def test_on_a_spot_machine_states_travel_while_it_trains(fleet, tmp_path):
    fleet.add(**{"ray.io/market-type": "spot"})
    study = VirtualStudy(fleet, tmp_path)
    study.run(0.2)
    attempt = study.start(0)
    study.run(23.0)
    fleet.kill(node_of(attempt))
    study.run_until(lambda: study.ended)
    assert (tmp_path / "0" / "state.pt").read_bytes() == state(4), "at most one save is lost"


def test_a_new_coordinator_continues_what_runs(study, fleet):
    running = [study.start(trial) for trial in range(3)]
    study.run(12.0)
    adopted = study.restart()
    assert {each.key for each in adopted} == {each.key for each in running}
    assert all(len(each.record.checkpoints) == 2 for each in adopted)
    study.run_until(lambda: len(study.ended) == 3)
    for attempt in study.ended:
        assert attempt.record.state is TrialState.COMPLETED
        assert log_of(attempt) == training_of(fleet, attempt).log
    assert study.start(9) is not None


def test_a_new_coordinator_brings_the_files_of_what_had_ended(study, fleet):
    attempt = study.start(0)
    study.run(12.0)
    attempt.stop("budget", pause=True)
    for _ in range(2):  # for its files, and for news
        fleet.fault(node_of(attempt), "lose_question")
    study.run_until(lambda: attempt.closed)
    assert not (study.folder / "0" / "state.pt").exists()
    assert study.restart() == []
    assert (study.folder / "0" / "state.pt").read_bytes() == state(2)
    study.run(5.0)
    assert not fleet.hosts[node_of(attempt)].trainings


def test_a_full_disk_here_loses_nothing(study, fleet, monkeypatch):
    attempt = study.start(0)
    study.run(12.0)
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match="No space left on device"):
            study.run(30.0)
    study.run_until(lambda: study.ended)
    assert attempt.record.state is TrialState.COMPLETED
    assert log_of(attempt) == training_of(fleet, attempt).log


def test_a_disk_here_that_keeps_nothing_has_its_machine_keep_everything(study, fleet, monkeypatch):
    attempt = study.start(0)
    study.run(12.0)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(StoreError, match="Input/output error"):
            study.run(10.0)
        for _ in range(120):
            fleet.pass_time(0.5)
            with contextlib.suppress(StoreError):
                study.run(0.2)
        assert training_of(fleet, attempt).ended_at is not None
        assert not study.ended
        assert fleet.hosts[node_of(attempt)].trainings, "its host keeps all of it"
    study.run_until(lambda: study.ended)
    assert attempt.record.state is TrialState.COMPLETED
    assert log_of(attempt) == training_of(fleet, attempt).log


def test_what_was_asked_for_before_the_disk_here_failed_comes_again(study, fleet, monkeypatch):
    attempt, force, failures = study.start(0), os.fsync, []

    def fail_once(descriptor):
        if not failures and os.fstat(descriptor).st_ino == attempt.request.log_path.stat().st_ino:
            failures.append(descriptor)
            raise OSError(5, "Input/output error")
        force(descriptor)

    study.run(12.0)
    monkeypatch.setattr("os.fsync", fail_once)
    with pytest.raises(StoreError, match="Input/output error"):
        study.run(10.0)
    asked_from, kept = attempt.read_bytes, attempt.copy.offset
    assert kept < asked_from
    attempt.stop("study_stopped")
    with pytest.raises(StoreError, match=f"lines come from byte {asked_from}, and it has {kept} here"):
        study.run_until(lambda: study.ended)
    study.run_until(lambda: study.ended)
    assert log_of(attempt) == training_of(fleet, attempt).log
    assert attempt.record.checkpoints == training_of(fleet, attempt).record.checkpoints
    assert attempt.record.ended_at == training_of(fleet, attempt).record.ended_at


def test_a_log_is_on_the_disk_before_its_machine_forgets_it(study, fleet, monkeypatch):
    attempt, on_disk = study.start(0), [0]
    force = os.fsync

    def note(descriptor):
        force(descriptor)
        if os.fstat(descriptor).st_ino == attempt.request.log_path.stat().st_ino:
            on_disk.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr("os.fsync", note)
    host = fleet.hosts[node_of(attempt)]
    release, forgotten = host.release, []
    monkeypatch.setattr(host, "release", lambda *given: forgotten.append(on_disk[-1]) or release(*given))
    study.run_until(lambda: study.ended)
    assert forgotten[0] == len(training_of(fleet, attempt).log)
    assert len(on_disk) > 5, "and now and then while it trains"


def test_a_machine_that_cannot_take_an_attempt_costs_that_attempt_alone(study, fleet):
    reservation = study.engine.reserve(Needs(1), study.folder / "0")
    fleet.pass_time(100.0)  # its place is another's by now
    attempt = study.engine.start(request_for(reservation, study.folder / "0"), reservation)
    study.run_until(lambda: study.ended)
    assert (attempt.record.state, attempt.record.reason) == (TrialState.KILLED, "node_refused")
    assert "given to another" in attempt.record.message
    assert attempt.record.usage.wall_seconds < 1.0


def test_the_lines_of_every_machine_add_up_to_what_it_costs(study, fleet):
    first = study.start(0)
    others = [study.start(trial) for trial in (1, 2)]
    study.run(12.0)
    node = node_of(first)
    fleet.silence(node)
    study.run_until(lambda: first in study.ended)
    fleet.heal(node)
    study.run_until(lambda: len(study.ended) == 3)
    study.run(30.0)
    truths = [training_of(fleet, attempt) for attempt in (first, *others)]
    times = {time.node.node_id: time for time in study.engine.times}
    for name, time in times.items():
        assert time.total_seconds == pytest.approx(fleet.clock - 1000.0, abs=3.0), "until its last word"
        assert sum(time.lines_usd.values()) == pytest.approx(time.total_seconds * RATE.usd_per_hour / 3600)
        mine = [truth for truth, attempt in zip(truths, (first, *others), strict=True) if node_of(attempt) == name]
        taken = sum(truth.ended_at - truth.began for truth in mine) / time.node.cores
        assert time.trained_seconds + time.lost_seconds + time.late_seconds == pytest.approx(taken, abs=0.1)
    there = sum(node_of(attempt) == node for attempt in (first, *others)) / 2
    assert times[node].lost_seconds == pytest.approx(12.0 * there, abs=2.0), "to be trained again: no state was here"
    assert times[node].late_seconds > 5.0, "unseen"


def test_the_time_of_a_machine_goes_on_where_its_attempts_did_while_no_coordinator_watched(study, fleet):
    attempt = study.start(0)
    study.run(22.0)
    fleet.pass_time(10.0)
    study.restart()
    study.run_until(lambda: study.ended)
    times = {time.node.node_id: time for time in study.engine.times}
    mine = times.pop(node_of(attempt))
    (other,) = times.values()
    assert mine.trained_seconds == pytest.approx(50.0 / 2, abs=0.1)
    assert mine.total_seconds == pytest.approx(fleet.clock - 1000.0, abs=3.0)
    assert other.total_seconds == pytest.approx(fleet.clock - 1000.0 - 10.0, abs=8.0), "it did nothing for this study"


def test_what_is_trained_again_is_what_was_reached_after_the_last_state_that_is_here(fleet, tmp_path, monkeypatch):
    fleet.add(**{"ray.io/market-type": "spot"})
    study = VirtualStudy(fleet, tmp_path)
    monkeypatch.setattr(study.engine, "_rate", lambda *_: replace(RATE, market=Market.SPOT))
    study.run(0.2)
    attempt = study.start(0)
    study.run(23.0)
    fleet.kill(node_of(attempt))
    study.run_until(lambda: study.ended)
    (time,) = study.engine.times
    assert attempt.record.kept_epoch == 4
    assert time.trained_seconds == pytest.approx(20.0 / 2, abs=0.1)
    assert time.lost_seconds == pytest.approx(attempt.record.usage.wall_seconds / 2 - time.trained_seconds)


def test_what_machines_did_is_read_back_as_it_was_kept(study, tmp_path):
    study.start(0)
    study.run(60.0)
    study.engine.times.save()
    kept = {time.node.node_id: time for time in read_node_times(tmp_path)}
    assert len(kept) == 2
    for time in study.engine.times:
        assert kept[time.node.node_id] == time


def test_a_machine_that_cannot_make_its_host_is_left_out_and_named(fleet, tmp_path, monkeypatch):
    fleet.add()
    fleet.add()

    def lacks(*_):
        raise ClusterError("the host on node 'node-0' lacks what the head has: No module named 'tracker'")

    monkeypatch.setattr(fleet.hosts["node-0"], "has_news", lambda *_: True)
    monkeypatch.setattr(fleet.hosts["node-0"], "news", lacks)
    said = []
    study = VirtualStudy(fleet, tmp_path, notify=said.append)
    study.run(5.0)
    assert all(node_of(study.start(trial)) == "node-1" for trial in range(2))
    assert study.start(2) is None
    (sentence,) = said
    assert sentence.startswith("machine node-0 is left out") and "No module named" in sentence


def test_a_silent_machine_does_not_hold_up_the_others(study, fleet):
    fleet.silence("node-0")
    began = fleet.now()
    while study.start(0) is None:
        pass
    assert fleet.now() - began < 5.0


def test_needs_that_no_machine_can_meet_are_said_once_and_waited_for(fleet, tmp_path):
    fleet.add(cores=2)
    said = []
    study = VirtualStudy(fleet, tmp_path, notify=said.append)
    study.run(0.2)
    for _ in range(3):
        assert study.engine.reserve(Needs(8, accelerators=1)) is None
        study.run(0.1)
    assert said == ["waiting for a machine with 8 cores and 1 × GPU; there are: node-0 with 2 cores"]
    assert fleet.wanted[-1] == [Needs(8, accelerators=1)]
    study.run(6.0)
    assert fleet.wanted[-1] == [], "nobody asks for it any more"


def test_what_has_memory_for_itself_is_placed_where_it_is_free(fleet, tmp_path):
    fleet.add(cores=3)
    fleet.add(cores=3)
    said = []
    study = VirtualStudy(fleet, tmp_path, notify=said.append)
    study.run(0.2)
    needs = Needs(1, memory_bytes=5 * 2**30)  # of 7.2 GB on each
    first, second = (study.engine.reserve(needs, tmp_path / str(trial)) for trial in range(2))
    assert {first.node.node_id, second.node.node_id} == {"node-0", "node-1"}
    assert first.memory_bytes == 5 * 2**30
    assert study.engine.reserve(needs) is None
    assert study.engine.reserve(Needs(1, memory_bytes=2 * 2**30)) is not None
    assert study.engine.reserve(Needs(1)) is not None, "what needs none for itself takes what is free"
    study.run(0.1)
    assert said == []
    study.engine.reserve(Needs(1, memory_bytes=2**33))
    study.run(0.1)
    assert said == [
        "waiting for a machine with 1 core and 8.0 GB of memory; there are: "
        "node-0 with 3 cores, 7.2 GB of memory for trials, node-1 with 3 cores, 7.2 GB of memory for trials"
    ]


def test_a_new_coordinator_knows_the_memory_of_what_runs(study, fleet):
    reservation = study.engine.reserve(Needs(1, memory_bytes=5 * 2**30), study.folder / "0")
    study.attempts.append(study.engine.start(request_for(reservation, study.folder / "0"), reservation))
    study.run(1.0)
    study.restart()
    study.run(1.0)
    places = [study.engine.reserve(Needs(1, memory_bytes=3 * 2**30)) for _ in range(4)]
    assert sum(place is not None for place in places) == 2, "two on the other machine, none beside it"


@pytest.mark.parametrize("wish", ["pause_at_save", "pause", "kill"])
def test_what_is_asked_of_an_attempt_before_its_machine_has_it_is_not_lost(study, fleet, wish):
    attempt = study.start(0)
    match wish:
        case "pause_at_save":
            attempt.pause_at_save()
        case "pause":
            study.engine.pause_all("interrupted")
        case "kill":
            study.engine.kill_all()
    study.run_until(lambda: study.ended, 20.0)
    ends = {"pause_at_save": TrialState.PAUSED, "pause": TrialState.STOPPED, "kill": TrialState.KILLED}
    assert attempt.record.state is ends[wish]


def test_a_trial_moves_to_a_machine_that_is_cheaper_by_more_than_its_state_is_worth(fleet, tmp_path):
    usd_per_hour = {"node-0": 0.10, "node-1": 0.095}
    fleet.add(cores=1)
    study = VirtualStudy(fleet, tmp_path)
    study.engine._rate = lambda node, needs: replace(RATE, usd_per_hour=usd_per_hour[node.node_id])
    study.run(0.2)

    def paused(attempt):
        attempt.pause_at_save()
        study.run_until(lambda: attempt in study.ended)
        return node_of(attempt)

    assert paused(study.start(0)) == "node-0"
    fleet.add(cores=1)
    study.run(2.0)
    assert paused(study.start(0)) == "node-0", "its state is there, and the other one is hardly cheaper"
    assert paused(study.start(1)) == "node-1", "the cheaper one"
    usd_per_hour["node-1"] = 0.05
    moved = study.start(0)
    assert paused(moved) == "node-1"
    assert moved.record.checkpoints[0].epoch == 3, "from its state"


def test_what_asks_for_a_market_gets_machines_that_are_bought_so(fleet, tmp_path):
    fleet.add(cores=1, **{"tracker/market": "spot"})
    fleet.add(cores=1, **{"tracker/market": "on_demand"})
    fleet.add(cores=1)
    study = VirtualStudy(fleet, tmp_path)
    study.run(0.2)
    reserved = [study.engine.reserve(Needs(1, market="on_demand")) for _ in range(3)]
    assert {each.node.node_id for each in reserved if each} == {"node-1", "node-2"}, "one says nothing: as the study"
    spot = study.engine.reserve(Needs(1, market="spot"))
    assert (spot.node.node_id, spot.price_point.market) == ("node-0", Market.SPOT)


def test_what_is_asked_of_a_machine_that_is_gone_meanwhile_harms_nothing(study, fleet):
    contact = study.engine.pump.contacts["node-0"]
    fleet.kill("node-0")
    study.run(2.0)
    study.engine.pump.give_back(contact, "token")
    attempt = study.start(0)
    study.run_until(lambda: study.ended)
    assert attempt.record.state is TrialState.COMPLETED
