"""The frontier on any axes as a table: the accessible twin of the chart, in the same units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracker.report.axis_points import AxisPoints, point_key
from tracker.report.repeats import CERTAINTY_COLUMNS
from tracker.report.tables import searched_settings


@dataclass(frozen=True, eq=False)
class FrontierTwin:
    """``rows``: one per frontier point, by rising x; ``keys`` are their keys (axis_points.point_key).

    ``labels`` are the column titles with units, and ``formats`` the printf formats of numeric columns.
    """

    rows: pd.DataFrame
    keys: list[str]
    labels: Mapping[str, str]
    formats: Mapping[str, str]


def frontier_twin(found: AxisPoints) -> FrontierTwin:
    """The table for the chart of ``found``: its frontier with the searched settings, and certainty."""
    table, frontier, measure = found.table, found.frontier, found.x_measure
    runs = frontier["run"].to_numpy(dtype=np.int64)
    columns: dict[str, Any] = {"point": frontier["short"], "y": frontier["y"]}
    labels = {"point": "point", "y": found.metric, "x": f"{measure.name}, {measure.symbol}"}
    columns["x"] = measure.of(frontier["x"].to_numpy())
    columns["x_per_step"] = measure.of(frontier["x_per_step"].to_numpy())
    labels["x_per_step"] = f"{found.step:g} more costs, {measure.symbol}"
    if found.metric != table.quality.name:
        columns["quality"], labels["quality"] = frontier["quality"], table.quality.name
    if found.axes.x != "price_usd":
        columns["price"] = table.unit.of(frontier["price_usd"].to_numpy(dtype=np.float64))
        labels["price"] = f"price, {table.unit.symbol.strip()}"
    if found.axes.x != "wall_seconds":
        columns["wall_seconds"], labels["wall_seconds"] = frontier["wall_seconds"], "wall time, s"
    for setting in searched_settings(table):
        columns[f"settings.{setting}"] = table.settings[setting].take(runs).to_numpy()
        labels[f"settings.{setting}"] = setting
    columns["sku"], labels["sku"] = table.runs["sku"].take(runs).to_numpy(), "billed as"
    rows = pd.DataFrame(columns)
    rows, named = _with_certainty(rows, found)
    numbers = [column for column in rows if pd.api.types.is_float_dtype(rows[column])]
    return FrontierTwin(
        rows=rows,
        keys=[point_key(run, epoch) for run, epoch in zip(frontier["run_id"], frontier["epoch"], strict=True)],
        labels={**labels, **named},
        formats={str(column): _format(rows[column]) for column in numbers},
    )


def _with_certainty(rows: pd.DataFrame, found: AxisPoints) -> tuple[pd.DataFrame, dict[str, str]]:
    known = found.certainty
    if known.empty:
        return rows, {}
    matched = found.frontier[["trial", "epoch"]].merge(known, on=["trial", "epoch"], how="left")
    titles = {
        "repeats": "repeats",
        "quality_mean": "mean of repeats",
        "quality_low": "95 % from",
        "quality_high": "95 % to",
        "probability_on_frontier": "probability on the frontier",
        "tied_with": "tied with",
    }
    names = [name for name in CERTAINTY_COLUMNS if name in titles]
    return rows.assign(**{name: matched[name].to_numpy() for name in names}), titles


def _format(column: pd.Series[float]) -> str:
    """One number format for a column, with at least three digits for its smallest figure."""
    sizes = column.abs()
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    least = float(sizes.min()) if len(sizes) else 1.0
    return f"%.{min(max(2 - math.floor(math.log10(least)), 0), 9)}f"
