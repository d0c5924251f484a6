"""How fast a study's report is written: the page, tables of a large study, a workbook.

    python -m experiments.benchmarks.reports [--json] [--repeats 3] [--homes FOLDER] [--formats html xlsx]

Stores of 1,000, 10,000 and 100,000 runs of 10 checkpoints are made up (large_store.py); with --homes they are kept
below that folder and used again. Each figure is the least of whole `tracker report` commands, each in a process of its
own, with what the tracker caches of a study between commands. Beside csv stands pandas' to_csv of the same
runs and checkpoints, once they are in memory, measured in the same minutes: what others would take on this machine.
The store of 100,000 runs, which csv and parquet are written of, takes minutes and 4 GB of disk.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.large_store import STUDY, make_store
from experiments.benchmarks.tracker_commands import tracker_command
from experiments.benchmarks.written_by_others import write_by_pandas
from tracker.engine.forkserver import Forkserver
from tracker.store.home import Home

CHECKPOINTS = 10
TARGETS = {
    "html": (1_000, 3.0),
    "xlsx": (10_000, 10.0),
    "csv": (100_000, 10.0),
    "parquet": (100_000, 10.0),
}
"""For each format: the runs of the study, and the most seconds that its report may take."""
MOST_MB = 1_000.0
"""The most memory that a report of 100,000 runs may take."""
LARGE = 100_000


def measure(repeats: int, homes: str | None, formats: list[str]) -> Iterator[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="tracker-reports-") as scratch:
        for name, (runs, most) in TARGETS.items():
            if name not in formats:
                continue
            home, out = _home(Path(homes or scratch), runs), Path(scratch) / "out"
            words = ("report", STUDY, "--home", str(home.path), "--out", str(out), "--format", name, "--force")
            tracker_command(*words)  # the first one keeps what it read
            measured = [tracker_command(*words) for _ in range(repeats)]
            seconds = [each for each, _ in measured]
            title = f"{name} of {runs:,} runs"
            yield Figure(title, min(seconds), "s", f"<= {most:g}", min(seconds) <= most, seconds)
            if runs == LARGE:
                memory = max(mb for _, mb in measured)
                yield Figure(f"{title}, peak memory", memory, "MB", f"<= {MOST_MB:g}", memory <= MOST_MB)
            if name == "csv":
                others = Forkserver().call(write_by_pandas, home.path, out)
                ratio = min(seconds) / others
                yield Figure(f"{title} / to_csv of pandas ({others:.1f} s)", ratio, "×", "<= 1", ratio <= 1)


def _home(folder: Path, runs: int) -> Home:
    """A home with a study of so many runs; made where it is not there yet."""
    home = Home((folder / f"runs-{runs}").resolve())
    if not home.mlflow_database.exists():
        make_store(home, runs, CHECKPOINTS)
    return home


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=3, help="how often each command is measured")
    parser.add_argument("--homes", help="keep the stores below this folder, or use those that are there")
    parser.add_argument("--formats", nargs="+", choices=list(TARGETS), default=list(TARGETS), help="measure these")


if __name__ == "__main__":
    main("reports", _arguments, measure)
