"""Trials on several machines: all of them are reserved or none, and whatever happens to one, nothing is left."""

from __future__ import annotations

import pytest

from experiments.benchmarks.simulated_training import state
from tests.support.attempts import request_for
from tests.support.fake_fleet import FAULTS, FakeFleet
from tests.support.near_fleet import RATE
from tests.support.virtual_study import VirtualStudy, node_of, others_of, training_of
from tracker.engine.cluster.pump import LEASE_SECONDS, PATIENCE_SECONDS
from tracker.engine.node import Needs
from tracker.pricing.price_book import load_price_book
from tracker.records import Market, TrialState

SKUS = {"small": RATE, "large": load_price_book().point("aws/m7i.2xlarge", Market.ON_DEMAND)}


@pytest.fixture
def fleet():
    return FakeFleet()


@pytest.fixture
def study(fleet, tmp_path):
    for _ in range(3):
        fleet.add(cores=1)
    study = VirtualStudy(fleet, tmp_path)
    study.run(0.2)
    return study


def free_cores(fleet):
    return {name: host.free_cores for name, host in fleet.hosts.items()}


def test_a_trial_has_a_place_on_every_machine_and_a_part_on_all_but_the_first(study, fleet):
    attempt = study.start(0, nodes=2)
    study.run(2.0)
    (other,) = others_of(attempt)
    assert other != node_of(attempt)
    assert list(fleet.hosts[other].assistants) == [attempt.key]
    assert not fleet.hosts[node_of(attempt)].assistants
    study.run_until(lambda: study.ended)
    study.run(1.0)
    assert attempt.record.state is TrialState.COMPLETED
    assert attempt.record.usage.cores == 1, "as the simulated one says"
    assert free_cores(fleet) == {"node-0": 1, "node-1": 1, "node-2": 1}


def test_places_are_reserved_on_all_machines_or_on_none(study, fleet):
    assert study.start(0, nodes=2) is not None
    before = free_cores(fleet)
    assert study.start(1, nodes=2) is None
    study.run(0.5)
    assert free_cores(fleet) == before
    assert fleet.wanted[-1] == [Needs(1, nodes=2)]
    study.run(2.0)
    assert study.start(2) is not None, "for one machine there is a place"


def test_what_another_study_has_is_not_given_twice_and_nothing_is_kept_of_what_is_not_enough(study, fleet, tmp_path):
    other = VirtualStudy(fleet, tmp_path / "other", "other")
    other.run(0.2)
    assert all(other.start(trial) for trial in range(2))
    assert study.start(0, nodes=2) is None
    study.run(0.5)
    assert sum(free_cores(fleet).values()) == 1
    other.run_until(lambda: len(other.ended) == 2)
    study.run(2.0)
    assert study.start(0, nodes=2) is not None


def test_machines_of_a_trial_have_one_rate_and_what_there_is_not_enough_of_is_said(fleet, tmp_path):
    for sku in ("small", "large", "small"):
        fleet.add(cores=4, sku=sku)
    said = []
    study = VirtualStudy(fleet, tmp_path, notify=said.append)
    study.engine._rate = lambda node, needs: SKUS[node.labels["sku"]]
    study.run(0.2)
    for trial in range(4):
        attempt = study.start(trial, nodes=2)
        assert {node_of(attempt), *others_of(attempt)} == {"node-0", "node-2"}
    assert study.start(4, nodes=2) is None
    study.run(0.2)
    assert not said, "these have it, once they are free"
    assert study.engine.reserve(Needs(2, nodes=3)) is None
    study.run(0.2)
    assert said == [
        "waiting for 3 machines of one SKU, market and region, each with 2 cores; there are: node-0 with 4 cores,"
        " node-1 with 4 cores, node-2 with 4 cores"
    ]


@pytest.mark.parametrize("how", ["dies", "is cut off"])
def test_where_a_further_machine_is_lost_the_trial_ends_at_once_and_is_resumed_elsewhere(study, fleet, how):
    attempt = study.start(0, nodes=2)
    study.run(12.0)
    (other,) = others_of(attempt)
    fleet.kill(other) if how == "dies" else fleet.silence(other)
    lost_at = fleet.now()
    study.run_until(lambda: study.ended)
    known_after = 0.0 if how == "dies" else LEASE_SECONDS + PATIENCE_SECONDS + 1.0
    assert fleet.now() - lost_at <= known_after + 4.0
    assert (attempt.record.state, attempt.record.reason) == (TrialState.KILLED, "node_lost")
    epoch = attempt.record.saved_epoch
    assert (study.folder / "0" / "state.pt").read_bytes() == state(epoch)
    resumed = study.start(0, nodes=2)
    assert other not in (node_of(resumed), *others_of(resumed))
    fleet.heal(other)
    study.run_until(lambda: len(study.ended) == 2)
    assert [each.epoch for each in resumed.record.checkpoints] == list(range(epoch + 1, 11))
    study.run(5.0)
    assert all(cores == 1 for cores in free_cores(fleet).values())
    assert not any(host.assistants for host in fleet.hosts.values())


def test_where_the_first_machine_is_lost_the_parts_on_the_others_end(study, fleet):
    attempt = study.start(0, nodes=3)
    study.run(12.0)
    fleet.kill(node_of(attempt))
    study.run_until(lambda: study.ended)
    study.run(1.0)
    assert attempt.record.reason == "node_lost"
    assert not any(host.assistants for host in fleet.hosts.values())
    assert all(cores == 1 for cores in free_cores(fleet).values())


def test_a_part_that_ends_unheard_ends_its_trial(study, fleet):
    attempt = study.start(0, nodes=2)
    study.run(12.0)
    fleet.hosts[others_of(attempt)[0]].end_assistant(attempt.key)
    study.run_until(lambda: study.ended, 15.0)
    assert (attempt.record.state, attempt.record.reason) == (TrialState.KILLED, "process_died")
    assert (study.folder / "0" / "state.pt").exists()


def test_a_machine_that_cannot_take_its_part_costs_that_attempt_alone(study, fleet):
    reservation = study.engine.reserve(Needs(1, nodes=2), study.folder / "0")
    other = reservation.others[0]
    fleet.hosts[other.node.node_id].give_back(other.token)
    attempt = study.engine.start(request_for(reservation, study.folder / "0"), reservation)
    study.run_until(lambda: study.ended, 10.0)
    assert (attempt.record.state, attempt.record.reason) == (TrialState.KILLED, "node_refused")
    assert any("given to another" in note for note in attempt.record.notes)
    study.run(1.0)
    assert all(cores == 1 for cores in free_cores(fleet).values())


def test_an_attempt_whose_further_machine_is_gone_before_it_starts_starts_nowhere(study, fleet):
    reservation = study.engine.reserve(Needs(1, nodes=2), study.folder / "0")
    fleet.kill(reservation.others[0].node.node_id)
    study.run(2.0)
    attempt = study.engine.start(request_for(reservation, study.folder / "0"), reservation)
    study.run_until(lambda: study.ended, 10.0)
    assert (attempt.record.state, attempt.record.reason) == (TrialState.KILLED, "node_lost")
    study.run(1.0)
    assert training_of(fleet, attempt) is None
    assert all(cores == 1 for cores in free_cores(fleet).values())


def test_a_notice_that_a_further_machine_goes_has_the_trial_paused(study, fleet):
    attempt = study.start(0, nodes=2)
    study.run(12.0)
    fleet.drain(others_of(attempt)[0], 30.0)
    study.run_until(lambda: study.ended, 20.0)
    assert (attempt.record.state, attempt.record.reason) == (TrialState.PAUSED, "node_drains")
    assert (study.folder / "0" / "state.pt").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_lost_repeated_late_or_torn_on_the_way_changes_nothing(study, fleet, fault):
    for number in range(3):
        for name in fleet.hosts:
            fleet.fault(name, fault)
        while study.start(number, nodes=3) is None:
            study.run(1.0)
        study.run_until(lambda number=number: len(study.ended) == number + 1)
    assert {attempt.record.state for attempt in study.ended} == {TrialState.COMPLETED}
    study.run(60.0)
    assert not any(host.assistants for host in fleet.hosts.values())
    assert all(cores == 1 for cores in free_cores(fleet).values())


def test_a_new_coordinator_finds_the_parts_again(study, fleet):
    attempt = study.start(0, nodes=2)
    study.run(12.0)
    (adopted,) = study.restart()
    assert others_of(adopted) == others_of(attempt)
    assert study.start(1, nodes=2) is None
    study.run_until(lambda: study.ended)
    assert adopted.record.state is TrialState.COMPLETED
    study.run(1.0)
    assert all(cores == 1 for cores in free_cores(fleet).values())


def test_a_new_coordinator_ends_a_trial_whose_further_machine_is_gone(study, fleet):
    attempt = study.start(0, nodes=2)
    study.run(12.0)
    fleet.kill(others_of(attempt)[0])
    (adopted,) = study.restart()
    study.run_until(lambda: study.ended, 10.0)
    assert (adopted.record.state, adopted.record.reason) == (TrialState.KILLED, "node_lost")
    assert (study.folder / "0" / "state.pt").exists()


def test_the_time_of_every_machine_of_a_trial_is_entered(study, fleet):
    attempt = study.start(0, nodes=3)
    study.run_until(lambda: study.ended)
    study.run(1.0)
    seconds = attempt.record.usage.wall_seconds
    assert [time.trained_seconds for time in study.engine.times] == pytest.approx([seconds] * 3)
