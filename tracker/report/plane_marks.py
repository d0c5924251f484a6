"""Optional marks on the frontier chart: runs as curves, a target and a budget, a selection."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.axes import y_words
from tracker.report.hovers import escape
from tracker.report.plane import Plane
from tracker.report.plane_layout import xs_of
from tracker.report.style import DOMINATED

TARGET = "#7b6fd0"
SELECTED = "#d6337f"


def add_curves(figure: go.Figure, plane: Plane) -> None:
    """Runs as curves, from checkpoint to checkpoint; those of the selection stand out."""
    for selected, name in ((False, "runs"), (True, "selected run")):
        rows = plane.curves[plane.curves["selected"].astype(bool) == selected]
        if rows.empty:
            continue
        ends = np.flatnonzero(np.diff(rows["run"].to_numpy())) + 1  # a gap after each run
        figure.add_trace(
            go.Scatter(
                x=np.insert(xs_of(plane, rows), ends, np.nan),
                y=np.insert(rows["y"].to_numpy(dtype=np.float64), ends, np.nan),
                mode="lines",
                name=name,
                legendrank=2001,
                connectgaps=False,
                line={"width": 2 if selected else 1, "color": SELECTED if selected else DOMINATED},
                hoverinfo="skip",
            )
        )


def add_wanted(figure: go.Figure, plane: Plane) -> None:
    """The target and the budget as lines across the chart, each with its figure."""
    line = {"color": TARGET, "dash": "dashdot", "width": 1.5}
    label = {"font": {"size": 11, "color": TARGET}, "showarrow": False}
    maximised = plane.direction == Direction.MAXIMIZE
    if plane.target is not None and (plane.target > 0 or not plane.y_log):
        figure.add_hline(y=plane.target, line=line, layer="below")
        figure.add_annotation(
            text=f"target {y_words(plane.target)}",
            xref="paper",
            x=1,
            xanchor="right",
            y=_place(plane.target, log=plane.y_log),
            yanchor="top" if maximised else "bottom",
            **label,
        )
    if plane.budget is not None:
        at = float(plane.x_measure.of(np.asarray([plane.budget]))[0])
        figure.add_vline(x=at, line=line, layer="below")
        figure.add_annotation(
            text=f"budget {escape(plane.x_measure.words(plane.budget))}",
            x=_place(at, log=plane.axes.x_log),
            xanchor="left",
            xshift=4,
            yref="paper",
            y=0 if maximised else 1,
            yanchor="bottom" if maximised else "top",
            **label,
        )


def _place(value: float, *, log: bool) -> float:
    """The position of an annotation: on a logarithmic axis, the exponent of ten."""
    return math.log10(value) if log else value


def add_selected(figure: go.Figure, plane: Plane) -> None:
    """A ring around each selected point."""
    rows = plane.drawn[plane.drawn["selected"].astype(bool)]
    if rows.empty:
        return
    ring = {"symbol": "circle-open", "size": 18, "color": SELECTED, "line": {"width": 2.5}}
    figure.add_trace(
        go.Scatter(
            x=xs_of(plane, rows), y=rows["y"], mode="markers", showlegend=False, marker=ring, hoverinfo="skip",
        )
    )  # fmt: skip
