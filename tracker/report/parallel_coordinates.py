"""Every trial as a line through its knobs, its price and its quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from tracker.records import Direction
from tracker.report.figures import chart_layout, empty_figure
from tracker.report.knob_levels import is_numeric, knob_levels
from tracker.report.plane import escape, shorten
from tracker.report.tables import trial_checkpoints
from tracker.report.words import setting, several
from tracker.store.run_table import StudyTable

MOST_LINES = 1500
"""Of more trials, those off the frontier are sampled."""
NO_VALUE = "none"
LINE_SCALE = [[0.0, "#a4acb5"], [0.55, "#2a7fb8"], [1.0, "#d55e00"]]
"""From grey over blue to orange: thin lines stand out on light and dark pages, also for colour-blind people."""
_LOG_SPAN = 30.0
_AXIS_WIDTH = 92
"""The least pixels between two axes, so that their names do not overlap; a narrower page scrolls."""
_TICKS = 5
_MOST_TICKS = 8


@dataclass(frozen=True)
class ParallelTrials:
    """The trials of parallel coordinates, at their last checkpoints: ``rows`` drawn of ``known``.

    ``rows``: trial, epoch, one column a knob, price_usd, quality, on_frontier (whether any checkpoint of it is).
    """

    rows: pd.DataFrame
    knobs: list[str]
    known: int

    @property
    def sentence(self) -> str:
        """A sentence about the lines and the sample."""
        if len(self.rows) == self.known:
            return f"{several(self.known, 'trial')} at the last checkpoint of each."
        drawn = f"{len(self.rows):,} of {several(self.known, 'trial')}"
        return f"{drawn}: all that are on the frontier, and a random sample of the others."


def parallel_trials(table: StudyTable, knobs: Sequence[str], most: int = MOST_LINES) -> ParallelTrials:
    """The trials with a checkpoint; of more than ``most``, those on the frontier and a sample of the others."""
    points = trial_checkpoints(table)
    on_frontier = np.zeros(len(table.runs), dtype=np.bool_)
    on_frontier[points.loc[points["on_frontier"].to_numpy(dtype=np.bool_), "run"].to_numpy(dtype=np.intp)] = True
    lasts = points[points["last"].to_numpy(dtype=np.bool_)]
    rows = lasts[["run", "trial", "epoch"]].reset_index(drop=True)
    rows[list(knobs)] = table.settings[list(knobs)].take(rows["run"].to_numpy()).to_numpy()
    rows[["price_usd", "quality"]] = lasts[["price_usd", "quality"]].to_numpy()
    rows["on_frontier"] = on_frontier[rows["run"].to_numpy(dtype=np.intp)]
    known = len(rows)
    if known > most:
        best = rows[rows["on_frontier"]]
        others = rows[~rows["on_frontier"]].sample(max(0, most - len(best)), random_state=0)
        rows = pd.concat([best, others]).sort_index()
    return ParallelTrials(rows.drop(columns="run").reset_index(drop=True), list(knobs), known)


def parallel_figure(table: StudyTable, trials: ParallelTrials) -> go.Figure:
    """Parallel coordinates: one line per trial through its knobs, price and quality; quality is the colour."""
    rows = trials.rows
    if rows.empty:
        return empty_figure("No trial has reached a checkpoint yet", 160)
    best_last = rows.sort_values("quality", ascending=table.quality.direction is Direction.MAXIMIZE, kind="stable")
    price = table.unit.of(best_last["price_usd"].to_numpy(dtype=np.float64))
    dimensions = [_knob_axis(name, best_last[name]) for name in trials.knobs]
    dimensions.append(_number_axis(f"price, {table.unit.symbol.strip()}", price))
    dimensions.append(_number_axis(table.quality.name, best_last["quality"].to_numpy(dtype=np.float64)))
    lines = go.Parcoords(
        dimensions=dimensions,
        line={
            "color": best_last["quality"],
            "colorscale": LINE_SCALE,
            "reversescale": table.quality.direction is Direction.MINIMIZE,
        },
        labelfont={"size": 13},
        tickfont={"size": 11},
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},  # the ends of an axis have ticks
        unselected={"line": {"color": "#8a8f98", "opacity": 0.06}},
    )
    layout = {**chart_layout(440), "margin": {"l": 70, "r": 60, "t": 60, "b": 24}}
    return go.Figure(lines, layout={**layout, "meta": {"least_width": _AXIS_WIDTH * len(dimensions)}})


def _knob_axis(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    if is_numeric(values) and values.nunique() > 4:
        return _number_axis(name, pd.to_numeric(values).to_numpy(dtype=np.float64))
    levels = knob_levels(values, 12)
    missing = bool((levels.codes < 0).any())
    names = [NO_VALUE] * missing + levels.names
    return {
        "label": _label(name),
        "values": levels.codes,
        "tickvals": list(range(-missing, len(levels.names))),
        "ticktext": [escape(shorten(each, 14)) for each in names],
        "range": [-missing - 0.4, len(levels.names) - 0.6] if len(names) > 1 else [-0.5, 0.5],
    }


def _number_axis(name: str, values: NDArray[np.float64]) -> dict[str, Any]:
    """A numeric axis, logarithmic where the values span much; missing values are below the others."""
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    log = low > 0 and high / low >= _LOG_SPAN
    distinct = np.unique(known)
    scaled = np.log10(np.where(values > 0, values, np.nan)) if log else values
    low, high = (math.log10(low), math.log10(high)) if log else (low, high)
    shown = distinct if len(distinct) <= _MOST_TICKS else _between(low, high, log)
    ticks, texts = np.log10(shown) if log else shown, [_tick(value) for value in shown]
    room = (high - low) * 0.06 or abs(low) * 0.1 or 1.0
    if len(known) < len(values):
        scaled = np.where(np.isfinite(scaled), scaled, low - 2 * room)
        ticks, texts, low = np.append(ticks, low - 2 * room), [*texts, NO_VALUE], low - 2 * room
    axis = {"label": _label(name), "values": scaled, "tickvals": ticks, "ticktext": texts}
    return {**axis, "range": [low - room / 3, high + room / 3]}


def _between(low: float, high: float, log: bool) -> NDArray[np.float64]:
    """A few tick values along an axis, whose ends are logarithms where it is ``log``."""
    ticks = np.linspace(low, high, _TICKS)
    return 10**ticks if log else ticks


def _tick(value: float) -> str:
    """Three significant digits, and all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else setting(float(f"{value:.3g}"))


def _label(name: str) -> str:
    return escape(shorten(name, 16))
