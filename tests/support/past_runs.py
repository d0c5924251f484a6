"""Runs that know nothing of the tracker, as people have them: what is imported."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from tests.support.mlflow_database import put_mlflow_database

WANDB_LOGS = Path(__file__).parents[1] / "imports" / "wandb"
"""Two runs of four steps that W&B 0.31 wrote, without what says where: one that ended, one with exit code 3."""
EXPERIMENT = "digits-sweep"
STARTED_MS = 1_790_000_000_000
MINUTE_MS = 60_000


def mlflow_experiment(folder: Path, runs: int = 3, epochs: int = 5) -> Path:
    """An MLflow database ``mlruns.db`` in ``folder``, whose runs logged val_acc every ten minutes; its path."""
    path = put_mlflow_database(folder / ".made").rename(folder / "mlruns.db")
    client = MlflowClient(f"sqlite:///{path}")
    experiment = client.create_experiment(EXPERIMENT, artifact_location="file:///nowhere")
    for run in range(runs):
        started = STARTED_MS + 120 * MINUTE_MS * run
        log_run(
            client, experiment, f"run {run}", started, [started + 10 * MINUTE_MS * (at + 1) for at in range(epochs)]
        )
    return path


def step_table(folder: Path, runs: int = 2, epochs: int = 4) -> Path:
    """A table ``steps.csv`` in ``folder``: a row an epoch, ten minutes each; its path."""
    path = folder / "steps.csv"
    rows = ["run,logged_at,epoch,width,val_acc,train_loss"]
    for run in range(runs):
        for epoch in range(1, epochs + 1):
            logged_at = datetime.fromtimestamp((STARTED_MS + (120 * run + 10 * epoch) * MINUTE_MS) / 1000, UTC)
            rows.append(
                f"run {run},{logged_at.isoformat()},{epoch},{8 << run},{1 - 0.5 / (epoch + run)},{1 / (epoch + run)}"
            )
    path.write_text("\n".join([*rows, ""]))
    return path


def wandb_folder(folder: Path) -> Path:
    """A folder ``wandb`` in ``folder`` with the logs of two offline runs, as W&B leaves it in a project; its path."""
    for log in sorted(WANDB_LOGS.glob("*.wandb")):
        place = folder / "wandb" / f"offline-{log.stem}"
        place.mkdir(parents=True)
        shutil.copy(log, place)
    return folder / "wandb"


def log_run(
    client: MlflowClient,
    experiment: str,
    name: str,
    started_ms: int,
    times_ms: list[int],
    *,
    width: int = 8,
    tags: dict[str, str] | None = None,
    status: str = "FINISHED",
) -> str:
    """A run that logged val_acc and train_loss at these times, one epoch each; its id. "RUNNING" leaves it so."""
    run = client.create_run(experiment, start_time=started_ms, run_name=name, tags=tags or {}).info.run_id
    metrics = [
        Metric(key, value, time_ms, epoch)
        for epoch, time_ms in enumerate(times_ms, start=1)
        for key, value in (("val_acc", 1 - 0.5 / epoch), ("train_loss", 1 / epoch))
    ]
    client.log_batch(run, metrics, [Param("width", str(width)), Param("lr", "0.1")], [])
    if status != "RUNNING":
        client.set_terminated(run, status, end_time=times_ms[-1] + 1000 if times_ms else started_ms + 1000)
    return run
