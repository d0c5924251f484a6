"""A Ray cluster as a fleet, on a real cluster of three nodes: what is asked, who is there, and who is not any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("ray", reason="Ray is not installed: there is no cluster to test with")

from tests.support.command import ROOT, tracker_process
from tests.support.ray_cluster import free_port, ray_clusters
from tests.support.studies import digits
from tracker import audit_study, open_study
from tracker.engine.cluster.fleet import HostLostError
from tracker.engine.node import Needs
from tracker.engine.ray.fleet import RayFleet
from tracker.errors import ClusterError
from tracker.study.toml_text import to_toml

HOST = "tests.support.ray_host:CountingHost"
LONG = 120.0
SPOT = {"tracker/sku": "g5.xlarge", "ray.io/market-type": "spot", "ray.io/availability-region": "us-east-1"}
OWNED = {"tracker/sku": "gcp_e2-standard-2"}
DRIVER = f"""
import json, os, sys
from tracker.engine.ray.fleet import RayFleet
from tracker.errors import TrackerError

for address in sys.argv[1:]:
    try:
        fleet = RayFleet(address, "{HOST}", allow_open="allow_open" in os.environ)
    except TrackerError as error:
        print(json.dumps([type(error).__name__, str(error)]))
        continue
    answers = {{}}
    for node in fleet.nodes():
        asked = fleet.ask(node.node_id, "process")
        assert fleet.wait([asked], {LONG})
        answers[node.node_id] = fleet.take(asked)
    print(json.dumps(answers))
    fleet.close()
"""


@pytest.fixture(scope="module")
def clusters():
    with ray_clusters() as clusters:
        yield clusters


@pytest.fixture(scope="module")
def cluster(clusters):
    cluster, _ = clusters
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        cluster.boxes = cluster.add(SPOT, OWNED)
        yield cluster


@pytest.fixture(scope="module")
def fleet(cluster):
    fleet = RayFleet(cluster.address, HOST)
    yield fleet
    fleet.close()


def driven(cluster, *addresses, **environment):
    """What another process says that connects to these addresses, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *addresses],
        env={**os.environ, **cluster.environment, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG * 2,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def node_with(fleet, labels):
    """The one node that has these labels; None where there is none."""
    found = [node for node in fleet.nodes() if labels.items() <= node.labels.items()]
    return found[0] if found else None


def answered(fleet, node, method, *arguments):
    asked = fleet.ask(node.node_id, method, *arguments)
    assert fleet.wait([asked], LONG) == {asked}
    return fleet.take(asked)


def test_nodes_are_those_that_are_alive_with_their_labels(cluster, fleet):
    spot, owned = node_with(fleet, SPOT), node_with(fleet, OWNED)
    assert len(fleet.nodes()) == 3
    assert (spot.cores, spot.accelerators, spot.accelerator_model) == (1, 0, "")
    assert spot.memory_bytes > 0 and spot.address and spot.draining_seconds is None
    assert spot.node_id != owned.node_id
    assert sorted(node.cores for node in fleet.nodes()) == [0, 1, 1]


def test_a_study_trains_on_the_nodes_that_have_a_rate(cluster, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(to_toml(digits(budget={"trials": 2})), encoding="utf-8")
    home, on = tmp_path / "home", ("--address", cluster.address)
    ran = tracker_process("run", study, "--yes", "--engine", "ray", *on, home=home)
    assert ran.returncode == 0, ran.stderr
    assert "is left out, nobody knows what it costs: unknown SKU 'g5.xlarge'" in ran.stderr
    trials = open_study("digits", home=home).runs().query("role == 'trial'")
    assert list(trials["state"]) == ["completed", "completed"]
    assert set(trials["sku"]) == {"gcp/e2-standard-2"}
    assert audit_study("digits", home=home).findings == ()
    listed = tracker_process("nodes", *on, "--json", home=home)
    rows = {row["sku"]: row for row in json.loads(listed.stdout)["nodes"]}
    assert rows.keys() == {"gcp/e2-standard-2", None}
    assert (rows["gcp/e2-standard-2"]["cores"], rows["gcp/e2-standard-2"]["running"]) == (1, {})


def test_a_host_is_made_once_and_answers(fleet):
    owned = node_with(fleet, OWNED)
    first = answered(fleet, owned, "count")
    assert answered(fleet, owned, "count") == first + 1
    assert answered(fleet, node_with(fleet, SPOT), "process") != answered(fleet, owned, "process")
    assert answered(fleet, owned, "zeros", 3_000_000) == bytes(3_000_000)


def test_what_a_host_raises_is_raised(fleet):
    with pytest.raises(ValueError, match="not today"):
        answered(fleet, node_with(fleet, OWNED), "fail")


def test_what_ray_sets_for_its_own_workers_does_not_reach_trainings(fleet):
    assert answered(fleet, node_with(fleet, OWNED), "environment", "OMP_NUM_THREADS") == os.environ.get(
        "OMP_NUM_THREADS"
    )


def test_a_question_that_waits_keeps_no_other_waiting(fleet):
    owned = node_with(fleet, OWNED)
    waiting = [fleet.ask(owned.node_id, "wait_until_open", LONG) for _ in range(20)]
    opened = fleet.ask(owned.node_id, "open")
    assert fleet.wait([opened], LONG) == {opened}
    while fleet.wait(waiting, LONG) != set(waiting):
        pass
    assert all(fleet.take(each) for each in waiting)


def test_waiting_ends_without_an_answer_too(fleet):
    asked = fleet.ask(node_with(fleet, SPOT).node_id, "wait_until_open", 1.0)
    assert fleet.wait([], 0.01) == set()
    assert fleet.wait([asked], 0.01) == set()
    assert fleet.wait([asked], LONG) == {asked}
    assert fleet.take(asked) is False


def test_another_process_finds_the_same_hosts(cluster, fleet):
    here = {node.node_id: answered(fleet, node, "process") for node in fleet.nodes()}
    assert driven(cluster, cluster.address) == [here]


def test_a_host_is_found_from_outside_of_the_cluster(cluster, fleet):
    pytest.importorskip("grpc", reason="grpcio is not installed: Ray's client needs it")
    here = {node.node_id: answered(fleet, node, "process") for node in fleet.nodes()}
    assert driven(cluster, cluster.client_address) == [here]


def test_a_host_that_died_is_lost_and_another_is_made(fleet):
    owned = node_with(fleet, OWNED)
    before = answered(fleet, owned, "process")
    pending, dying = fleet.ask(owned.node_id, "hold", LONG), fleet.ask(owned.node_id, "die")
    for asked in (dying, pending):
        while not fleet.wait([asked], LONG):
            pass
        with pytest.raises(HostLostError, match=owned.node_id):
            fleet.take(asked)
    assert answered(fleet, owned, "process") != before
    assert answered(fleet, owned, "count") == 1


def test_more_can_be_wanted_than_there_is_without_harm(fleet):
    fleet.want([Needs(cores=4, accelerators=1, accelerator_model="A100-80GB", market="spot", memory_bytes=2**30)] * 3)
    assert answered(fleet, node_with(fleet, OWNED), "count")
    fleet.want([])


def test_what_cannot_be_made_on_a_node_is_said(cluster, fleet):
    elsewhere = RayFleet.__new__(RayFleet)
    elsewhere.__dict__.update({**fleet.__dict__, "_make_host": "not_there:Host", "_actors": {}})
    with pytest.raises(ClusterError, match=r"cannot be made: .*not_there"):
        answered(elsewhere, node_with(fleet, OWNED), "count")


def test_an_address_without_a_cluster_and_one_that_is_none_are_refused(cluster, fleet):
    nowhere = f"127.0.0.1:{free_port()}"
    refused = driven(cluster, nowhere, f"ray://{nowhere}", "somewhere", "http://127.0.0.1:8265")
    assert [kind for kind, _ in refused] == ["ClusterError", "ClusterError", "RequestError", "RequestError"]
    assert f"no Ray cluster at '{nowhere}'" in refused[0][1]


@pytest.mark.parametrize("token", ["0" * 32, ""])
def test_another_token_and_none_are_refused(cluster, fleet, tmp_path, token):
    (tmp_path / "token").write_text(token)
    other = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    for kind, message in driven(cluster, cluster.address, cluster.client_address, **other):
        assert kind == "ClusterError" and "token" in message and "\n" not in message


def test_an_open_cluster_is_refused_and_used_where_it_is_allowed(clusters):
    _, open_cluster = clusters
    for kind, message in driven(open_cluster, open_cluster.address, open_cluster.client_address):
        assert kind == "RequestError" and "open" in message
    assert driven(open_cluster, open_cluster.address, allow_open="true")[0]


def test_a_notice_comes_with_its_deadline(cluster, fleet):
    cluster.drain(node_with(fleet, SPOT).node_id, seconds=600)
    left = node_with(fleet, SPOT).draining_seconds
    assert 0 < left <= 600
    assert node_with(fleet, OWNED).draining_seconds is None


def test_a_node_that_hangs_is_waited_for_and_keeps_no_other_waiting(cluster, fleet):
    spot, owned = node_with(fleet, SPOT), node_with(fleet, OWNED)
    assert answered(fleet, spot, "count")
    cluster.boxes[0].hang()
    asked = fleet.ask(spot.node_id, "count")
    assert answered(fleet, owned, "count")
    assert fleet.wait([asked], 0.5) == set()
    cluster.boxes[0].resume()
    assert fleet.wait([asked], LONG) == {asked}
    assert fleet.take(asked)


def test_a_node_that_was_killed_is_lost_and_not_among_the_nodes(cluster, fleet):
    owned = node_with(fleet, OWNED)
    pending = fleet.ask(owned.node_id, "hold", LONG)
    assert answered(fleet, owned, "count")
    cluster.boxes[1].kill()
    while not fleet.wait([pending], LONG):
        pass
    with pytest.raises(HostLostError, match=owned.node_id):
        fleet.take(pending)
    assert node_with(fleet, OWNED) is None
    later = fleet.ask(owned.node_id, "count")
    assert fleet.wait([later], LONG) == {later}
    with pytest.raises(HostLostError):
        fleet.take(later)
