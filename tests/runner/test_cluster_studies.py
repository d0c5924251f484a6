"""A whole study on the machines of a fleet: the same trials, each attempt billed as its machine, nothing run twice."""

from __future__ import annotations

import contextlib
import json
import os

import pytest

from tests.support.near_fleet import NearFleet
from tests.support.pausable import study
from tests.support.studies import digits
from tracker import open_study, resume_study, run_study
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.errors import HardwareError
from tracker.records import Hardware
from tracker.runner.audit.audit import audit_study
from tracker.runner.fleet_machines import FleetMachine
from tracker.runner.machines import Machines
from tracker.runner.progress import Silent
from tracker.runner.study_notes import StudyNotes
from tracker.store.home import Home

CORES = sorted(os.sched_getaffinity(0))


class Vanishing(ClusterEngine):
    """Its coordinator is killed where its context ends."""

    def __exit__(self, *_):
        self.abandon()


class Kills(Silent):
    """Kills the coordinator once a trial has reported."""

    def show(self, progress):
        if any(attempt.epoch >= 2 for attempt in progress.running):
            raise KeyboardInterrupt


@pytest.fixture
def fleet(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES], {"tracker/sku": "aws/m7i.2xlarge"})
    yield fleet
    fleet.close()


@pytest.fixture
def on_fleet(fleet, monkeypatch):
    """Studies run there from now on, on an engine of this class."""

    def on(engine_class):
        def engine(self, folder):
            name = StudyNotes(folder.path).cluster_name()
            return engine_class(fleet, name, self.rates, self.workers, self.observer.notify)

        monkeypatch.setattr(Machines, "engine", engine)

    return on


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster of two machines that say they have two cores, and give one, for studies whose engine is "ray"."""
    fleet = NearFleet(tmp_path / "cluster", [CORES[:1], CORES[1:2]], {"tracker/sku": "aws/m7i.large"})
    hardware = Hardware("Linux", "cpu", "x86_64", 2, 2**33, precisions={"cpu": ("fp32",)})
    machines = [FleetMachine(node, hardware, 0.0) for node in fleet.nodes()]
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    monkeypatch.setattr("tracker.runner.machines.greet", lambda _: machines)
    yield fleet
    fleet.close()


def found(runs):
    trials = runs.query("role == 'trial'").sort_values("trial")
    return list(zip(trials["trial"], trials["state"], trials["quality"].round(9), strict=True))


def test_a_study_finds_on_a_fleet_what_it_finds_here(on_fleet, new_home):
    home = new_home()
    here = run_study(digits(), home=new_home(), workers=1)
    on_fleet(ClusterEngine)
    there = run_study(digits(), home=home, workers=1)
    assert found(there.runs()) == found(here.runs())
    assert set(there.runs().query("role == 'trial'")["sku"]) == {"aws/m7i.2xlarge"}
    assert audit_study("digits", Home(home)).findings == ()
    asked = [json.loads(log.read_text().splitlines()[0]) for log in home.glob("studies/digits/trials/*/1.jsonl")]
    assert {event["node"] for event in asked if event["role"] == "trial"} == {"node-0"}
    best = there.runs().query("role == 'trial'").sort_values("quality").iloc[-1]
    width = next(event["settings"]["width"] for event in asked if event["label"] == f"#{best['trial']}")
    kept = [path.read_text() for path in home.rglob("model.txt")]
    assert f"width {width}" in kept, "what the best one keeps is brought from where it ran"


def test_a_study_whose_coordinator_is_killed_continues_its_attempts(on_fleet, new_home):
    home = new_home()
    on_fleet(Vanishing)
    with pytest.raises(KeyboardInterrupt):
        run_study(study(epochs=20, epoch_seconds=0.1), home=home, observer=Kills())
    on_fleet(ClusterEngine)
    resume_study("pausable", home=home)
    trial = open_study("pausable", home=home).runs().query("role == 'trial'").iloc[0]
    assert (trial["state"], trial["attempts"]) == ("completed", 1)
    log = next(home.glob("studies/pausable/trials/0/1.jsonl"))
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["epoch"] for event in events if event["event"] == "checkpoint"] == list(range(1, 21))
    assert audit_study("pausable", Home(home)).findings == ()


ON_TWO = {"processes": 2, "nodes": 2, "threads": 2}


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_a_study_whose_trials_have_several_machines_bills_each_as_their_sum(cluster, new_home):
    home = new_home()
    tried = {**study(**ON_TWO), "engine": {"name": "ray"}}
    del tried["settings"]["nodes"]
    tried |= {"space": {"nodes": [1, 2]}, "strategy": "grid", "budget": {"trials": 2}}
    tried["settings"] |= {"threads": 1, "seed": 0}
    runs = run_study(tried, home=home).runs().query("role == 'trial'").sort_values("trial")
    assert list(runs["state"]) == ["completed", "completed"], list(runs["message"])
    one, two = runs.to_dict("records")
    assert one["quality"] == pytest.approx(two["quality"], abs=1e-6)
    assert [one["cores"], two["cores"]] == [1, 2]
    assert one["machine_share"] == pytest.approx(0.5)
    assert two["machine_share"] == pytest.approx(1.0)
    assert audit_study("pausable", Home(home)).findings == ()
    asked = json.loads(next(home.glob("studies/pausable/trials/1/1.jsonl")).read_text().splitlines()[0])
    assert sorted(asked["nodes"]) == ["node-0", "node-1"]


def test_several_machines_of_one_are_refused(new_home):
    with pytest.raises(
        HardwareError, match='nodes = 2 is impossible here: this study runs on one machine; engine "ray"'
    ):
        run_study(study(**ON_TWO), home=new_home())
