"""What repeats say about a study's points: intervals, membership probabilities, ties."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tracker.frontier.student_t import t_below
from tracker.frontier.uncertainty import Measurements, certainty
from tracker.records import Role
from tracker.store.run_table import StudyTable

CERTAINTY_COLUMNS = [
    *("repeats", "quality_mean", "quality_low", "quality_high", "price_mean_usd"),
    *("probability_on_frontier", "tied_with"),
]
CONFIDENCE_COLUMNS = ["quality_error", "quality_degrees"]
"""What confidence in a quality is worked out of (``confidence_of``); no reader of the frontier is shown them."""


def repeat_runs(table: StudyTable) -> pd.DataFrame:
    """The runs that repeat a trial, by start time, including those that did not complete."""
    return table.runs[table.runs["role"] == Role.REPEAT].sort_values("started_at", kind="stable")


def certainty_table(points: pd.DataFrame, table: StudyTable) -> pd.DataFrame:
    """How certain each of ``points`` is, the checkpoints of trials (report.tables.trial_checkpoints).

    One row for each that keeps the study's limits; none where the study has no completed repeat: repeats that failed or
    were stopped are no evidence. Columns: trial, epoch, on_frontier; repeats (how many reached that epoch),
    quality_mean with the bounds quality_low and quality_high of its 95 % interval, price_mean_usd (geometric),
    probability_on_frontier (from 0 to 1), and tied_with: the next cheaper point of the frontier, as "#3 e2", where the
    qualities of the two cannot be distinguished, None elsewhere; then CONFIDENCE_COLUMNS, the standard error of
    quality_mean and its degrees of freedom. The method is in frontier.uncertainty.
    """
    nothing = pd.DataFrame(columns=["trial", "epoch", "on_frontier", *CERTAINTY_COLUMNS, *CONFIDENCE_COLUMNS])
    if not (table.runs["role"] == Role.REPEAT).any():
        return nothing
    kept = points[points["kept"].to_numpy(dtype=np.bool_)].reset_index(drop=True)
    measured = _measurements(kept, table)
    if not measured.repeats.any():
        return nothing
    known = certainty(measured, kept["on_frontier"], table.quality.direction)
    labels = [f"#{trial} e{epoch}" for trial, epoch in zip(kept["trial"], kept["epoch"], strict=True)]
    return kept[["trial", "epoch", "on_frontier"]].assign(
        repeats=known.repeats,
        quality_mean=known.quality_mean,
        quality_low=known.quality_low,
        quality_high=known.quality_high,
        price_mean_usd=known.price_mean_usd,
        probability_on_frontier=known.probability,
        tied_with=pd.Series([labels[at] if at >= 0 else None for at in known.tied_with], dtype=object),
        quality_error=known.quality_error,
        quality_degrees=known.quality_degrees,
    )


def confidence_of(row: Mapping[Any, Any], target: float, sign: float) -> float:
    """The probability that the mean quality of a point is at least as good as ``target``; NaN where it has no repeat.

    ``row`` is one of ``certainty_table``; ``sign`` is 1 where more is better, else -1. One side of the distribution
    that the 95 % interval is of.
    """
    if not row["repeats"] or not row["quality_error"] > 0:
        return math.nan
    return t_below(sign * (row["quality_mean"] - target) / row["quality_error"], int(row["quality_degrees"]))


def _measurements(points: pd.DataFrame, table: StudyTable) -> Measurements:
    """The points' own measurements in the first column, one more column per repeat."""
    runs = repeat_runs(table)
    runs = runs[runs["state"] == "completed"]
    columns = pd.Series(runs.groupby("trial").cumcount().to_numpy() + 1, index=runs.index)
    steps = table.checkpoints[table.checkpoints["run"].isin(columns.index)]
    steps = steps[np.isfinite(steps[["quality", "price_usd"]].to_numpy(dtype=np.float64)).all(axis=1)]
    places = pd.MultiIndex.from_frame(points[["trial", "epoch"]])
    rows = places.get_indexer(pd.MultiIndex.from_frame(steps[["trial", "epoch"]]))
    steps, rows = steps[rows >= 0], rows[rows >= 0]
    figures = []
    for name in ("quality", "price_usd"):
        values = np.full((len(points), 1 + (int(columns.max()) if len(columns) else 0)), np.nan)
        values[:, 0] = points[name]
        values[rows, steps["run"].map(columns).to_numpy(dtype=np.int64)] = steps[name]
        figures.append(values)
    return Measurements(figures[0], figures[1], points["trial"].to_numpy(dtype=np.int64))
