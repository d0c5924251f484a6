"""What repeats say about a study's points: intervals, membership probabilities, ties."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tracker.frontier.uncertainty import Measurements, certainty
from tracker.records import Role
from tracker.store.run_table import StudyTable

CERTAINTY_COLUMNS = [
    *("repeats", "quality_mean", "quality_low", "quality_high", "price_mean_usd"),
    *("probability_on_frontier", "tied_with"),
]


def repeat_runs(table: StudyTable) -> pd.DataFrame:
    """The runs that repeat a trial, by start time, including those that did not complete."""
    return table.runs[table.runs["role"] == Role.REPEAT].sort_values("started_at", kind="stable")


def certainty_table(points: pd.DataFrame, table: StudyTable) -> pd.DataFrame:
    """How certain each of ``points`` is, the checkpoints of trials (report.tables.trial_checkpoints).

    One row for each that keeps the study's limits; none where the study has no completed repeat: repeats that failed or
    were stopped are no evidence. Columns: trial, epoch, on_frontier; repeats (how many reached that epoch),
    quality_mean with the bounds quality_low and quality_high of its 95 % interval, price_mean_usd (geometric),
    probability_on_frontier (from 0 to 1), and tied_with: the next cheaper point of the frontier, as "#3 e2", where the
    qualities of the two cannot be distinguished, None elsewhere. The method is in frontier.uncertainty.
    """
    nothing = pd.DataFrame(columns=["trial", "epoch", "on_frontier", *CERTAINTY_COLUMNS])
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
    )


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
