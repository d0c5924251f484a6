"""A study's tables written by pandas: what the tracker's csv is measured against."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

from experiments.benchmarks.large_store import STUDY
from tracker.pricing.scenario import AS_BILLED
from tracker.store.home import Home


def write_by_pandas(home: Path, out: Path) -> float:
    """Seconds that DataFrame.to_csv takes to write runs and checkpoints, with all metrics. For a child process."""
    tables = importlib.import_module("tracker.export.arrow_tables")
    read = importlib.import_module("tracker.report.repricing").priced_study_table
    table = read(Home(home), STUDY, AS_BILLED)
    frames = {"runs": tables.runs(table).to_pandas(), "checkpoints": tables.checkpoints(table).to_pandas()}
    began = time.perf_counter()
    for name, frame in frames.items():
        frame.to_csv(out / f"{name}.csv", index=False, lineterminator="\n")
    return time.perf_counter() - began
