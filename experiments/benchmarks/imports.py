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

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.past_store import EXPERIMENT, QUALITY, make_source
from experiments.benchmarks.read_by_others import measure_mlflow
from experiments.benchmarks.tracker_commands import tracker_command
from tracker.engine.forkserver import Forkserver

SKU, RUNS = "aws/p4d.24xlarge", 10_000
MOST_SECONDS, MOST_AGAIN_SECONDS = 60.0, 5.0


def measure(runs: int, repeats: int, homes: str | None) -> Iterator[Figure]:
    """All figures; targets are of RUNS."""
    with tempfile.TemporaryDirectory(prefix="tracker-imports-") as scratch:
        source = (Path(homes or scratch) / f"past-{runs}.db").resolve()
        if not source.exists():
            Forkserver().call(make_source, source, runs)
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


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=RUNS, help="how many runs are imported")
    parser.add_argument("--repeats", type=int, default=1, help="how often each command is measured")
    parser.add_argument("--homes", help="keep the source below this folder, or use the one that is there")


if __name__ == "__main__":
    main("imports", _arguments, measure)
