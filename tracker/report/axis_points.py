"""The checkpoints of a study's trials on a pair of axes, and the frontier on those axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.frontier.pareto import POINT, frontier_mask, slope_per_point
from tracker.records import Direction, Role
from tracker.report.axes import Axes, Measure, checked, costs, x_measure, y_direction
from tracker.report.tables import certainty_of, keeps_limits
from tracker.store.run_table import StudyTable

COLUMNS = ["run", "trial", "epoch", "quality", "price_usd", "wall_seconds"]


@dataclass(frozen=True, eq=False)
class AxisPoints:
    """The checkpoints of a study's trials on a pair of axes.

    ``points``: one row a checkpoint that has both figures, x above zero: at (its row in table.checkpoints), run (its
    row in table.runs), trial, epoch, x, y, quality, price_usd, wall_seconds, kept (it keeps the study's limits) and
    on_frontier. x is in USD, seconds, joules or grams. ``left_out`` counts the checkpoints without a place.
    ``wall_limit`` is the time in seconds that all of them were reached in, where there is such a bound.
    """

    table: StudyTable
    axes: Axes
    metric: str
    direction: Direction
    points: pd.DataFrame
    left_out: int
    x_measure: Measure
    wall_limit: float = math.inf

    @property
    def sign(self) -> float:
        """1 where more of y is better, -1 where less is."""
        return 1.0 if self.direction is Direction.MAXIMIZE else -1.0

    @cached_property
    def frontier(self) -> pd.DataFrame:
        """The non-dominated points by rising x, with run_id, short ("#12 e3") and x_per_step.

        x_per_step is what ``step`` more of y costs on the way from the row before; NaN in the first.
        """
        rows = self.points[self.points["on_frontier"]].sort_values("x", ignore_index=True)
        slopes = slope_per_point(rows["y"], rows["x"], self.direction) if len(rows) else np.empty(0)
        step = _step(rows["y"], self.metric == self.table.quality.name)
        return rows.assign(
            run_id=run_ids(self.table, rows), short=short_names(rows), x_per_step=slopes * (step / POINT)
        )

    @cached_property
    def step(self) -> float:
        """What one more point of y is: 0.01, and for a metric on another scale a power of ten below its span."""
        return _step(self.frontier["y"], self.metric == self.table.quality.name)

    @cached_property
    def certainty(self) -> pd.DataFrame:
        """report.tables.certainty_of where the axes are the study's own, else empty."""
        if not self.axes.is_of_study(self.table):
            return pd.DataFrame(columns=["trial", "epoch"])
        return certainty_of(self.table)

    def within(self, wall_seconds: float) -> AxisPoints:
        """Only the checkpoints that were reached in so many seconds, with the frontier among these."""
        points = self.points[self.points["wall_seconds"].to_numpy() <= wall_seconds]
        return replace(self.of(points), wall_limit=wall_seconds)

    def of(self, points: pd.DataFrame) -> AxisPoints:
        """Other ``points`` on the same axes, with the frontier among these; they may have more columns."""
        points = points.reset_index(drop=True)
        return replace(self, points=points.assign(on_frontier=_on_frontier(points, self.direction)))

    @property
    def is_predicted(self) -> bool:
        """Whether the points are predictions of other hardware (report.predicted_candidates), in column on."""
        return "on" in self.points


def axis_points(table: StudyTable, axes: Axes | None = None) -> AxisPoints:
    """The checkpoints of trials on ``axes`` (price and quality by default), and which are non-dominated.

    Raises RequestError for an unknown x or y, with the known ones.
    """
    axes = checked(table, axes or Axes())
    metric = axes.y or table.quality.name
    direction = y_direction(table, metric)
    if axes.turned:
        direction = Direction.MINIMIZE if direction is Direction.MAXIMIZE else Direction.MAXIMIZE
    steps = table.checkpoints
    at = np.flatnonzero((steps["role"] == Role.TRIAL).to_numpy())
    points = steps[COLUMNS].take(at).assign(at=at)
    points["x"], points["y"] = costs(table, axes, points), _metric(table, metric, points)
    x, y, quality, price = (points[name].to_numpy(dtype=np.float64) for name in ("x", "y", "quality", "price_usd"))
    own = np.isfinite(quality) & np.isfinite(price)
    placed = own & np.isfinite(x) & (x > 0) & np.isfinite(y)
    points = points[placed].reset_index(drop=True)
    points["kept"] = keeps_limits(points["at"].to_numpy(), table)
    points["on_frontier"] = _on_frontier(points, direction)
    measure = x_measure(table, axes, points["x"].to_numpy())
    return AxisPoints(table, axes, metric, direction, points, int((own & ~placed).sum()), measure)


def reference_points(found: AxisPoints) -> pd.DataFrame:
    """The baselines on the axes, one row each, at their last checkpoint.

    Columns: name, run, run_id, epoch, x, y, quality, price_usd, wall_seconds, and dominates: how many of the
    frontier's points cost at least as much and are no better.
    """
    table, frontier = found.table, found.frontier
    rows = table.checkpoints[table.checkpoints["role"] == Role.BASELINE]
    rows = rows.assign(at=rows.index).sort_values("epoch", kind="stable").groupby("run", sort=False).tail(1)
    rows = rows.assign(x=costs(table, found.axes, rows), y=_metric(table, found.metric, rows))
    rows = rows[np.isfinite(rows[["x", "y"]].to_numpy(dtype=np.float64)).all(axis=1) & (rows["x"] > 0)]
    dominated = []
    for x, y in zip(rows["x"], rows["y"], strict=True):
        gain, saving = found.sign * (y - frontier["y"]), frontier["x"] - x
        dominated.append(int(((gain >= 0) & (saving >= 0) & ((gain > 0) | (saving > 0))).sum()))
    named = rows.rename(columns={"label": "name"})
    named = named.assign(name=named["name"].astype(object), run_id=run_ids(table, named))
    columns = ["name", "run", "run_id", "epoch", "x", "y", "quality", "price_usd", "wall_seconds"]
    found_rows: pd.DataFrame = named[columns].reset_index(drop=True)
    return found_rows.assign(dominates=np.asarray(dominated, dtype=np.int64))


def dominators(found: AxisPoints, points: pd.DataFrame) -> pd.DataFrame:
    """For each of ``points`` [n] (x, y), the best frontier point that dominates it.

    Columns, [n] rows: winner (its row in ``found.frontier``, -1 where none dominates), gain (in y, with y's unit and
    sign) and saving (a share of x, from 0 to 1).
    """
    frontier = found.frontier
    x, y = points["x"].to_numpy(dtype=np.float64), points["y"].to_numpy(dtype=np.float64)
    if frontier.empty:
        return pd.DataFrame({"winner": np.full(len(x), -1), "gain": 0.0, "saving": 0.0})
    at = np.searchsorted(frontier["x"].to_numpy(), x, side="right") - 1
    gain = frontier["y"].to_numpy()[at] - y
    saving = 1 - frontier["x"].to_numpy()[at] / x
    beaten = (at >= 0) & ((found.sign * gain > 0) | ((gain == 0) & (saving >= 0)))
    return pd.DataFrame({"winner": np.where(beaten, at, -1), "gain": gain, "saving": saving})


def run_ids(table: StudyTable, points: pd.DataFrame) -> list[str]:
    """The MLflow run ids of points."""
    return table.runs["run_id"].take(points["run"].to_numpy()).astype(object).tolist()


def short_names(points: pd.DataFrame) -> list[str]:
    """Each checkpoint's short name: #12 e3 is trial 12 after epoch 3; a predicted one says where."""
    names = [f"#{trial} e{epoch}" for trial, epoch in zip(points["trial"], points["epoch"], strict=True)]
    return [f"{name} on {on}" for name, on in zip(names, points["on"], strict=True)] if "on" in points else names


def point_key(run_id: str, epoch: int) -> str:
    """The key of a checkpoint in a link and in a chart's customdata.

    >>> point_key("0a1b", 3)
    '0a1b@3'
    """
    return f"{run_id}@{epoch}"


def parse_key(key: str) -> tuple[str, int | None]:
    """The run id and the epoch of ``point_key``; None where it names no epoch.

    >>> parse_key("0a1b@3"), parse_key("0a1b")
    (('0a1b', 3), ('0a1b', None))
    """
    run_id, at, epoch = key.rpartition("@")
    return (run_id, int(epoch)) if at and epoch.isdecimal() else (key, None)


def _on_frontier(points: pd.DataFrame, direction: Direction) -> NDArray[np.bool_]:
    """Which of ``points`` [n] are non-dominated among those that keep the study's limits."""
    kept = points["kept"].to_numpy(dtype=np.bool_)
    on_frontier = np.zeros(len(points), dtype=np.bool_)
    on_frontier[kept] = frontier_mask(points["y"].to_numpy()[kept], points["x"].to_numpy()[kept], direction)
    return on_frontier


def _metric(table: StudyTable, metric: str, points: pd.DataFrame) -> NDArray[np.float64]:
    """A metric at ``points`` [n]; NaN where a checkpoint lacks it."""
    if metric == table.quality.name:
        return points["quality"].to_numpy(dtype=np.float64)
    values: NDArray[np.float64] = table.metrics[metric][points["at"].to_numpy()]
    return values


def _step(y: pd.Series[float], is_quality: bool) -> float:
    span = float(y.max() - y.min()) if len(y) else 0.0
    if is_quality or not math.isfinite(span) or span <= 2:
        return POINT
    return float(10 ** math.floor(math.log10(span / 10)))
