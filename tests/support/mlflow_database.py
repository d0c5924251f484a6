"""MLflow's database, still empty: MLflow takes seconds to make one, a copy takes none."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import tempfile
from pathlib import Path

from tracker.store.mlflow_store import MlflowStore


@functools.cache
def _made() -> Path:
    path = Path(tempfile.mkdtemp()) / "mlflow.db"
    MlflowStore(f"sqlite:///{path}")
    return path


def put_mlflow_database(folder: Path) -> Path:
    """Put one into ``folder``, which is made, as a study that was run there before would have; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mlflow.db"
    with contextlib.closing(sqlite3.connect(_made())) as made, contextlib.closing(sqlite3.connect(path)) as copy:
        made.backup(copy)
    return path
