"""What the search forecast when it took its steps, and how far that came true: from a study's recorded decisions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tracker.records import Direction, Role
from tracker.report.remembered import remembered
from tracker.runner.decisions import FILE_NAME
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

COLUMNS = [
    *("time", "trial", "at_epoch", "expected", "likely_from", "likely_to", "price_then_usd"),
    *("gain_per_usd", "next_gain_per_usd", "hypervolume"),
]
_STEPS = ("begin", "resume", "continue")
LIKELY = 0.9
"""The share of forecasts that are to fall into their likely range."""


@remembered
def forecasts(table: StudyTable) -> pd.DataFrame:
    """One row for each step that the search took by a forecast, in the order of time; none where none was recorded.

    Columns: time (seconds since 1970), trial; expected, the forecast quality of the trial after at_epoch, within
    likely_from and likely_to in nine of ten, at price_then_usd in all; gain_per_usd, what the step was expected to add
    to the hypervolume for each dollar, and next_gain_per_usd, that of the best step that was not taken (NaN where the
    step was not the best by forecast: such steps are chosen by rank, or train settings drawn at random);
    hypervolume, what it was then, in the search's own unit.
    """
    rows = [] if table.home is None else _rows(Home(table.home).study(table.study) / FILE_NAME, table.quality.name)
    return pd.DataFrame(rows, columns=COLUMNS, dtype=np.float64).astype({"trial": np.int64})


def _rows(path: Path, metric: str) -> list[tuple[float, ...]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [row for line in lines if '"expected_' in line and (row := _row(line, metric)) is not None]


def _row(line: str, metric: str) -> tuple[float, ...] | None:
    try:
        decision = json.loads(line)
        numbers = decision["numbers"]
        if decision["action"] not in _STEPS or numbers.get(f"expected_{metric}") is None:
            return None
        names = ("at_epoch", f"expected_{metric}", "likely_from", "likely_to", "price_then_usd")
        # Only a step that was the best by forecast has a next best one.
        chosen = ("expected_gain_per_usd", "next_best_gain_per_usd") if "next_best" in numbers else ("", "")
        figures = (_number(numbers, name) for name in (*names, *chosen, "hypervolume"))
        return (float(decision["time"]), int(decision["trial"]), *figures)
    except (ValueError, KeyError, TypeError, AttributeError):  # torn by a power cut
        return None


def _number(numbers: Mapping[str, Any], name: str) -> float:
    value = numbers.get(name)
    return math.nan if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Record:
    """How far quality forecasts came true: ``due`` reached the epoch that they were for, ``inside`` of these lay in
    their likely range, and ``median_error`` is the median of what came less what was expected; NaN where none is due.
    """

    due: int
    inside: int
    median_error: float


def quality_record(table: StudyTable) -> Record:
    """The record of a study's forecasts of quality."""
    made = forecasts(table)
    came = came_true(table, made)
    due = np.isfinite(came)
    low, high = made["likely_from"].to_numpy(), made["likely_to"].to_numpy()
    inside = due & (came >= low) & (came <= high)
    errors = (came - made["expected"].to_numpy())[due]
    return Record(int(due.sum()), int(inside.sum()), float(np.median(errors)) if len(errors) else math.nan)


def came_true(table: StudyTable, made: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The best quality of each forecast's trial until the epoch that it is for, [forecasts]; NaN if that is ahead."""
    steps = table.checkpoints[["trial", "epoch", "quality"]][(table.checkpoints["role"] == Role.TRIAL).to_numpy()]
    steps = steps[np.isfinite(steps["quality"].to_numpy(dtype=np.float64))].sort_values(["trial", "epoch"])
    by_trial = steps.groupby("trial")["quality"]
    best = by_trial.cummax() if table.quality.direction is Direction.MAXIMIZE else by_trial.cummin()
    reached = pd.DataFrame({"trial": steps["trial"].astype(np.int64), "at_epoch": steps["epoch"].astype(float)})
    reached = reached.assign(came=best.astype(float)).sort_values("at_epoch", kind="stable")
    wanted = made[["trial", "at_epoch"]].reset_index().dropna().sort_values("at_epoch", kind="stable")
    joined = pd.merge_asof(wanted, reached, on="at_epoch", by="trial", direction="forward")
    came = np.full(len(made), np.nan)
    came[joined["index"].to_numpy(dtype=np.int64)] = joined["came"]
    return came


def open_forecasts(table: StudyTable) -> pd.DataFrame:
    """The latest forecast of each trial that may be trained further and has not come so far, the best one first.

    Columns: those of ``forecasts``. Trials that completed, failed or were stopped are left out.
    """
    made = forecasts(table)
    runs = table.runs[(table.runs["role"] == Role.TRIAL).to_numpy()]
    further = set(runs["trial"][runs["state"].isin(("paused", "running")).to_numpy()])
    ahead = made[~np.isfinite(came_true(table, made)) & made["trial"].isin(further).to_numpy()]
    latest = ahead.groupby("trial", sort=False).tail(1)
    worse_first = table.quality.direction is Direction.MINIMIZE
    best_first: pd.DataFrame = latest.sort_values("expected", ascending=worse_first, kind="stable")
    return best_first.reset_index(drop=True)
