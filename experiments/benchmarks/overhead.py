"""What the tracker adds to a training: wall time, start-up, logging; and the training loop against a plain one.

    python -m experiments.benchmarks.overhead [--json] [--pairs 5] [--seconds 30]

Every ratio is taken between two measurements of the same minute, one right after the other; the order
alternates from pair to pair, and the median is reported.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.benchmarks.alone import HARDWARE, SETTINGS, train_ours, train_plain
from experiments.benchmarks.figures import Figure, main
from tracker import run_study
from tracker.engine.forkserver import Forkserver
from tracker.pricing.cost import DEFAULT_TERMS
from tracker.pricing.price_book import load_price_book
from tracker.records import AttemptRecord, Checkpoint, DataCard, Market, PhaseSeconds, Role, TrialState, Usage
from tracker.runner.account import Account
from tracker.runner.job import Job
from tracker.store.mlflow_store import MlflowStore
from tracker.training.events import EventLog
from tracker.training.machine import usable_cores

WORKLOAD = "experiments.workloads.text_classifier:TextClassifier"


def measure(pairs: int, seconds: float) -> Iterator[Figure]:
    """All figures, the quick ones first."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        home, forkserver = Path(folder), Forkserver(WORKLOAD)
        threads = usable_cores()
        yield _startup(home)
        yield _logging(home)
        yield _durable_events(home)
        epochs = _epochs_lasting(seconds, forkserver, home, threads)
        yield _loop(pairs, epochs, forkserver, home, threads)
        yield _overhead(pairs, epochs, forkserver, home, threads)


def _startup(home: Path) -> Figure:
    """Seconds from asking for a trial to its training, of all trials but the first."""
    study = run_study(_study("startup", {"epochs": 1, "threads": 1}, trials=6), home=home, workers=1)
    runs = study.runs().query("role == 'trial'").sort_values("trial")
    seconds = [summary["startup_seconds"] for summary in runs["summary"]][1:]
    value = statistics.median(seconds)
    return Figure("start-up of a trial", value, "s", "<= 0.3", value <= 0.3, seconds)


def _logging(home: Path, runs: int = 30) -> Figure:
    """Milliseconds of the coordinator to log a run of 12 settings and 20 checkpoints to the default store."""
    store = MlflowStore(f"sqlite:///{home / 'logging.db'}")
    study = store.create_study("logging", {}, time.time(), home / "artifacts")
    point = load_price_book().point("aws/m7i.large", Market.ON_DEMAND)
    settings = {f"knob_{number}": number for number in range(12)}
    card, usage = DataCard("data", "fingerprint", {"train": 1}), Usage(60.0, 60.0, 1, 0, 2**30)
    metrics = {"accuracy": 0.5, "validation_loss": 1.0, "training_loss": 1.0}
    checkpoints = tuple(Checkpoint(epoch, metrics, usage, 1e9 + epoch) for epoch in range(1, 21))
    summary = {"test_accuracy": 0.5, "parameters": 1e6, "flops": 1e12, "samples_per_second": 1e3}
    record = AttemptRecord(
        1, TrialState.COMPLETED, 1e9, usage, checkpoints, PhaseSeconds(0.1, 50.0, 9.9), summary, ended_at=1e9 + 60
    )
    milliseconds = []
    for number in range(runs):
        begin = time.perf_counter()
        log = study.run(f"#{number}", settings, {"tracker.trial": str(number), "tracker.role": Role.TRIAL}, 1e9)
        log.input(card)
        Account(Job(Role.TRIAL, f"#{number}", str(number), settings, 0, number), point, DEFAULT_TERMS, log).close(
            record
        )
        study.flush()
        milliseconds.append((time.perf_counter() - begin) * 1000)
    value = statistics.median(milliseconds)
    return Figure("logging a run of 20 checkpoints", value, "ms", "<= 30", value <= 30, milliseconds)


def _durable_events(home: Path, checkpoints: int = 200) -> Figure:
    """The share of a training that checkpoints once a second which writing its events durably takes.

    A second has a checkpoint, forced onto the disk, and half a heartbeat, which is not.
    """
    log, usage = EventLog(home / "events.jsonl"), Usage(60.0, 60.0, 1, 0, 2**30)
    metrics = {"accuracy": 0.5, "validation_loss": 1.0, "training_loss": 1.0}
    shares = []
    for epoch in range(checkpoints):
        begin = time.perf_counter()
        log.write("checkpoint", {"epoch": epoch, "metrics": metrics, "usage": usage, "evaluation_seconds": 0.1})
        if epoch % 2:
            log.write("heartbeat", {"usage": usage})
        shares.append(100 * (time.perf_counter() - begin))
    value = statistics.mean(shares)
    return Figure("durable events of a checkpoint a second", value, "%", "<= 1", value <= 1, shares)


def _overhead(pairs: int, epochs: int, forkserver: Forkserver, home: Path, threads: int) -> Figure:
    """The wall time of a training inside a study over that of the same training alone."""

    def tracked() -> float:
        name = f"overhead-{time.monotonic_ns()}"
        study = run_study(_study(name, {"epochs": epochs, "threads": threads}, trials=1), home=home)
        trial = study.runs().query("role == 'trial'").iloc[0]
        return float(trial["wall_seconds"] - trial["summary"]["startup_seconds"])

    ratios = _ratios(pairs, tracked, lambda: forkserver.call(train_ours, epochs, threads, home))
    value = statistics.median(ratios)
    return Figure("training with the tracker / without", value, "×", "<= 1.02", value <= 1.02, ratios)


def _loop(pairs: int, epochs: int, forkserver: Forkserver, home: Path, threads: int) -> Figure:
    """The speed of the classifier's training loop over that of a plain PyTorch loop doing the same work."""
    ratios = _ratios(
        pairs,
        lambda: forkserver.call(train_plain, epochs, threads, home),
        lambda: forkserver.call(train_ours, epochs, threads, home),
    )
    value = statistics.median(ratios)
    return Figure("our training loop's speed / a plain one's", value, "×", ">= 1.0", value >= 1.0, ratios)


def _ratios(pairs: int, measured: Callable[[], float], baseline: Callable[[], float]) -> list[float]:
    ratios = []
    for pair in range(pairs):
        if pair % 2:
            below = baseline()
            ratios.append(measured() / below)
        else:
            above = measured()
            ratios.append(above / baseline())
    return ratios


def _epochs_lasting(seconds: float, forkserver: Forkserver, home: Path, threads: int) -> int:
    """How many epochs of the measured training take about this long here."""
    return max(1, round(seconds / (forkserver.call(train_ours, 3, threads, home) / 3)))


def _study(name: str, settings: Mapping[str, Any], trials: int) -> dict[str, Any]:
    return {
        "name": name,
        "workload": WORKLOAD,
        "quality": {"metric": "accuracy"},
        "budget": {"trials": trials},
        "data": {"source": "docstrings"},
        "settings": {**SETTINGS, **HARDWARE, **settings},
        "strategy": "grid",
        "space": {"learning_rate": [2e-3 * 1.01**trial for trial in range(trials)]},
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=5, help="pairs of measurements for each ratio")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long one measured training lasts, about")


if __name__ == "__main__":
    main("overhead", _arguments, measure)
