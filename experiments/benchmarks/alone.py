"""The text classifier trained outside a study: what a study's trial is measured against."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.benchmarks.bare_run import bare_run, default_settings, prepared_task
from experiments.benchmarks.plain_loop import train_plainly
from experiments.workloads.text_classifier import TextClassifier
from tracker.records import Direction, QualityMetric
from tracker.training.assignment import Place
from tracker.training.run import Run

SETTINGS = {"train_documents": 4000, "validation_documents": 1000, "size": 2, "max_length": 64, "batch_size": 64}
HARDWARE = {"device": "cpu", "precision": "fp32", "compile": False}


def train_ours(epochs: int, threads: int, home: Path) -> float:
    """Seconds of the workload's own training, outside a study. For a child process."""
    clock = _Clock()
    TextClassifier().train(_run(epochs, threads, home, clock))
    return time.perf_counter() - clock.ready_at


def train_plain(epochs: int, threads: int, home: Path) -> float:
    """Seconds of the plain loop on the same work. For a child process."""
    run = _run(epochs, threads, home, _Clock())
    begin = time.perf_counter()
    train_plainly(run)
    return time.perf_counter() - begin


class _Clock:
    """Takes a run's events and keeps only when it was ready."""

    ready_at = 0.0

    def write(self, event: str, *fields: Mapping[str, Any]) -> None:
        del fields
        if event == "ready":
            self.ready_at = time.perf_counter()


def _run(epochs: int, threads: int, home: Path, clock: _Clock) -> Run:
    settings = default_settings(TextClassifier(), **{**SETTINGS, **HARDWARE, "epochs": epochs, "threads": threads})
    cache, quality = home / "cache", QualityMetric("accuracy", Direction.MAXIMIZE)
    task = prepared_task(TextClassifier(), settings, {"source": "docstrings"}, cache, quality)
    place = Place(cache, Path(tempfile.mkdtemp(dir=home)))
    return bare_run(task, place, clock.write, declared_metrics=frozenset(TextClassifier.metrics))


def _say_nothing(message: str) -> None:
    del message
