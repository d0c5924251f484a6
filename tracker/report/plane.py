"""The data of the frontier chart, without any plotting.

Names and messages are escaped here, once (hovers.escape), because plotly renders a subset of HTML. Texts exist only for
the drawn points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tracker.records import Direction
from tracker.report.axes import Axes, Measure
from tracker.report.axis_points import (
    AxisPoints,
    axis_points,
    parse_key,
    point_key,
    reference_points,
    run_ids,
    short_names,
)
from tracker.report.hovers import (
    UNSTATED,
    escape,
    hardware_name,
    interval_hover,
    point_hovers,
    reference_hover,
    shorten,
)
from tracker.report.tables import missed_limits
from tracker.report.thinning import thinned
from tracker.store.run_table import StudyTable

__all__ = ["Plane", "escape", "plane_of", "shorten", "study_plane"]

MOST_CURVES = 60
"""How many runs' curves are drawn at once, the frontier's first: more would hide each other."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The drawn points of a study on a pair of axes.

    ``drawn``: one row a point: run, run_id, trial, epoch, x, y, on_frontier, missed (of the limits, in words),
    selected, precision, hardware, short (its label), key (axis_points.point_key) and hover (escaped HTML): the whole
    frontier, the selected points, and a thinned sample of the others. ``others`` counts all points off the frontier.
    ``curves``: run, x and y of every checkpoint of the runs whose curves are shown, run by run, and selected.
    ``intervals``: one row a frontier point where trials were repeated: x, quality_mean, quality_low, quality_high, key,
    hover; no row where none was. ``references``: one row a baseline: name (escaped), x, y, key, hover. Ranges span all
    of them. ``target`` of y and ``budget`` of x are lines to draw; None draws no line.
    """

    found: AxisPoints
    drawn: pd.DataFrame
    others: int
    curves: pd.DataFrame
    references: pd.DataFrame
    intervals: pd.DataFrame
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    target: float | None = None
    budget: float | None = None

    @property
    def axes(self) -> Axes:
        """What is on x and y."""
        return self.found.axes

    @property
    def metric(self) -> str:
        """What y is called, escaped."""
        return escape(shorten(self.found.metric, 32))

    @property
    def direction(self) -> Direction:
        """Which way y is better."""
        return self.found.direction

    @property
    def x_measure(self) -> Measure:
        """How x is drawn and written."""
        return self.found.x_measure

    @property
    def y_log(self) -> bool:
        """Whether y is logarithmic: if requested and all values are above zero."""
        return self.axes.y_log and self.y_range[0] > 0

    @property
    def frontier(self) -> pd.DataFrame:
        """The non-dominated points, by rising x."""
        return self.drawn[self.drawn["on_frontier"]].sort_values("x", ignore_index=True)


def study_plane(table: StudyTable, axes: Axes | None = None) -> Plane:
    """The plane of a study, on price and quality by default; empty where no trial reached a checkpoint."""
    return plane_of(axis_points(table, axes))


def plane_of(
    found: AxisPoints,
    *,
    selected: Sequence[str] = (),
    curves: bool = False,
    target: float | None = None,
    budget: float | None = None,
) -> Plane:
    """The plane of points on their axes.

    ``selected`` are keys of points (axis_points.point_key) that are marked, with their runs' curves; unknown keys are
    ignored. ``curves`` shows the curves of the frontier's runs too, then others up to the limit.
    """
    marked = _rows_of(found, selected)
    references = reference_points(found)
    always, drawn = _always_drawn(found)
    if len(more := np.setdiff1d(marked, always)):
        drawn = pd.concat([drawn, _described(found.points.loc[more].reset_index(drop=True), found)], ignore_index=True)
    drawn = drawn.assign(selected=np.isin(np.concatenate([always, more]), marked))
    intervals = _intervals(found)
    both = pd.concat([found.points[["x", "y"]], references[["x", "y"]]])
    return Plane(
        found=found,
        drawn=drawn,
        others=int((~found.points["on_frontier"]).sum()),
        curves=_curves(found, drawn[drawn["selected"]]["run"].unique(), everyone=curves),
        references=references.assign(
            key=[point_key(run, epoch) for run, epoch in zip(references["run_id"], references["epoch"], strict=True)],
            hover=[reference_hover(row, found) for row in references.to_dict("records")],
            name=[escape(shorten(str(name), 42)) for name in references["name"]],
        ),
        intervals=intervals,
        x_range=_span(both["x"]),
        y_range=_with_whiskers(_span(both["y"]), intervals),
        target=target,
        budget=budget,
    )


def _always_drawn(found: AxisPoints) -> tuple[np.ndarray, pd.DataFrame]:
    """The rows of ``found.points`` that are drawn for any selection, and these points; computed once."""
    known = found.__dict__
    if "_always_drawn" not in known:
        rows = _drawn_rows(found)
        known["_always_drawn"] = rows, _described(found.points.loc[rows].reset_index(drop=True), found)
    drawn: tuple[np.ndarray, pd.DataFrame] = known["_always_drawn"]
    return drawn


def _drawn_rows(found: AxisPoints) -> np.ndarray:
    """The rows of the frontier and of a thinned sample of the other points, rising."""
    points = found.points
    on = points["on_frontier"].to_numpy(dtype=np.bool_)
    others = np.flatnonzero(~on)
    x, y = (points[name].to_numpy()[others] for name in ("x", "y"))
    if found.axes.x_log:
        x = np.log10(x)
    if found.axes.y_log and len(y) and y.min() > 0:
        y = np.log10(y)
    kind = ~points["kept"].to_numpy(dtype=np.bool_)[others]
    return np.unique(np.concatenate([np.flatnonzero(on), others[thinned(x, y, kind)]]))


def _described(drawn: pd.DataFrame, found: AxisPoints) -> pd.DataFrame:
    """The drawn points with their texts."""
    table = found.table
    names = [name for name in ("precision", "device", "threads") if name in table.settings]
    settings = table.settings.loc[drawn["run"], names].to_dict("records")
    skus = table.runs["sku"].take(drawn["run"].to_numpy())
    ids = run_ids(table, drawn)
    drawn = drawn.assign(
        run_id=ids,
        missed=missed_limits(drawn["at"].to_numpy(), table),
        precision=[escape(shorten(str(each.get("precision") or UNSTATED), 30)) for each in settings],
        hardware=[hardware_name(each, str(sku)) for each, sku in zip(settings, skus, strict=True)],
        short=short_names(drawn),
        key=[point_key(run, epoch) for run, epoch in zip(ids, drawn["epoch"], strict=True)],
    )
    return drawn.assign(hover=point_hovers(drawn, found))


def _rows_of(found: AxisPoints, keys: Sequence[str]) -> np.ndarray:
    """The rows of points by their keys; a key without an epoch is its run's last checkpoint."""
    points, rows = found.points, []
    runs = found.table.runs["run_id"].to_numpy()
    for run_id, epoch in map(parse_key, keys):
        of_run = np.flatnonzero(np.isin(points["run"].to_numpy(), np.flatnonzero(runs == run_id)))
        if epoch is not None:
            of_run = of_run[points["epoch"].to_numpy()[of_run] == epoch]
        rows += list(of_run[-1:])
    return np.asarray(sorted(set(rows)), dtype=np.int64)


def _curves(found: AxisPoints, selected: np.ndarray, *, everyone: bool) -> pd.DataFrame:
    """Every checkpoint of the runs whose curves are shown."""
    points = found.points
    runs = list(selected)
    if everyone:
        runs = [*runs, *found.frontier["run"].unique(), *points["run"].unique()]
    shown = list(dict.fromkeys(runs))[: max(MOST_CURVES, len(selected))]
    rows = points[points["run"].isin(shown)].sort_values(["run", "epoch"], kind="stable")
    return rows[["run", "trial", "x", "y"]].assign(selected=rows["run"].isin(selected))


def _intervals(found: AxisPoints) -> pd.DataFrame:
    columns = ["x", "quality_mean", "quality_low", "quality_high", "key", "hover"]
    known = found.certainty
    if known.empty:
        return pd.DataFrame(columns=columns)
    points = found.frontier.merge(known.drop(columns="on_frontier"), on=["trial", "epoch"])
    keys = [point_key(run, epoch) for run, epoch in zip(points["run_id"], points["epoch"], strict=True)]
    return points.assign(key=keys, hover=[interval_hover(row) for row in points.to_dict("records")])[columns]


def _span(values: pd.Series[float]) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (math.nan, math.nan)


def _with_whiskers(span: tuple[float, float], intervals: pd.DataFrame) -> tuple[float, float]:
    """The range of qualities, extended by intervals as long as the points keep at least half of the height."""
    if intervals.empty:
        return span
    (low, high), room = span, (span[1] - span[0]) / 2
    lowest, highest = float(intervals["quality_low"].min()), float(intervals["quality_high"].max())
    return min(low, max(lowest, low - room)), max(high, min(highest, high + room))
