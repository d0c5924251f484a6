"""A whole study on the machines of a fleet: the same trials, each attempt billed as its machine, nothing run twice."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal

import jsonschema
import pytest

from tests.support.near_fleet import NearFleet
from tests.support.pausable import study
from tests.support.studies import digits
from tracker import confirm_study, open_study, resume_study, run_study
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.errors import ClusterError, HardwareError, RequestError
from tracker.export.markdown import report_markdown
from tracker.export.page import report_page
from tracker.export.report_document import report_document, schema
from tracker.records import Hardware
from tracker.report.attempts import attempts_table
from tracker.report.machines import machines_table
from tracker.report.spend_across import spend_across
from tracker.runner.audit.audit import audit_study
from tracker.runner.audit.repair import repair_study
from tracker.runner.decisions import FILE_NAME, Decisions
from tracker.runner.fleet_machines import FleetMachine
from tracker.runner.machines import Machines
from tracker.runner.node_rates import NodeRates
from tracker.runner.progress import Silent
from tracker.runner.session import Places
from tracker.runner.study_lookup import table_of
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


class PausesOnce(Silent):
    """Someone presses Ctrl-C once a trial has reported."""

    asked = False

    def show(self, progress):
        if not self.asked and any(attempt.epoch >= 2 for attempt in progress.running):
            self.asked = True
            signal.raise_signal(signal.SIGINT)


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
            plan, notify = self.plan, self.observer.notify
            points = {"cpu": plan.cpu_point, **plan.price_points}
            rates = NodeRates(plan.price_book, plan.spec.pricing, notify, points)
            return engine_class(fleet, name, rates, self.workers, notify, folder.path)

        monkeypatch.setattr(Machines, "engine", engine)

    return on


def cluster_of(fleet):
    """What connects to a fleet, wherever it is said to be."""
    return lambda *_, **__: contextlib.nullcontext(fleet)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster of two machines that say they have two cores, and give one, for studies whose engine is "ray"."""
    labels = {"tracker/sku": "aws/m7i.large"}
    fleet = NearFleet(tmp_path / "cluster", [CORES[:1], CORES[1:2]], labels, address="127.0.0.1")
    hardware = Hardware("Linux", "cpu", "x86_64", 2, 2**33, precisions={"cpu": ("fp32",)})
    machines = [FleetMachine(node, hardware, 0.0) for node in fleet.nodes()]
    monkeypatch.setattr("tracker.runner.machines.connected", cluster_of(fleet))
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
    _says_what_the_machine_cost(home)
    _finds_and_mends_wrong_lines(home)


def _says_what_the_machine_cost(home):
    table = table_of(Home(home), "digits")
    (machine,) = machines_table(table).to_dict("records")
    assert (machine["address"], machine["sku"], machine["running"]) == ("node-0", "aws/m7i.2xlarge", 0)
    assert machine["usd"] == pytest.approx(machine["hours"] * machine["usd_per_hour"])
    there = attempts_table(table).query("role != 'preparation'")
    cores = table.runs["cores"].to_numpy()[there["run"]]
    trained = (there["wall_seconds"] * cores).sum() / len(CORES) / 3600 * machine["usd_per_hour"]
    assert machine["trained_usd"] == pytest.approx(trained)
    assert machine["idle_usd"] > 0
    assert set(there["node"]) == {"node-0"}
    by_node = spend_across(Home(home), ("node",)).table.set_index("node")
    assert by_node.loc["node-0", "runs"] == len(there)
    assert by_node.loc["", "runs"] == 1, "the data, prepared here"
    assert 'id="machines"' in report_page(table)
    assert "1 × aws/m7i.2xlarge" in report_markdown(table)
    jsonschema.validate(report_document(table), schema())


def _finds_and_mends_wrong_lines(home):
    path = home / "studies" / "digits" / "nodes.json"
    content = json.loads(path.read_text())
    content["nodes"][0]["trained_seconds"] += 1.0
    path.write_text(json.dumps(content))
    (finding,) = audit_study("digits", Home(home)).findings
    assert finding.kind == "node"
    assert "of attempts" in finding.words
    assert repair_study("digits", Places(Home(home))).findings == ()


def test_a_trial_that_moves_is_billed_as_each_of_its_machines(on_fleet, fleet, new_home):
    home = new_home()
    on_fleet(ClusterEngine)
    paused = study(epochs=20, epoch_seconds=0.05)
    run_study(paused, home=home, observer=PausesOnce())
    fleet.label("node-0", {"tracker/sku": "aws/m7i.4xlarge"})
    resume_study("pausable", home=home)
    table = table_of(Home(home), "pausable")
    trials = attempts_table(table).query("role == 'trial'")
    assert trials["sku"].tolist() == ["aws/m7i.2xlarge", "aws/m7i.4xlarge"]
    charges = spend_across(Home(home), ("sku", "node")).table.set_index("sku")
    for sku, usd in zip(trials["sku"], trials["price_usd"], strict=True):
        assert charges.loc[sku, "billed_usd"] == pytest.approx(usd)
    moves = [each for each in Decisions(home / "studies" / "pausable" / FILE_NAME).of(0) if each["action"] == "move"]
    assert len(moves) == 1
    assert moves[0]["why"].startswith("it continues as aws/m7i.4xlarge (on_demand); an epoch is forecast to cost ")
    assert table.runs.query("role == 'trial'")["price_usd"].sum() == pytest.approx(trials["price_usd"].sum())
    assert audit_study("pausable", Home(home)).findings == ()


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


def test_what_still_runs_on_a_cluster_is_left_to_a_resume(cluster, new_home, monkeypatch):
    home = new_home()
    content = {**study(epochs=40, epoch_seconds=0.2), "engine": {"name": "ray"}}
    with monkeypatch.context() as patch:
        patch.setattr("tracker.runner.machines.ClusterEngine", Vanishing)
        with pytest.raises(KeyboardInterrupt):
            run_study(content, home=home, observer=Kills())
    monkeypatch.setattr("tracker.runner.still_running.connected", cluster_of(cluster))
    said = "#0 still runs on the cluster: `tracker resume pausable` continues what is paid for there"
    with pytest.raises(RequestError, match=re.escape(said)):
        repair_study("pausable", Places(Home(home)))
    with pytest.raises(RequestError, match=re.escape(said)):
        confirm_study("pausable", home=home)
    resume_study("pausable", home=home)
    trial = open_study("pausable", home=home).runs().query("role == 'trial'").iloc[0]
    assert (trial["state"], trial["attempts"]) == ("completed", 1)


def test_where_the_cluster_is_away_a_repair_closes_what_ran_there(cluster, new_home, monkeypatch):
    home, said = new_home(), []
    content = {**study(epochs=40, epoch_seconds=0.2), "engine": {"name": "ray"}}
    with monkeypatch.context() as patch:
        patch.setattr("tracker.runner.machines.ClusterEngine", Vanishing)
        with pytest.raises(KeyboardInterrupt):
            run_study(content, home=home, observer=Kills())

    def away(*_, **__):
        raise ClusterError("no Ray cluster at 'auto': it is away")

    monkeypatch.setattr("tracker.runner.still_running.connected", away)
    observer = Silent()
    observer.notify = said.append
    assert repair_study("pausable", Places(Home(home)), observer).findings == ()
    assert "no Ray cluster at 'auto': it is away; what ran there is closed as killed" in said
    trial = open_study("pausable", home=home).runs().query("role == 'trial'").iloc[0]
    assert trial["state"] == "killed"


class FreesOnce(Silent):
    """Frees what others had reserved once a trial has ended."""

    def __init__(self, free):
        self.free = free
        self.ended_before = []

    def ended(self, attempt):
        if attempt.label.startswith("#") and self.free:
            self.ended_before.append(attempt.label)
            self.free()
            self.free = None


def test_trials_get_the_market_that_they_ask_for_and_no_other_waits_with_them(tmp_path, new_home, monkeypatch):
    home, fleet = new_home(), NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2]])
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    markets = {"node-0": "spot", "node-1": "on_demand"}
    for name, market in markets.items():
        fleet.label(name, {"tracker/sku": "gcp_n2-standard-2", "tracker/market": market})
    monkeypatch.setattr(fleet.hosts["node-0"], "take", lambda *_: None)  # another study has its core
    said = FreesOnce(lambda: monkeypatch.delattr(fleet.hosts["node-0"], "take"))
    asked = digits(
        engine={"name": "ray"},
        strategy="grid",
        budget={"trials": 4},
        space={"learning_rate": [0.01, 0.02], "market": ["spot", "on_demand"]},
    )
    run_study(asked, home=home, observer=said)
    fleet.close()
    assert said.ended_before == ["#1"], "the first waited for a spot machine, the second did not"
    table = table_of(Home(home), "digits")
    trials = attempts_table(table).query("role == 'trial'").sort_values("trial")
    asked_for = table.settings["market"].to_numpy()[trials["run"]]
    assert trials["market"].tolist() == list(asked_for) == ["spot", "on_demand"] * 2
    assert [markets[node] for node in trials["node"]] == list(asked_for)
    assert set(machines_table(table)["market"]) == {"spot", "on_demand"}
    assert audit_study("digits", Home(home)).findings == ()


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
    spend = spend_across(Home(home), ("node", "role"))
    trials = spend.table.query("role == 'trial'").set_index("node")
    alone = next(path for path in home.glob("studies/pausable/trials/0/1.jsonl"))
    first = json.loads(alone.read_text().splitlines()[0])["node"]
    other = ({"node-0", "node-1"} - {first}).pop()
    assert trials.loc[first, "billed_usd"] == pytest.approx(one["price_usd"] + two["price_usd"] / 2)
    assert trials.loc[other, "billed_usd"] == pytest.approx(two["price_usd"] / 2)
    assert (trials.loc[first, "attempts"], trials.loc[other, "attempts"]) == (2, 1)
    whole = spend_across(Home(home), ("study",))
    assert spend.total_usd["billed"] == pytest.approx(whole.total_usd["billed"])


def test_several_machines_of_one_are_refused(new_home):
    with pytest.raises(
        HardwareError, match='nodes = 2 is impossible here: this study runs on one machine; engine "ray"'
    ):
        run_study(study(**ON_TWO), home=new_home())
