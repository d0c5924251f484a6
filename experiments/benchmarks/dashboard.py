"""How fast a large study is read and shown: the command, the page in a real browser, the report.

    python -m experiments.benchmarks.dashboard [--json] [--runs 10000] [--checkpoints 10] [--home FOLDER] [--alone]

The store is made up (large_store.py); with --home it is kept there and used again. Cold is without what the tracker
keeps of a study from one reading to the next, warm with it; the operating system's own cache is warm in both. Beside
them stand MLflow's search_runs as a pandas table, to which each time is a ratio too (of 10,000 runs), and
optuna-dashboard's page of a study with as many trials and Streamlit's page of three points; --alone leaves them out.
Needs Chromium, and for the baselines what `pip install '.[test,benchmark]'` brings.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.dashboard_pages import browsing, measure_page, measure_refresh
from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.large_store import STUDY, make_store
from experiments.benchmarks.read_by_others import measure_mlflow, measure_optuna_dashboard, measure_streamlit
from experiments.benchmarks.tracker_commands import tracker_command
from tracker.store.home import Home

SMALL, LARGE = 10_000, 100_000
TARGETS = {
    "frontier, cold": (3.0, 20.0, "s"),
    "frontier, warm": (1.0, 3.0, "s"),
    "advise, warm, beyond frontier": (0.2, 1.0, "s"),
    "frontier, peak memory": (400.0, 1500.0, "MB"),
    "page, cold": (4.0, 20.0, "s"),
    "page, warm": (1.5, 4.0, "s"),
    "a slider answers": (0.5, 1.5, "s"),
    "a selection answers": (0.5, 1.5, "s"),
    "a scenario answers": (0.5, 1.5, "s"),
    "a refresh while one run grows": (0.3, 1.0, "s CPU"),
    "report": (5.0, 30.0, "s"),
    "report, its page": (5.0, 10.0, "MB"),
}
"""What each figure may be at most: with 10,000 runs, with 100,000 runs, and its unit."""
MLFLOW_SECONDS = 11.0
"""What MLflow's search_runs took of 10,000 runs where these targets were set: on another machine, the ratio counts."""


def measure(runs: int, checkpoints: int, home: str | None, alone: bool) -> Iterator[Figure]:
    """All figures for one size of the store."""
    with tempfile.TemporaryDirectory(prefix="tracker-dashboard-") as scratch:
        place = Home(Path(home or scratch).resolve())
        if not place.mlflow_database.exists():
            make_store(place, runs, checkpoints)
        found = {**_commands(place, Path(scratch)), **_pages(place)}
    for name, value in found.items():
        small, large, unit = TARGETS[name]
        most = small if runs <= SMALL else large
        yield Figure(name, value, unit, f"<= {most:g}", value <= most)
    if alone:
        return
    mlflow_seconds = measure_mlflow(place.tracking_uri, STUDY)
    if runs <= SMALL:
        for name, (most, _, unit) in TARGETS.items():
            if unit != "MB":
                ratio, target = found[name] / mlflow_seconds, most / MLFLOW_SECONDS
                named = f"{name} / search_runs ({mlflow_seconds:.1f} s)"
                yield Figure(named, ratio, "×", f"<= {target:.3f}", ratio <= target)
        other_seconds = measure_optuna_dashboard(runs, checkpoints)
        ratio = found["page, cold"] / other_seconds
        yield Figure(f"page, cold / optuna-dashboard's page ({other_seconds:.1f} s)", ratio, "×", "<= 1", ratio <= 1)
        bare_seconds = measure_streamlit()
        ratio = found["page, warm"] / bare_seconds
        yield Figure(f"page, warm / Streamlit's of three points ({bare_seconds:.1f} s)", ratio, "×", "<= 2", ratio <= 2)


def _commands(home: Home, scratch: Path) -> dict[str, float]:
    """`tracker frontier`, `tracker advise` and `tracker report`, each in a process of its own."""
    forget(home)
    cold_seconds, cold_mb = tracker_command("frontier", STUDY, "--home", str(home.path))
    warm = [tracker_command("frontier", STUDY, "--home", str(home.path)) for _ in range(3)]
    advised = [tracker_command("advise", STUDY, "--home", str(home.path)) for _ in range(3)]
    frontier_seconds, advise_seconds = (min(seconds for seconds, _ in each) for each in (warm, advised))
    place = ("--home", str(home.path), "--out", str(scratch / "report"))
    report_seconds, _ = tracker_command("report", STUDY, *place, "--format", "html")
    return {
        "frontier, cold": cold_seconds,
        "frontier, warm": frontier_seconds,
        "advise, warm, beyond frontier": max(advise_seconds - frontier_seconds, 0.0),
        "frontier, peak memory": max(cold_mb, *(mb for _, mb in warm)),
        "report": report_seconds,
        "report, its page": (scratch / "report" / "report.html").stat().st_size / 1e6,
    }


def _pages(home: Home) -> dict[str, float]:
    forget(home)
    with browsing(home) as place:
        found = measure_page(place)
        return {**found, "a refresh while one run grows": measure_refresh(place, home)}


def forget(home: Home) -> None:
    """Delete what the tracker caches of the study between commands."""
    shutil.rmtree(home.cache / "read", ignore_errors=True)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=SMALL, help="runs in the study")
    parser.add_argument("--checkpoints", type=int, default=10, help="checkpoints of each run")
    parser.add_argument("--home", help="keep the store in this folder, or use the one that is there")
    parser.add_argument("--alone", action="store_true", help="without the baselines")


if __name__ == "__main__":
    main("dashboard", _arguments, measure)
