"""A heat map of two knobs: the best quality, or the lowest price of a target, for each pair of their values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.figures import chart_layout, empty_figure
from tracker.report.knob_levels import Levels, knob_levels
from tracker.report.plane import escape, shorten
from tracker.report.style import AXIS, SCALE
from tracker.report.tables import trial_checkpoints
from tracker.report.words import money, quality, several
from tracker.store.run_table import StudyTable

MOST_CELLS = 10
"""Levels along each side."""


@dataclass(frozen=True)
class KnobMap:
    """What trials reached with each pair of two knobs' levels.

    ``cells``: one row a pair that was tried: across, down (places in the levels), trials (that have a checkpoint),
    value: the best quality, or with a ``target`` the price in USD of the cheapest checkpoint that reaches it; NaN
    where none does.
    """

    across: Levels
    down: Levels
    cells: pd.DataFrame
    names: tuple[str, str]
    target: float | None

    @property
    def table(self) -> pd.DataFrame:
        """The cells in words, by both knobs."""
        value = "best quality" if self.target is None else "price_usd"
        rows = self.cells.sort_values(["down", "across"])
        return pd.DataFrame(
            {
                self.names[1]: [self.down.names[at] for at in rows["down"]],
                self.names[0]: [self.across.names[at] for at in rows["across"]],
                value: rows["value"].to_numpy(),
                "trials": rows["trials"].to_numpy(),
            }
        )


def knob_map(table: StudyTable, across: str, down: str, target: float | None = None) -> KnobMap:
    """The best quality, or the lowest price of ``target``, for each pair of levels of two different knobs.

    Counts all checkpoints of trials that keep the study's limits.
    """
    points = trial_checkpoints(table)
    points = points[points["kept"].to_numpy(dtype=np.bool_)]
    levels = [knob_levels(table.settings[name], MOST_CELLS) for name in (across, down)]
    runs = points["run"].to_numpy(dtype=np.intp)
    cells = pd.DataFrame({"run": runs, "across": levels[0].codes[runs], "down": levels[1].codes[runs]})
    cells["value"] = points["quality"].to_numpy()
    maximise = table.quality.direction is Direction.MAXIMIZE
    if target is not None:
        reached = points["quality"] >= target if maximise else points["quality"] <= target
        cells["value"] = points["price_usd"].where(reached).to_numpy()
    groups = cells[(cells["across"] >= 0) & (cells["down"] >= 0)].groupby(["across", "down"])
    best = groups["value"].max() if target is None and maximise else groups["value"].min()
    found = pd.DataFrame({"trials": groups["run"].nunique(), "value": best}).reset_index()
    return KnobMap(levels[0], levels[1], found, (across, down), target)


def knob_map_figure(table: StudyTable, found: KnobMap) -> go.Figure:
    """The heat map, with a value in each cell; untried pairs are blank."""
    if found.cells.empty:
        return empty_figure("No trial has reached a checkpoint yet", 160)
    shape = (len(found.down.names), len(found.across.names))
    values, texts, hovers = np.full(shape, np.nan), np.full(shape, "", object), np.full(shape, "", object)
    priced = found.target is not None
    for row in found.cells.to_dict("records"):
        at = (row["down"], row["across"])
        known = math.isfinite(row["value"])
        values[at] = (math.log10(row["value"]) if row["value"] > 0 else math.nan) if priced else row["value"]
        text = (money(row["value"], table.unit) if priced else quality(row["value"])) if known else "not reached"
        texts[at] = text
        hovers[at] = f"<b>{text}</b><br>{several(row['trials'], 'trial')}"
    better_low = priced or table.quality.direction is Direction.MINIMIZE
    grid = go.Heatmap(
        z=values,
        x=[escape(shorten(name, 18)) for name in found.across.names],
        y=[escape(shorten(name, 18)) for name in found.down.names],
        text=texts,
        texttemplate="%{text}",
        hovertext=hovers,
        hoverinfo="text",
        hoverongaps=False,
        colorscale=SCALE,
        reversescale=better_low,
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure = go.Figure(grid, layout=chart_layout(120 + 44 * shape[0]))
    across, down = (escape(shorten(name, 28)) for name in found.names)
    figure.update_xaxes(title_text=across, type="category", showgrid=False, showline=False, ticks="", side="bottom")
    figure.update_yaxes(title_text=down, type="category", showgrid=False, showline=False, ticks="", linecolor=AXIS)
    return figure


def default_pair(knobs: Sequence[str]) -> tuple[str, str] | None:
    """The knobs that the map starts with: size across and precision down where the study searches them."""
    wanted = [name for name in ("size", "precision") if name in knobs]
    pair = [*wanted, *(name for name in knobs if name not in wanted)]
    return (pair[0], pair[1]) if len(pair) > 1 else None
