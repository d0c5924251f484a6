"""What clouds say of their machines, by servers that answer as theirs do."""

from __future__ import annotations

import threading

import pytest

from tests.support.http_server import Server
from tracker.engine.host.cloud import Sold, sold_as

AWS = {
    "/latest/api/token": b"a token",
    "/latest/meta-data/instance-type": b"g5.xlarge",
    "/latest/meta-data/instance-life-cycle": b"spot",
    "/latest/meta-data/placement/region": b"eu-west-1",
}
GCP = {
    "/computeMetadata/v1/instance/machine-type": b"projects/123/machineTypes/n2-standard-2",
    "/computeMetadata/v1/instance/zone": b"projects/123/zones/us-central1-a",
    "/computeMetadata/v1/instance/scheduling/preemptible": b"FALSE",
}
AZURE = {
    "/metadata/instance/compute": {"vmSize": "Standard_D2s_v5", "priority": "Spot", "location": "eastus", "tags": ""}
}


@pytest.fixture
def cloud():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answers", "sold"),
    [
        (AWS, Sold("aws/g5.xlarge", "spot", "eu-west-1")),
        (GCP, Sold("gcp/n2-standard-2", "on_demand", "us-central1")),
        (AZURE, Sold("azure/Standard_D2s_v5", "spot", "eastus")),
        ({}, None),
        ({**AWS, "/latest/meta-data/instance-type": 500}, None),
        ({"/metadata/instance/compute": b"not JSON"}, None),
        ({"/metadata/instance/compute": {"vmSize": "Standard_D2s_v5"}}, None),
    ],
)
def test_each_cloud_says_what_its_machine_is(cloud, answers, sold, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # a link-local address is nothing for a proxy
    cloud.answers = dict(answers)
    assert sold_as(cloud.url) == sold


def test_where_nobody_answers_there_is_no_cloud():
    assert sold_as("http://127.0.0.1:1") is None
