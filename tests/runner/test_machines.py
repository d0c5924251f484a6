"""The machines of a study: what a study file says of them, what a cluster offers, and what is refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest

from tests.support.command import tracker
from tests.support.studies import digits
from tracker.engine.cluster.fleet import HostLostError
from tracker.engine.host.cloud import Sold
from tracker.engine.host.node_host import Hello
from tracker.engine.node import Node
from tracker.errors import ClusterError, StudyFileError
from tracker.pricing.price_book import load_price_book
from tracker.records import Hardware
from tracker.runner.fleet_machines import greet
from tracker.runner.fleet_table import fleet_table
from tracker.runner.machines import combined, machines_of
from tracker.runner.progress import Silent
from tracker.runner.study_notes import StudyNotes, study_of
from tracker.store.home import Home
from tracker.study.document import StudyDocument

SMALL = Hardware("Linux", "Xeon", "x86_64", 4, 8 * 2**30, precisions={"cpu": ("fp32", "bf16")})
LARGE = replace(
    SMALL,
    cores=16,
    memory_bytes=64 * 2**30,
    accelerator="H100",
    accelerator_count=2,
    accelerator_memory_bytes=80 * 2**30,
    precisions={"cpu": ("fp32",), "cuda": ("fp32", "bf16", "fp16")},
)


class Answers:
    """A fleet whose hosts have answered, each with a value or an exception."""

    def __init__(self, answers, labels=None):
        self.answers = answers
        self.labels = labels or {}

    def now(self):
        return 0.0

    def nodes(self):
        return [
            Node(name, f"10.0.0.{number}", 4, 0, "", 2**33, self.labels.get(name, {}))
            for number, name in enumerate(self.answers)
        ]

    def ask(self, node_id, method, *arguments):
        return node_id, method

    def wait(self, answers, timeout_seconds):
        return set(answers)

    def take(self, answer):
        node_id, method = answer
        if method == "running":
            return ()
        if isinstance(self.answers[node_id], Exception):
            raise self.answers[node_id]
        return Hello(self.answers[node_id], 0.0)


class Said(Silent):
    def __init__(self):
        self.words = []

    def notify(self, message):
        self.words.append(message)


@contextlib.contextmanager
def opened(table, home, said=None):
    with machines_of(StudyDocument("study", digits(engine=table)), Home(home), None, said or Said()) as machines:
        yield machines


def test_a_fleet_can_do_what_its_machines_can_and_only_in_the_precisions_that_all_have():
    able = combined([SMALL, LARGE])
    assert (able.cores, able.memory_bytes, able.accelerator, able.accelerator_count) == (16, 64 * 2**30, "H100", 2)
    assert able.precisions == {"cpu": ("fp32",), "cuda": ("fp32", "bf16", "fp16")}
    assert able.label.startswith("2 machines, 16 cores")


def test_a_machine_offers_no_more_than_its_fleet_gives_of_it():
    (machine,) = greet(Answers({"one": LARGE}))
    assert (machine.hardware.cores, machine.hardware.accelerator_count) == (4, 0)
    assert machine.words == "10.0.0.0 with 4 cores (one)"


def test_machines_that_do_not_answer_are_left_out_and_a_fleet_of_none_is_an_error():
    fleet = Answers({"gone": HostLostError("its host is gone"), "there": SMALL})
    assert [machine.node.node_id for machine in greet(fleet)] == ["there"]
    with pytest.raises(ClusterError, match=r"no machine of the cluster can train: 10\.0\.0\.0: its host is gone"):
        greet(Answers({"gone": HostLostError("its host is gone")}))


def test_trials_run_on_the_cluster_and_the_data_are_prepared_here(new_home, monkeypatch):
    fleet = Answers({"one": SMALL, "two": LARGE}, {"one": {"tracker/sku": "aws_m7i.large"}})
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    said = Said()
    with opened({"name": "ray"}, new_home(), said) as machines:
        assert machines.plan.hardware.cpu_model == "2 machines"
        assert machines.here.hardware.cpu_model != "2 machines"
        machines.announce()
    first, second = [line for line in said.words if "is billed as" in line]
    assert first.startswith("10.0.0.0 with 4 cores (one): cpu is billed as aws/m7i.large (on_demand), $")
    assert second.startswith("10.0.0.1 with 4 cores (two): cpu is billed as aws/m7i.xlarge"), "as the study says"
    clocks = [line for line in said.words if line.startswith("the clock of 10.0.0.0 is -")]
    assert len(clocks) == 1


def test_a_market_of_which_nobody_knows_the_price_is_not_offered(new_home, monkeypatch):
    labels = {"one": {"tracker/sku": "aws_m7i.large", "tracker/market": "spot"}, "two": {}}
    fleet = Answers({"one": SMALL, "two": SMALL}, labels)
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    said = Said()
    study = digits(engine={"name": "ray"}, space={"market": ["spot", "on_demand"], "width": [4, 8]})
    with machines_of(StudyDocument("study", study), Home(new_home()), None, said) as machines:
        assert machines.plan.space.by_device["cpu"]["market"].values == ("on_demand",)
        machines.announce()
    assert sum("is left out, nobody knows what it costs" in line for line in said.words) == 1


def test_a_cluster_of_which_nobody_knows_the_price_is_refused(new_home, monkeypatch):
    fleet = Answers({"one": SMALL}, {"one": {"tracker/sku": "nobody_knows"}})
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    with pytest.raises(ClusterError, match="nobody knows what any machine"), opened({"name": "ray"}, new_home()):
        pass


def test_a_market_is_offered_as_machines_are_billed(new_home, monkeypatch):
    fleet = Answers({"one": SMALL})
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    take = fleet.take
    sold = Sold("gcp/unheard-of", "spot", "nowhere")
    monkeypatch.setattr(fleet, "take", lambda answer: replace(take(answer), sold=sold) if answer[1] == "hello" else ())
    study = digits(engine={"name": "ray"}, space={"market": ["spot", "on_demand"], "width": [4, 8]})
    with machines_of(StudyDocument("study", study), Home(new_home()), None, Said()) as machines:
        assert machines.plan.space.by_device["cpu"]["market"].values == ("on_demand",), "trials would wait for ever"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"name": "slurm"}, "engine.name: 'slurm' is not allowed; did you mean"),
        ({"name": "ray", "adress": "auto"}, "engine.adress: unknown key; did you mean 'address'?"),
        ({"name": "ray", "address": 7}, "engine.address: "),
        ({"name": "ray", "allow_open": "yes"}, "engine.allow_open: "),
        ({"address": "auto"}, 'engine.address: only of a cluster; name = "ray" uses one'),
    ],
)
def test_a_wrong_engine_is_a_problem_of_the_study_file(table, problem, new_home):
    with pytest.raises(StudyFileError) as refused, opened(table, new_home()):
        pass
    assert any(each.startswith(problem.partition("'slurm'")[0]) for each in refused.value.problems), refused.value


def test_where_there_is_no_cluster_the_command_says_so_and_leaves_nothing(new_home, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    study = tmp_path / "study.toml"
    study.write_text(
        'name = "away"\nworkload = "tests.support.digits:Digits"\nquality.metric = "accuracy"\nbudget.trials = 1\n'
    )
    home = new_home()
    done = tracker("run", study, "--engine", "ray", "--address", "127.0.0.1:1", "--yes", "--home", home)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert not (home / "studies" / "away").exists()


def test_a_study_has_one_name_on_clusters_that_no_other_study_has(tmp_path):
    one, other = tmp_path / "my-study", tmp_path / "other" / "my-study"
    one.mkdir()
    other.mkdir(parents=True)
    name = StudyNotes(one).cluster_name()
    assert StudyNotes(one).cluster_name() == name != StudyNotes(other).cluster_name()
    assert study_of(name) == "my-study"


def test_the_table_of_a_fleet_says_what_each_machine_costs(tmp_path):
    fleet = Answers({"one": SMALL, "two": SMALL}, {"one": {"tracker/sku": "nobody_knows"}})
    said = []
    one, two = fleet_table(fleet, greet(fleet), load_price_book(), said.append)
    assert (one["sku"], one["usd_per_hour"], one["running"]) == (None, None, {})
    assert two["usd_per_hour"] == two["idle_usd_per_hour"] > 0
    assert "unknown SKU 'nobody_knows'" in said[0]
    assert json.loads(json.dumps([one, two]))
