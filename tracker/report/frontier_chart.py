"""The chart of quality against price, or of any pair of axes: a ``plane`` drawn with plotly.

Computes only positions and styles.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.axes import Axes
from tracker.report.figures import empty_figure
from tracker.report.labels import label_sides
from tracker.report.plane import Plane, study_plane
from tracker.report.plane_caption import frontier_caption
from tracker.report.plane_layout import plane_layout, x_axis_range, xs_of, y_axis_range
from tracker.report.plane_marks import SELECTED, add_curves, add_selected, add_wanted
from tracker.report.style import BASELINE, DOMINATED, FRONTIER, INTERVAL, hardware_symbols, precision_colours
from tracker.store.run_table import StudyTable

__all__ = ["frontier_caption", "frontier_figure", "plane_figure"]

SMALL_CHART_PIXELS = (560.0, 330.0)  # the plot area on the narrowest page that labels must fit


def frontier_figure(table: StudyTable, height: int = 540, axes: Axes | None = None) -> go.Figure:
    """Quality against price: every checkpoint, the frontier as a step line, baselines as stars.

    Very many dominated checkpoints are thinned to a sample that keeps their cloud's shape (thinning.thinned). Raises
    RequestError for axes that the study has no figures for.
    """
    return plane_figure(study_plane(table, axes), height)


def plane_figure(plane: Plane, height: int = 540) -> go.Figure:
    """The chart of a given plane, with its selection, curves, target and budget."""
    if plane.drawn.empty and plane.references.empty:
        left_out = plane.found.left_out
        message = "No checkpoint has been reached yet" if not left_out else "No checkpoint has figures of both axes"
        return empty_figure(message, height)
    figure = go.Figure(layout=plane_layout(plane, height))
    symbols = hardware_symbols(sorted(plane.drawn["hardware"].unique(), key=_natural))
    _add_dominated(figure, plane, symbols)  # first, so that it covers nothing else
    add_curves(figure, plane)
    _add_frontier_line(figure, plane)
    add_wanted(figure, plane)
    _add_intervals(figure, plane)
    _add_frontier_points(figure, plane, symbols)
    _add_references(figure, plane)
    add_selected(figure, plane)
    for name, symbol in symbols.items():
        _add_legend(figure, name, {"color": FRONTIER, "size": 9, "symbol": symbol}, rank=3000)
    # Selected points get rings; plotly must not dim the others.
    kept = {"unselected": {"marker": {"opacity": 1}}, "selected": {"textfont": {"color": SELECTED}}}
    return figure.update_traces(kept, selector=lambda trace: trace.customdata is not None)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts 2 threads before 16."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in name.split()]


def _add_dominated(figure: go.Figure, plane: Plane, symbols: dict[str, str]) -> None:
    """Points off the frontier: grey where dominated, hollow where outside the study's limits."""
    others = plane.drawn[~plane.drawn["on_frontier"].astype(bool)]
    outside = (others["missed"] != "").to_numpy(dtype=np.bool_)
    for name, points, suffix in (("dominated", others[~outside], ""), ("outside the limits", others[outside], "-open")):
        if points.empty:
            continue
        look = {"color": DOMINATED, "size": 7}
        _add_legend(figure, name, {**look, "symbol": f"circle{suffix}"}, rank=2000)
        figure.add_trace(
            go.Scatter(
                x=xs_of(plane, points),
                y=points["y"],
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=False,
                marker={
                    **look,
                    "symbol": [symbols[hardware] + suffix for hardware in points["hardware"]],
                },
                **_hover_data(points),
            )
        )


def _hover_data(points: pd.DataFrame) -> dict[str, object]:
    """A trace's hover texts, and the keys that a selection returns."""
    return {"customdata": points["key"], "hovertext": points["hover"], "hoverinfo": "text"}


def _add_frontier_line(figure: go.Figure, plane: Plane) -> None:
    """A step line: between two points, the left one is the best that money buys."""
    frontier = plane.frontier
    if frontier.empty:
        return
    line = {"shape": "hv", "width": 2, "color": FRONTIER}
    skip = {"mode": "lines", "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=xs_of(plane, frontier), y=frontier["y"], name="frontier", line=line, **skip))
    end = x_axis_range(plane)[1]
    beyond = [xs_of(plane, frontier)[-1], 10**end if plane.axes.x_log else end]
    best = [frontier["y"].iloc[-1]] * 2
    figure.add_trace(go.Scatter(x=beyond, y=best, line={**line, "dash": "dot"}, showlegend=False, **skip))


def _add_intervals(figure: go.Figure, plane: Plane) -> None:
    """Whiskers where trials were repeated: the mean of each frontier point and its interval."""
    intervals = plane.intervals
    if intervals.empty:
        return
    mean = intervals["quality_mean"]
    figure.add_trace(
        go.Scatter(
            x=xs_of(plane, intervals),
            y=mean,
            mode="markers",
            name="mean of repeats, 95 %",
            marker={"symbol": "line-ew-open", "size": 12, "color": INTERVAL, "line": {"width": 2.5}},
            error_y={
                "array": intervals["quality_high"] - mean,
                "arrayminus": mean - intervals["quality_low"],
                "color": INTERVAL,
                "thickness": 1.2,
                "width": 4,
            },
            **_hover_data(intervals),
        )
    )


def _add_frontier_points(figure: go.Figure, plane: Plane, symbols: dict[str, str]) -> None:
    frontier = plane.frontier
    sides = _sides(plane, frontier)
    colours = precision_colours(frontier["precision"])
    for precision, colour in colours.items():
        points = frontier[frontier["precision"] == precision]
        _add_legend(figure, precision, {"color": colour, "size": 11, "symbol": "circle"})
        figure.add_trace(
            go.Scatter(
                x=xs_of(plane, points),
                y=points["y"],
                mode="markers+text",
                name=precision,
                legendgroup=precision,
                showlegend=False,
                marker={
                    "color": colour,
                    "size": 11,
                    "symbol": [symbols[name] for name in points["hardware"]],
                    "line": {"width": 1, "color": "#ffffff"},
                },
                text=[short if at in sides else "" for at, short in zip(points.index, points["short"], strict=True)],
                textposition=[sides.get(at, "top left") for at in points.index],
                textfont={"size": 11},
                cliponaxis=False,  # on a phone, a label may cross the axis: do not clip it
                **_hover_data(points),
            )
        )


def _sides(plane: Plane, frontier: pd.DataFrame) -> dict[int, str]:
    """The side of each frontier point that its label goes to, by its position in a small chart."""
    (left, right), (bottom, top) = x_axis_range(plane), y_axis_range(plane)
    width, height = SMALL_CHART_PIXELS
    xs, ys = xs_of(plane, frontier), frontier["y"].to_numpy(dtype=np.float64)
    xs = np.log10(xs) if plane.axes.x_log else xs
    ys = np.log10(ys) if plane.y_log else ys
    return label_sides(
        ((xs - left) / (right - left) * width).tolist(),
        ((ys - bottom) / (top - bottom) * height).tolist(),
        list(frontier["short"]),
        limits=SMALL_CHART_PIXELS,
        upwards=plane.direction == Direction.MAXIMIZE,
    )


def _add_references(figure: go.Figure, plane: Plane) -> None:
    for x, row in zip(xs_of(plane, plane.references), plane.references.itertuples(index=False), strict=True):
        figure.add_hline(y=row.y, line={"color": BASELINE, "dash": "dash", "width": 1.5}, layer="below")
        figure.add_trace(
            go.Scatter(
                x=[x],
                y=[row.y],
                mode="markers",
                name=f"baseline: {row.name}",
                marker={"symbol": "star", "size": 17, "color": BASELINE, "line": {"width": 1, "color": "#5c4500"}},
                customdata=[row.key],
                hovertext=[row.hover],
                hoverinfo="text",
            )
        )


def _add_legend(figure: go.Figure, name: str, marker: dict[str, object], rank: int = 1000) -> None:
    """A legend entry of its own, because colours and symbols combine; a click on it hides the points of that name."""
    figure.add_trace(
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=name,
            legendgroup=name,
            legendrank=rank,
            marker=marker,
            hoverinfo="skip",
        )
    )
