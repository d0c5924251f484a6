"""What a person asked to see on the frontier chart: runs as curves, a target and a budget, a selection."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.axes import y_words
from tracker.report.hovers import escape
from tracker.report.plane import Plane
from tracker.report.plane_layout import xs_of
from tracker.report.style import DOMINATED

TARGET = "#7b6fd0"
SELECTED = "#c2185b"


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
    """The target and the budget as lines across the chart."""
    line = {"color": TARGET, "dash": "dashdot", "width": 1.5}
    label = {"font": {"size": 11, "color": TARGET}, "showarrow": False}
    if plane.target is not None:
        text = f"target {y_words(plane.target)}"
        side = "bottom right" if plane.direction == Direction.MAXIMIZE else "top right"
        figure.add_hline(
            y=plane.target, line=line, layer="below", annotation={**label, "text": text}, annotation_position=side
        )
    if plane.budget is not None:
        text = f"budget {escape(plane.x_measure.words(plane.budget))}"
        at = float(plane.x_measure.of(np.asarray([plane.budget]))[0])
        figure.add_vline(
            x=at, line=line, layer="below", annotation={**label, "text": text}, annotation_position="bottom right"
        )


def add_selected(figure: go.Figure, plane: Plane) -> None:
    """A ring around each selected point."""
    rows = plane.drawn[plane.drawn["selected"].astype(bool)]
    if rows.empty:
        return
    ring = {"symbol": "circle-open", "size": 18, "color": SELECTED, "line": {"width": 2.5}}
    figure.add_trace(
        go.Scatter(
            x=xs_of(plane, rows), y=rows["y"], mode="markers", name="selected", marker=ring, hoverinfo="skip",
            legendrank=2002,
        )
    )  # fmt: skip
