"""An MLflow database of many runs that know nothing of the tracker: made up, for a process of its own.

What makes it imports MLflow, and the commands that a process starts would be charged for what that has imported.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

EXPERIMENT, QUALITY, VALUES = "past", "val_accuracy", 10
BEGAN_MS = 1_790_000_000_000
_RUNS_AT_ONCE = 500


def make_source(path: Path, runs: int) -> None:
    """Put an experiment of so many runs into a new MLflow database. For a child process."""
    database_writer = importlib.import_module("tracker.store.mlflow_database").DatabaseWriter
    entries = importlib.import_module("tracker.store.entries").Entries
    store = importlib.import_module("tracker.store.mlflow_store").MlflowStore(f"sqlite:///{path}")
    client, engine = store._client, store._engine
    experiment = client.create_experiment(EXPERIMENT, artifact_location="file:///nowhere")
    writer, generator = database_writer(client, engine), np.random.default_rng(0)
    steps, made = np.arange(1, VALUES + 1), []
    for at in range(runs):
        started_ms = BEGAN_MS + 60_000 * at
        times = (started_ms + 1000 * np.cumsum(generator.uniform(20, 40, VALUES))).astype(int).tolist()
        accuracy = (0.92 - generator.exponential(0.05)) * (1 - np.exp(-steps * generator.uniform(0.2, 1.0)))
        logged = [(QUALITY, *each) for each in zip(accuracy.tolist(), times, steps.tolist(), strict=True)]
        logged += [(name, 0.5, times[-1], VALUES) for name in ("train_loss", "test_accuracy")]
        run = entries(experiment, f"bright-fox-{at}", started_ms, writer.new_run_id(), is_new=True)
        run.tags, run.params, run.metrics = _tags(at), _params(at), logged
        run.status = (("FINISHED", "FAILED")[at % 10 == 0], times[-1] + 500)
        made.append(run)
    for begin in range(0, runs, _RUNS_AT_ONCE):
        writer.write(made[begin : begin + _RUNS_AT_ONCE])


def _tags(at: int) -> dict[str, str]:
    return {
        "mlflow.user": ("ada", "grace")[at % 2],
        "mlflow.source.name": "train.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": f"{at // 100:040x}",
        "team": "vision",
    }


def _params(at: int) -> list[tuple[str, str]]:
    settings = {
        "size": 2 ** (at % 8),
        "precision": ("fp32", "bf16")[at % 2],
        "learning_rate": 1e-4 * (1 + at % 97),
        "dropout": 0.1 * (at % 4),
        "epochs": VALUES,
        "batch_size": 32 * (1 + at % 4),
        "optimizer": "AdamW",
        "seed": at % 3,
    }
    return [(name, str(value)) for name, value in settings.items()]
