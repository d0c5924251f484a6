"""The chart of quality against price: what ``plane`` worked out, drawn with plotly.

Nothing is worked out here but places and looks.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from tracker.records import Direction
from tracker.report.figures import amount_ticks, chart_layout, empty_figure
from tracker.report.labels import place_labels
from tracker.report.plane import Plane, study_plane
from tracker.report.style import (
    BASELINE,
    DOMINATED,
    FRONTIER,
    INTERVAL,
    hardware_symbols,
    precision_colours,
)
from tracker.report.words import money, several
from tracker.store.run_table import StudyTable

SVG_POINTS = 2000  # beyond, browsers draw SVG slowly and WebGL takes over
SMALL_CHART_PIXELS = (560.0, 330.0)  # the plot area of the narrowest page that labels must suit


def frontier_figure(table: StudyTable, height: int = 540) -> go.Figure:
    """Quality against price: every checkpoint, the frontier as a step line, baselines as stars."""
    plane = study_plane(table)
    if plane.points.empty and plane.references.empty:
        return empty_figure("No checkpoint has been reached yet", height)
    figure = go.Figure(layout=_frontier_layout(plane, height))
    symbols = hardware_symbols(sorted(plane.points["hardware"].unique(), key=_natural))
    _add_dominated(figure, plane, symbols)  # first, so that nothing else is covered by it
    _add_frontier_line(figure, plane)
    _add_intervals(figure, plane)
    _add_frontier_points(figure, plane, symbols)
    _add_references(figure, plane)
    _add_symbol_legend(figure, symbols)
    return figure


def frontier_caption(table: StudyTable) -> str:
    """What the frontier chart shows and what it leaves out, in words; plain text."""
    trials = table.runs[table.runs["role"] == "trial"]
    unseen = ~trials["run_id"].isin(table.checkpoints["run_id"])
    limited = "" if not table.limits else "Hollow points are outside the study's limits, and never on the line."
    failed = trials["state"].isin(["failed", "killed"])
    words = [
        "Every point is a checkpoint that a trial reached; #12 e3 is trial 12 after epoch 3.",
        "The line goes through those that no other beats in both price and quality; the others are grey.",
    ]
    if failed.any():
        lost = money(float(trials.loc[failed, "price_usd"].sum()), table.unit)
        undrawn = int((failed & unseen).sum())
        words.append(
            f"{several(int(failed.sum()), 'trial')} failed or died, {undrawn} without a checkpoint to draw;"
            f" the {lost} that this cost is in the spend."
        )
    if (unseen & ~failed).any():
        words.append(f"Not drawn, having no checkpoint yet: {several(int((unseen & ~failed).sum()), 'trial')}.")
    repeated = (table.runs["role"] == "repeat").any()
    whiskers = "Whiskers are the means of repeats and their 95 % intervals; repeats are no points." if repeated else ""
    return " ".join(filter(None, [*words, whiskers, limited]))


def _frontier_layout(plane: Plane, height: int) -> dict[str, object]:
    above = {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "bottom"}
    better = "better →" if plane.direction == Direction.MAXIMIZE else "← better"
    return {
        **chart_layout(height),
        "margin": {"l": 8, "r": 16, "t": 76, "b": 8},
        "showlegend": True,
        "legend": {**above, "y": 1.075, "itemsizing": "constant"},
        "legend2": {**above, "y": 1.005, "itemclick": False, "itemdoubleclick": False, "itemsizing": "constant"},
        "dragmode": "zoom",
        "xaxis": {
            "type": "log",
            "range": list(_log_range(plane)),
            **amount_ticks(plane.unit),
            "tickangle": 0,
            "nticks": _tick_count(*_log_range(plane)),
            "title": {"text": f"← cheaper · price in {plane.unit.name}, logarithmic"},
        },
        "yaxis": {"range": list(_quality_range(plane)), "title": {"text": f"{plane.metric} · {better}"}},
    }


def _prices(plane: Plane, points: pd.DataFrame) -> NDArray[np.float64]:
    """What points cost, in the currency that is drawn."""
    return plane.unit.of(points["price_usd"].to_numpy(dtype=np.float64))


def _log_range(plane: Plane) -> tuple[float, float]:
    low, high = (math.log10(plane.unit.of(price)) for price in plane.price_range_usd)
    pad = max(0.07 * (high - low), 0.12)
    return low - pad, high + pad


def _tick_count(low: float, high: float) -> int:
    """The number to ask plotly for, so that a log axis gets ticks that are apart at any width.

    It draws 1, 2, 5 within a decade where span / count lies between 0.3 and 0.7, whole decades above,
    and 1, 2, 3, …, 9 below, which never fit. Under one decade its ticks are evenly spaced.
    """
    span = high - low
    if span < 1:
        return 4
    return 3 if span <= 2.1 else max(4, int(span / 0.71))


def _quality_range(plane: Plane) -> tuple[float, float]:
    low, high = plane.quality_range
    pad = max(0.07 * (high - low), 0.005 * max(abs(low), abs(high)), 1e-9)
    return low - pad, high + pad


def _natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts 2 threads before 16."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in name.split()]


def _add_dominated(figure: go.Figure, plane: Plane, symbols: dict[str, str]) -> None:
    """What is not on the frontier: grey where it is beaten, hollow where it is outside the study's limits."""
    others = plane.points[~plane.points["on_frontier"]]
    outside = others["missed"] != ""
    scatter = go.Scatter if len(others) <= SVG_POINTS else go.Scattergl
    for name, points, suffix in (("dominated", others[~outside], ""), ("outside the limits", others[outside], "-open")):
        if points.empty:
            continue
        figure.add_trace(
            scatter(
                x=_prices(plane, points),
                y=points["quality"],
                mode="markers",
                name=name,
                legendrank=2000,
                marker={
                    "color": DOMINATED,
                    "size": 7,
                    "symbol": [symbols[hardware] + suffix for hardware in points["hardware"]],
                },
                customdata=points["run_id"],
                hovertext=points["hover"],
                hoverinfo="text",
            )
        )


def _add_frontier_line(figure: go.Figure, plane: Plane) -> None:
    """A step line: between two points nothing better than the left one can be bought."""
    frontier = plane.frontier
    if frontier.empty:
        return
    line = {"shape": "hv", "width": 2, "color": FRONTIER}
    skip = {"mode": "lines", "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=_prices(plane, frontier), y=frontier["quality"], name="frontier", line=line, **skip))
    beyond = [_prices(plane, frontier)[-1], 10 ** _log_range(plane)[1]]
    best = [frontier["quality"].iloc[-1]] * 2
    figure.add_trace(go.Scatter(x=beyond, y=best, line={**line, "dash": "dot"}, showlegend=False, **skip))


def _add_intervals(figure: go.Figure, plane: Plane) -> None:
    """Whiskers where trials were repeated: the mean of each frontier point and its interval."""
    intervals = plane.intervals
    if intervals.empty:
        return
    mean = intervals["quality_mean"]
    figure.add_trace(
        go.Scatter(
            x=_prices(plane, intervals),
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
            customdata=intervals["run_id"],
            hovertext=intervals["hover"],
            hoverinfo="text",
        )
    )


def _add_frontier_points(figure: go.Figure, plane: Plane, symbols: dict[str, str]) -> None:
    frontier = plane.frontier.reset_index(drop=True)
    sides = _label_sides(plane, frontier)
    colours = precision_colours(frontier["precision"])
    for precision, colour in colours.items():
        points = frontier[frontier["precision"] == precision]
        figure.add_trace(
            go.Scatter(
                x=_prices(plane, points),
                y=points["quality"],
                mode="markers+text",
                name=precision,
                marker={
                    "color": colour,
                    "size": 11,
                    "symbol": [symbols[name] for name in points["hardware"]],
                    "line": {"width": 1, "color": "#ffffff"},
                },
                text=[short if at in sides else "" for at, short in zip(points.index, points["short"], strict=True)],
                textposition=[sides.get(at, "top left") for at in points.index],
                textfont={"size": 11},
                customdata=points["run_id"],
                hovertext=points["hover"],
                hoverinfo="text",
            )
        )


def _label_sides(plane: Plane, frontier: pd.DataFrame) -> dict[int, str]:
    """On which side of each frontier point its label goes: the side where nothing can lie, if it fits."""
    (left, right), (bottom, top) = _log_range(plane), _quality_range(plane)
    width, height = SMALL_CHART_PIXELS
    xs = [(math.log10(price) - left) / (right - left) * width for price in _prices(plane, frontier)]
    ys = [(quality - bottom) / (top - bottom) * height for quality in frontier["quality"]]
    empty_side = "top" if plane.direction == Direction.MAXIMIZE else "bottom"
    sides = [f"{empty_side} left", "middle left", f"{empty_side} center"]
    # The ends answer most questions; between them, the steps that cover the largest area.
    areas = [
        abs(ys[at] - ys[at - 1]) * (following - xs[at]) if 0 < at < len(xs) - 1 else math.inf
        for at, following in enumerate([*xs[1:], width])
    ]
    order = sorted(range(len(xs)), key=lambda at: -areas[at])
    return place_labels(list(zip(xs, ys, strict=True)), list(frontier["short"]), order, sides, (width, height))


def _add_references(figure: go.Figure, plane: Plane) -> None:
    for price, row in zip(_prices(plane, plane.references), plane.references.itertuples(index=False), strict=True):
        figure.add_hline(y=row.quality, line={"color": BASELINE, "dash": "dash", "width": 1.5}, layer="below")
        figure.add_trace(
            go.Scatter(
                x=[price],
                y=[row.quality],
                mode="markers",
                name=f"baseline: {row.name}",
                marker={"symbol": "star", "size": 17, "color": BASELINE, "line": {"width": 1, "color": "#5c4500"}},
                customdata=[row.run_id],
                hovertext=[row.hover],
                hoverinfo="text",
            )
        )


def _add_symbol_legend(figure: go.Figure, symbols: dict[str, str]) -> None:
    """A second legend that explains the symbols, for they cross the colours of the first."""
    for name, symbol in symbols.items():
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=name,
                legend="legend2",
                marker={"symbol": symbol, "color": FRONTIER, "size": 9},
                hoverinfo="skip",
            )
        )
