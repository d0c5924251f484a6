import io
import socket
import threading
import zipfile
from collections.abc import Iterator

import pytest

from tests.support.http_server import Server

GPUHUNT_COLUMNS = (
    "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,"
    "cpu_arch,provider_data"
)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture
def gpuhunt_at(server, monkeypatch):
    """A function that serves catalogues, rows by provider, where gpuhunt looks for them."""
    pytest.importorskip("gpuhunt", reason="gpuhunt is an optional extra that is not installed")

    def serve(version="20261201-1", **rows_by_provider):
        for provider, rows in rows_by_provider.items():
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr(f"{provider}.csv", "\n".join([GPUHUNT_COLUMNS, *rows]) + "\n")
            server.answers[f"/v3/{provider}/version"] = version.encode()
            server.answers[f"/v3/{provider}/{version}/catalog.zip"] = packed.getvalue()

    monkeypatch.setenv("GPUHUNT_CATALOG_URL", f"{server.url}/v3")
    return serve
