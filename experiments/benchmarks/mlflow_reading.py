"""What it costs to read what a command logs to MLflow: the tracker's own time, and what the trial is billed.

python -m experiments.benchmarks.mlflow_reading [--values 20000] [--json]

A script logs the values to an MLflow database. It is run by itself, and as the command of a trial, in turn. What the
trial is billed beyond what the script takes by itself is the tracker's; the tracker's own time is the CPU time of this
process, which starts the command and reads what it logs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.benchmarks.bare_run import bare_run, bare_task
from experiments.benchmarks.figures import Figure, main
from tracker.records import Direction, QualityMetric
from tracker.store.mlflow_store import empty_database
from tracker.training.assignment import Place
from tracker.training.command_workload import STORE_NAME, CommandWorkload
from tracker.training.meter import Meter
from tracker.training.mlflow_sources import lay_out_store

REPEATS = 3
MOST_CPU_SECONDS, MOST_BILLED = 1.0, 1.1
SCRIPT = """
import sys, time
from mlflow import MlflowClient, log_metric, start_run
from mlflow.entities import Metric

with start_run() as run:
    for first in range(0, int(sys.argv[1]), 1000):
        now_ms = int(time.time() * 1000)
        values = [Metric("loss", 0.5, now_ms, step) for step in range(first, first + 1000)]
        MlflowClient().log_batch(run.info.run_id, values)
    for epoch in range(10):
        log_metric("accuracy", epoch / 10, step=epoch)
"""


def measure(values: int) -> Iterator[Figure]:
    """The script by itself and as a command, in turn, each with an empty database that is there already."""
    with tempfile.TemporaryDirectory(prefix="mlflow-reading-") as name:
        folder = Path(name)
        (folder / "train.py").write_text(SCRIPT)
        template = empty_database(folder)
        alone, billed, cpu = [], [], []
        for number in range(REPEATS):
            alone.append(_alone(folder / f"alone-{number}", template, values))
            seconds, own = _as_command(folder / f"command-{number}", template, values)
            billed.append(seconds)
            cpu.append(own)
    ratios = [ours / plain for ours, plain in zip(billed, alone, strict=True)]
    own, ratio = statistics.median(cpu), statistics.median(ratios)
    target = f"at most {MOST_CPU_SECONDS:g}"
    yield Figure(f"CPU to follow {values:,} values", own, "s", target, own <= MOST_CPU_SECONDS, cpu)
    yield Figure("billed / the script alone", ratio, "", f"at most {MOST_BILLED:g}", ratio <= MOST_BILLED, ratios)
    yield Figure("the script alone", statistics.median(alone), "s", "none", True, alone)


def _alone(folder: Path, template: Path, values: int) -> float:
    folder.mkdir()
    store = folder / STORE_NAME
    lay_out_store(store, template, "alone", folder)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}", "MLFLOW_EXPERIMENT_NAME": "alone"}
    begin = time.monotonic()
    command = [sys.executable, str(folder.parent / "train.py"), str(values)]
    subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
    return time.monotonic() - begin


def _as_command(folder: Path, template: Path, values: int) -> tuple[float, float]:
    """The wall seconds that a trial is billed, and the CPU seconds of this process until it has read everything."""
    folder.mkdir()
    reported: list[Any] = []
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    place = Place(
        folder,
        folder / "artifacts",
        folder=folder,
        output=folder / "1.log",
        tracking_uri="sqlite:///the-books.db",
        command_store=template,
    )

    def write(event: str, *fields: Any) -> None:
        reported.extend(fields if event == "checkpoint" else ())

    run = bare_run(bare_task(QualityMetric("accuracy", Direction.MAXIMIZE)), place, write, meter=meter)
    begin = time.process_time()
    CommandWorkload(f"$ {{python}} train.py {values}  # in {folder.parent}").train(run)
    own = time.process_time() - begin
    assert len(reported) == 10, "every epoch is a checkpoint"
    return meter.usage().wall_seconds, own


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--values", type=int, default=20_000, help="how many the script logs")


if __name__ == "__main__":
    main("mlflow_reading", _arguments, measure)
