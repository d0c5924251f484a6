"""How fast past MLflow runs are imported, and how fast an import with nothing new says so.

    python -m experiments.benchmarks.imports [--runs 10000] [--repeats 1] [--homes FOLDER] [--json]

An MLflow database of runs that know nothing of the tracker is made up: each logs one quality ten times, and has the
params, the tags and the last values of two more metrics that such runs have. With --homes it is kept below that folder
and used again. Each figure is the least of whole `tracker import mlflow` commands, each in a process of its own.
MLflow's search_runs of the same runs, which does not even read their histories, is measured in the same minutes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mlflow.entities import Metric, Param

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.read_by_others import measure_mlflow
from experiments.benchmarks.tracker_commands import tracker_command
from tracker.store.mlflow_bulk import BulkClient
from tracker.store.mlflow_store import MlflowStore

EXPERIMENT, QUALITY, SKU = "past", "val_accuracy", "aws/p4d.24xlarge"
VALUES, RUNS = 10, 10_000
BEGAN_MS = 1_790_000_000_000
MOST_SECONDS, MOST_AGAIN_SECONDS = 60.0, 5.0


def measure(runs: int, repeats: int, homes: str | None) -> Iterator[Figure]:
    """All figures; targets are of RUNS."""
    with tempfile.TemporaryDirectory(prefix="tracker-imports-") as scratch:
        source = (Path(homes or scratch) / f"past-{runs}.db").resolve()
        if not source.exists():
            make_source(source, runs)
        home = Path(scratch) / "home"
        words = ["import", "mlflow", str(source), EXPERIMENT, "--quality", QUALITY, "--sku", SKU, "--share", "1/8"]
        words += ["--home", str(home)]
        measured = []
        for _ in range(repeats):
            shutil.rmtree(home, ignore_errors=True)
            measured.append(tracker_command(*words))
        again = [tracker_command(*words) for _ in range(repeats)]
        mlflow_seconds = measure_mlflow(f"sqlite:///{source}", EXPERIMENT)
    for title, figures, most in (
        (f"import of {runs:,} runs", measured, MOST_SECONDS),
        ("again, nothing new", again, MOST_AGAIN_SECONDS),
    ):
        seconds = [each for each, _ in figures]
        target = f"<= {most:g}" if runs == RUNS else "none"
        yield Figure(title, min(seconds), "s", target, runs != RUNS or min(seconds) <= most, seconds)
        yield Figure(f"{title}, peak memory", max(mb for _, mb in figures), "MB", "none", True)
        ratio = min(seconds) / mlflow_seconds
        yield Figure(f"{title} / search_runs ({mlflow_seconds:.1f} s)", ratio, "×", "none", True)


def make_source(path: Path, runs: int) -> None:
    """Put an experiment of so many runs into a new MLflow database."""
    store = MlflowStore(f"sqlite:///{path}")
    client, engine = store._client, store._engine
    experiment = client.create_experiment(EXPERIMENT, artifact_location="file:///nowhere")
    bulk, generator = BulkClient(client, engine), np.random.default_rng(0)
    steps = np.arange(1, VALUES + 1)
    for at in range(runs):
        started_ms = BEGAN_MS + 60_000 * at
        times = (started_ms + 1000 * np.cumsum(generator.uniform(20, 40, VALUES))).astype(int).tolist()
        accuracy = (0.92 - generator.exponential(0.05)) * (1 - np.exp(-steps * generator.uniform(0.2, 1.0)))
        run = bulk.create_run(experiment, started_ms, _tags(at), f"bright-fox-{at}").info.run_id
        values = zip(accuracy.tolist(), times, steps.tolist(), strict=True)
        logged = [Metric(QUALITY, value, time, step) for value, time, step in values]
        logged += [Metric(name, 0.5, times[-1], VALUES) for name in ("train_loss", "test_accuracy")]
        bulk.log_batch(run, logged, _params(at), [])
        bulk.set_terminated(run, ("FINISHED", "FAILED")[at % 10 == 0], times[-1] + 500)
    bulk.flush()


def _tags(at: int) -> dict[str, str]:
    return {
        "mlflow.user": ("ada", "grace")[at % 2],
        "mlflow.source.name": "train.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": f"{at // 100:040x}",
        "team": "vision",
    }


def _params(at: int) -> list[Param]:
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
    return [Param(name, str(value)) for name, value in settings.items()]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=RUNS, help="how many runs are imported")
    parser.add_argument("--repeats", type=int, default=1, help="how often each command is measured")
    parser.add_argument("--homes", help="keep the source below this folder, or use the one that is there")


if __name__ == "__main__":
    main("imports", _arguments, measure)
