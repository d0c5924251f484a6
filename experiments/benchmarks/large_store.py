"""An MLflow database with one large study in it: made up, written as the coordinator writes runs, in minutes.

Rows go straight into MLflow's own tables: through its client, 10,000 runs would take hours.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.pricing.price_book import load_price_book
from tracker.records import Market
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore

STUDY = "large"
BEGAN = 1_790_000_000_000
SKU, USD_PER_HOUR = "aws/m5.large", 0.096
FINALS = ("train_seconds", "evaluation_seconds", "billed_seconds", "machine_share", "cpu_seconds", "parameters")
PARTS = ("data_usd", "compute_usd", "storage_usd", "maintenance_usd")
_INDICES = {
    "index_metrics_run_uuid": "metrics (run_uuid)",
    "index_metrics_run_uuid_key_step": 'metrics (run_uuid, "key", step)',
}
Floats = NDArray[np.float64]


def make_store(home: Home, runs: int, checkpoints: int) -> None:
    """Put a study of so many runs, each of so many checkpoints of ten metrics, into a new home."""
    home.make()
    store = MlflowStore(home.tracking_uri)
    tags = {
        "tracker.study": STUDY,
        "tracker.quality": "accuracy",
        "tracker.direction": "maximize",
        "tracker.budget_usd": "",
        "tracker.price_book": load_price_book().version,
        "tracker.state": "completed",
    }
    store.create_study(STUDY, tags, BEGAN / 1000, home.artifacts(STUDY))
    with contextlib.closing(sqlite3.connect(home.mlflow_database)) as database:
        database.execute("PRAGMA synchronous = OFF")
        experiment, parent = database.execute("select experiment_id, run_uuid from runs").fetchone()
        _fill(database, experiment, parent, runs, checkpoints)
        database.commit()


def _fill(database: sqlite3.Connection, experiment: int, parent: str, runs: int, checkpoints: int) -> None:
    generator = np.random.default_rng(0)
    ids = [f"{number:032x}" for number in generator.permutation(runs).tolist()]
    started = BEGAN + 60_000 * np.arange(1, runs + 1)
    metrics = _metrics(generator, runs, checkpoints)
    wall_ms = (metrics["wall_seconds"] * 1000).astype(np.int64)
    ended = started + wall_ms[:, -1] + 1000
    database.executemany(
        "insert into runs (run_uuid, name, source_type, source_name, user_id, status, start_time, end_time,"
        " lifecycle_stage, artifact_uri, experiment_id)"
        " values (?, ?, 'LOCAL', '', 'benchmark', 'FINISHED', ?, ?, 'active', '', ?)",
        ((run, f"#{at}", int(started[at]), int(ended[at]), experiment) for at, run in enumerate(ids)),
    )
    for table, texts in (("tags", _tags), ("params", _params)):
        database.executemany(
            f"insert into {table} (run_uuid, key, value) values (?, ?, ?)",
            ((run, key, value) for at, run in enumerate(ids) for key, value in texts(at, parent)),
        )
    for name in _INDICES:
        database.execute(f"drop index if exists {name}")
    insert = "insert into metrics (run_uuid, key, step, timestamp, value, is_nan) values (?, ?, ?, ?, ?, 0)"
    for key in sorted(metrics):
        times = started[:, None] + wall_ms
        for step in range(checkpoints):  # in the order of the primary key, near enough
            rows = zip(ids, times[:, step].tolist(), metrics[key][:, step].tolist(), strict=True)
            database.executemany(insert, ((run, key, step + 1, time, value) for run, time, value in rows))
    finals = dict(_finals(generator, metrics))
    for key in sorted(finals):
        rows = zip(ids, ended.tolist(), finals[key].tolist(), strict=True)
        database.executemany(insert, ((run, key, checkpoints + 1, time, value) for run, time, value in rows))
    for name, columns in _INDICES.items():
        database.execute(f"create index {name} on {columns}")
    latest = {**{key: (checkpoints, values[:, -1]) for key, values in metrics.items()}}
    latest |= {key: (checkpoints + 1, values) for key, values in finals.items()}
    for key, (step, last) in latest.items():
        database.executemany(
            "insert into latest_metrics (run_uuid, key, step, timestamp, value, is_nan) values (?, ?, ?, ?, ?, 0)",
            (
                (run, key, step, time, value)
                for run, time, value in zip(ids, ended.tolist(), last.tolist(), strict=True)
            ),
        )


def _metrics(generator: np.random.Generator, runs: int, checkpoints: int) -> dict[str, Floats]:
    """Ten metrics, arrays of shape [runs, checkpoints]: learning curves of runs that cost more the better they get."""
    size = np.exp(generator.uniform(0, 6, runs))
    epochs = np.arange(1, checkpoints + 1)
    top = 0.92 - 0.5 / size**0.35 - generator.exponential(0.05, runs)
    accuracy = top[:, None] * (1 - np.exp(-epochs * generator.uniform(0.2, 1.0, runs)[:, None]))
    accuracy += generator.normal(0, 0.002, accuracy.shape)
    wall_seconds = 3 + np.cumsum(np.full((runs, checkpoints), 2.0) * size[:, None] ** 0.8, axis=1)
    return {
        "accuracy": accuracy,
        "validation_loss": 1 - accuracy,
        "training_loss": 0.9 - accuracy,
        "recall": accuracy * 0.98,
        "precision": accuracy * 0.97,
        "learning_rate": np.full(accuracy.shape, 1e-3) / epochs,
        "gradient_norm": generator.exponential(1.0, accuracy.shape),
        "wall_seconds": wall_seconds,
        "price_usd": wall_seconds * USD_PER_HOUR / 3600,
        "energy_joules": wall_seconds * 20.0,
    }


def _finals(generator: np.random.Generator, metrics: dict[str, Floats]) -> Iterator[tuple[str, Floats]]:
    wall_seconds, price_usd = metrics["wall_seconds"][:, -1], metrics["price_usd"][:, -1]
    yield "test_accuracy", metrics["accuracy"][:, -1] - 0.01
    for name in FINALS:
        yield name, wall_seconds * generator.uniform(0.1, 1.0, len(wall_seconds))
    for part in PARTS:
        yield part, price_usd if part == "compute_usd" else np.zeros(len(price_usd))
    for name in ("peak_memory_bytes", "startup_seconds"):
        yield name, generator.uniform(1, 100, len(wall_seconds))


def _tags(at: int, parent: str) -> list[tuple[str, str]]:
    state = "completed" if at % 5 else "stopped"
    tags: dict[str, Any] = {
        "mlflow.runName": f"#{at}",
        "mlflow.parentRunId": parent,
        "mlflow.user": "benchmark",
        "tracker.study": STUDY,
        "tracker.role": "trial",
        "tracker.trial": at,
        "tracker.state": state,
        "tracker.reason": "" if state == "completed" else "dominated",
        "tracker.message": "",
        "tracker.attempts": 1,
        "tracker.busy": "false",
        "tracker.sku": SKU,
        "tracker.region": "us-east-1",
        "tracker.market": "on_demand",
        "tracker.usd_per_hour": USD_PER_HOUR,
        "tracker.price_source": "aws/karpenter-provider-aws@1d92708",
        "tracker.price_date": "2026-07-20",
        "tracker.price_book": "benchmark",
        "tracker.price_point": _PRICE_POINT,
        "tracker.hardware": "Intel Xeon, 2 cores, 8 GiB",
        "tracker.energy_source": "estimated",
        "tracker.cores": 1 + at % 2,
        "tracker.accelerators": 0,
        "tracker.data": "benchmark",
        "tracker.commit": "0" * 40,
    }
    return [(name, str(text)) for name, text in tags.items()]


def _params(at: int, parent: str) -> list[tuple[str, str]]:  # noqa: ARG001 - as _tags
    return [
        ("size", str(2 ** (at % 8))),
        ("precision", ("fp32", "bf16")[at % 2]),
        ("device", "cpu"),
        ("threads", str(1 + at % 2)),
        ("learning_rate", repr(1e-4 * (1 + at % 97))),
        ("dropout", str(0.1 * (at % 4))),
        ("epochs", "10"),
        ("seed", str(at % 3)),
    ]


_PRICE_POINT = json.dumps(load_price_book().point(SKU, Market.ON_DEMAND).row)
