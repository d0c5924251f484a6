"""MLflow's own REST API over a database, as `mlflow server` has it, in a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from werkzeug.serving import make_server


@contextlib.contextmanager
def served_mlflow(database: str, artifacts: Path) -> Iterator[str]:
    """The server's address while the context is open."""
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
