"""MLflow's tracking server over a database: in a thread of this process, or the command `mlflow server` itself."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import mlflow
import pytest
from mlflow import MlflowClient
from werkzeug.serving import make_server

from tests.support.mlflow_database import put_mlflow_database

ADMIN, ADMIN_PASSWORD = "admin", "p@ss:w/rd#%?"
"""Who may log to a server with basic-auth; the password holds what a URL must escape."""


@contextlib.contextmanager
def served_mlflow(database: str, artifacts: Path) -> Iterator[str]:
    """The address of MLflow's own REST API in a thread of this process, while the context is open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", database)
        patch.setenv("MLFLOW_TRACKING_URI", database)  # the server sets it in its process, which is this one
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(artifacts))
        from mlflow.server import app, handlers

        patch.setattr(handlers, "_tracking_store", None)  # a process has one: another test's may be there
        served = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=served.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{served.server_port}"
        MlflowClient(address).search_runs(["0"])  # the first answer takes long
        yield address
        served.shutdown()
        mlflow.set_tracking_uri(None)


class MlflowServer:
    """The command `mlflow server` on a port of its own, which can be stopped and started again.

    ``auth``: only ADMIN with ADMIN_PASSWORD may use it.
    """

    def __init__(self, database: str, folder: Path, *, auth: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")),
            *(["--app-name", "basic-auth"] if auth else []),
        ]
        rules = folder / "auth.ini"
        rules.write_text(
            f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder / 'auth.db'}\n"
            f"admin_username = {ADMIN}\nauth_cache_ttl_seconds = 60\n"
        )
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))},
            "MLFLOW_AUTH_CONFIG_PATH": str(rules),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self._process: subprocess.Popen | None = None

    def start(self) -> MlflowServer:
        """Start it, and wait until it answers; it is returned."""
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        for _ in range(3000):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.address}/health", timeout=5)
                return self
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"`mlflow server` did not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """End it and its workers at once, as a crash does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def url(self, password: str = ADMIN_PASSWORD) -> str:
        """Its address with a name and a password in it."""
        return self.address.replace("//", f"//{ADMIN}:{quote(password, safe='')}@")


@functools.cache
def server_with_auth() -> MlflowServer:
    """A server with basic-auth that the tests of this process share: leave it running, and choose names of your own."""
    pytest.importorskip(
        "flask_wtf", reason="flask_wtf is not installed: `mlflow server --app-name basic-auth` needs it"
    )
    folder = Path(tempfile.mkdtemp(prefix="mlflow-server-"))
    server = MlflowServer(f"sqlite:///{put_mlflow_database(folder)}", folder, auth=True)
    atexit.register(server.stop)
    return server.start()
