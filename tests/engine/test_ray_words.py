"""Ray's words for machines and needs, an address that is none, and a machine without Ray."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tracker.engine.node import Needs, Node
from tracker.engine.ray.guards import in_a_line, reach, silent_standard_error
from tracker.engine.ray.words import node_of, request_for, versions_in
from tracker.errors import ClusterError, RequestError


def test_a_node_is_what_ray_says_of_it():
    resources = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0, "memory": 2.0**34, "node:10.0.0.7": 1.0}
    node = node_of("ab", "10.0.0.7", resources, {"tracker/sku": "box"}, None)
    assert node == Node("ab", "10.0.0.7", 8, 2, "A100", 2**34, {"tracker/sku": "box"}, None)


@pytest.mark.parametrize(
    ("resources", "labels", "model"),
    [
        ({"accelerator_type:A100": 1, "accelerator_type:A100-80G": 1}, {}, "A100-80GB"),
        ({"accelerator_type:RTX-PRO-6000": 1}, {}, "RTXPRO6000"),
        ({"accelerator_type:H100": 1}, {"ray.io/accelerator-type": "H100"}, "H100"),
        ({}, {"ray.io/accelerator-type": "L4"}, "L4"),
        ({}, {}, ""),
    ],
)
def test_accelerators_have_the_names_of_the_price_book(resources, labels, model):
    assert node_of("a", "b", resources, labels, None).accelerator_model == model


def test_a_notice_leaves_seconds_none_or_no_known_time():
    def left(deadline_ms):
        return node_of("a", "b", {}, {}, deadline_ms).draining_seconds

    assert left(None) is None
    assert left(0) == math.inf
    assert left(int(time.time() * 1000) - 5000) == 0
    assert 3000 < left(int(time.time() * 1000) + 3600_000) <= 3600


def test_a_request_holds_what_is_there_whole_and_what_is_needed_beside_it():
    there = [Node("aa", "", 8, 1, "A100", 0), Node("head", "", 0, 0, "", 0)]
    needs = [Needs(4, 1, "A100-80GB", 2**30, "on_demand"), Needs(1)]
    bundles, selectors = request_for(there, needs)
    assert bundles == [
        {"CPU": 8, "GPU": 1},
        {"CPU": 4, "GPU": 1, "memory": 1193046472, "accelerator_type:A100": 0.001},
        {"CPU": 1},
    ]
    assert selectors == [{"ray.io/node-id": "aa"}, {"ray.io/market-type": "on-demand"}, {}]
    assert request_for([], [Needs(2, nodes=3)])[0] == [{"CPU": 2}] * 3
    assert request_for(there, []) == ([], [])


@pytest.mark.parametrize("place", ["", "host", "host:", ":6379", "host:port"])
def test_an_address_that_is_none_is_refused(place):
    with pytest.raises(RequestError, match="is no address of a Ray cluster"):
        reach(place, None, place)


def test_a_place_where_nothing_answers_is_no_cluster():
    with pytest.raises(ClusterError, match=r"no Ray cluster at 'ray://127.0.0.1': "):
        reach("127.0.0.1", 1, "ray://127.0.0.1")
    with pytest.raises(ClusterError, match="no Ray cluster at"):
        reach("127.0.0.1:99999", None, "127.0.0.1:99999")


def test_an_error_is_said_in_one_line():
    assert in_a_line(ValueError("a\n  b")) == "a b"
    assert in_a_line(ValueError()) == "ValueError"
    assert len(in_a_line(ValueError("x" * 999))) < 250


def test_nothing_is_written_to_standard_error_meanwhile(capfd):
    with silent_standard_error():
        subprocess.run([sys.executable, "-c", "import sys; print('noise', file=sys.stderr)"], check=True)
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "after\n"


OTHER = "the cluster at '{}' runs Ray 2.40.0 on Python {}, and here are Ray {} and Python {}: both must be the same"


def test_other_versions_at_a_clients_address_are_said_in_a_line(monkeypatch):
    """The comparison, and its words, are Ray's own."""
    pytest.importorskip("ray")
    from ray._private.utils import check_version_info, compute_version_info

    from tracker.engine.ray import connection

    def init(address, **_):
        check_version_info({"ray_version": "2.40.0", "python_version": "3.9.1"}, "Ray Client", True, "minor")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "604800")  # connecting sets it where it is missing
    monkeypatch.setattr(connection, "_client_accepts", lambda _: True)
    monkeypatch.setattr(connection, "reach", lambda place, *_: place)
    ray_here, python_here, *_ = compute_version_info()
    with pytest.raises(ClusterError) as refused:
        connection.connect("ray://head:10001", "tests", allow_open=True)
    said = OTHER.format("ray://head:10001", "3.9.1", ray_here, python_here)
    assert str(refused.value).startswith(said)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("ours", [False, True])
def test_other_versions_of_a_head_are_said_in_a_line(ours, monkeypatch):
    pytest.importorskip("ray")
    from ray._private.utils import compute_version_info

    from tracker.engine.ray import connection

    ray_here, python_here, *_ = compute_version_info()
    there = {"ray_version": ray_here if ours else "2.40.0", "python_version": python_here}
    monkeypatch.setattr(connection, "GcsClient", lambda address: None)
    monkeypatch.setattr(connection.usage_lib, "get_cluster_metadata", lambda _: there)
    if ours:
        assert connection._head_accepts("head:6379")
        return
    with pytest.raises(ClusterError) as refused:
        connection._head_accepts("head:6379")
    assert str(refused.value).startswith(OTHER.format("head:6379", python_here, ray_here, python_here))


def test_another_error_names_no_versions():
    assert versions_in(RuntimeError("Ray: 2 Python: 3")) is None
    assert versions_in(RuntimeError("Version mismatch: who knows")) is None


def test_without_ray_the_extra_is_named():
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from tracker.errors import RequestError\n"
        "try:\n    import tracker.engine.ray.fleet\nexcept RequestError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "pip install 'cost-quality-tracker[ray]'" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
