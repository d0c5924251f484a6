"""The charts of a study, as plotly figures that a page or an app embeds.

Each takes what it draws ready-made from ``plane``, ``tables`` or ``progress``; nothing is worked out
here but places and looks. Charts of a study without data are empty figures that say so.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.labels import place_labels
from tracker.report.plane import Plane, escape, study_plane
from tracker.report.progress import hypervolume_over_spend
from tracker.report.style import (
    BASELINE,
    DOMINATED,
    FRONTIER,
    STATE_COLOURS,
    hardware_symbols,
    precision_colours,
    template,
)
from tracker.report.tables import spend_by_state
from tracker.report.words import percent, several, usd
from tracker.store.run_table import StudyTable

SVG_POINTS = 2000  # beyond, browsers draw SVG slowly and WebGL takes over
PLAIN_DOLLARS = "$,.10~f"  # as many digits as it takes, and never "m" or "μ"
SMALL_CHART_PIXELS = (560.0, 330.0)  # the plot area of the narrowest page that labels must suit


def frontier_figure(table: StudyTable, height: int = 540) -> go.Figure:
    """Quality against price: every checkpoint, the frontier as a step line, baselines as stars."""
    plane = study_plane(table)
    if plane.points.empty and plane.references.empty:
        return _empty_figure("No checkpoint has been reached yet", height)
    figure = go.Figure(layout=_frontier_layout(plane, height, table.study))
    symbols = hardware_symbols(sorted(plane.points["hardware"].unique(), key=_natural))
    _add_dominated(figure, plane, symbols)  # first, so that nothing else is covered by it
    _add_frontier_line(figure, plane)
    _add_frontier_points(figure, plane, symbols)
    _add_references(figure, plane)
    _add_symbol_legend(figure, symbols)
    return figure


def frontier_caption(table: StudyTable) -> str:
    """What the frontier chart shows and what it leaves out, in words; plain text."""
    trials = table.runs[table.runs["role"] == "trial"]
    unseen = trials[~trials["run_id"].isin(table.checkpoints["run_id"])]
    failed = trials[trials["state"].isin(["failed", "killed"])]
    words = [
        "Every point is a checkpoint that a trial reached; #12 e3 is trial 12 after epoch 3.",
        "The line goes through those that no other beats in both price and quality; the others are grey.",
    ]
    if len(unseen):
        words.append(
            f"{several(len(unseen), 'trial')} without a checkpoint {'is' if len(unseen) == 1 else 'are'} not drawn;"
            f" the {usd(float(unseen['price_usd'].sum()))} spent there count."
        )
    if len(failed):
        words.append(
            f"The spend includes {usd(float(failed['price_usd'].sum()))} of {several(len(failed), 'trial')}"
            " that failed or were killed."
        )
    return " ".join(words)


def spend_figure(table: StudyTable) -> go.Figure:
    """What the study spent, one bar for each state that its runs ended in."""
    spend = spend_by_state(table)
    if spend.empty:
        return _empty_figure("Nothing has been spent yet", 160)
    texts = [
        f"{usd(row['spend_usd'])} · {percent(row['share'])} · {several(row['runs'], 'run')}"
        for row in spend.to_dict("records")
    ]
    bars = go.Bar(
        x=spend["spend_usd"],
        y=[f"{escape(str(state))} " for state in spend["state"]],
        orientation="h",
        text=texts,
        textposition="outside",
        cliponaxis=False,
        marker={"color": [STATE_COLOURS.get(str(state), FRONTIER) for state in spend["state"]]},
        hoverinfo="skip",
        width=0.62,
    )
    figure = go.Figure(bars, layout=_layout(70 + 34 * len(spend)))
    # Room for the longest text to the right of the longest bar.
    figure.update_xaxes(range=[0, max(float(spend["spend_usd"].max()) * 1.75, 1e-12)], visible=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="")
    return figure.update_layout(margin={"t": 8, "b": 8})


def hypervolume_figure(table: StudyTable, height: int = 300) -> go.Figure:
    """How much better the frontier became with every dollar; flat means that money bought nothing."""
    progress = hypervolume_over_spend(table)
    if progress.empty:
        return _empty_figure("No checkpoint has been reached yet", height)
    line = go.Scatter(
        x=progress["spend_usd"],
        y=progress["hypervolume"],
        mode="lines",
        line={"shape": "hv", "width": 2, "color": STATE_COLOURS["completed"]},
        fill="tozeroy",
        fillcolor="rgba(42, 127, 184, 0.12)",
        text=[usd(spent) for spent in progress["spend_usd"]],
        hovertemplate="%{text} spent<br>hypervolume %{y:.4f}<extra></extra>",
    )
    figure = go.Figure(line, layout=_layout(height))
    figure.update_xaxes(title_text="spent so far, US dollars", tickformat=PLAIN_DOLLARS, rangemode="tozero", nticks=7)
    figure.update_yaxes(title_text="hypervolume", rangemode="tozero")
    return figure.update_layout(uirevision=table.study)


def _layout(height: int) -> dict[str, object]:
    return {
        "template": template(),
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 24, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
    }


def _empty_figure(message: str, height: int) -> go.Figure:
    figure = go.Figure(layout=_layout(height))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.add_annotation(
        text=message, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 16}
    )


def _frontier_layout(plane: Plane, height: int, study: str) -> dict[str, object]:
    above = {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "bottom"}
    better = "better →" if plane.direction == Direction.MAXIMIZE else "← better"
    return {
        **_layout(height),
        "margin": {"l": 8, "r": 16, "t": 76, "b": 8},
        "showlegend": True,
        "legend": {**above, "y": 1.075, "itemsizing": "constant"},
        "legend2": {**above, "y": 1.005, "itemclick": False, "itemdoubleclick": False, "itemsizing": "constant"},
        "dragmode": "zoom",
        "uirevision": study,
        "xaxis": {
            "type": "log",
            "range": list(_log_range(plane)),
            "tickformat": PLAIN_DOLLARS,
            "tickangle": 0,
            "nticks": _tick_count(*_log_range(plane)),
            "title": {"text": "← cheaper · price in US dollars, logarithmic"},
        },
        "yaxis": {"range": list(_quality_range(plane)), "title": {"text": f"{plane.metric} · {better}"}},
    }


def _log_range(plane: Plane) -> tuple[float, float]:
    low, high = (math.log10(price) for price in plane.price_range_usd)
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
    points = plane.points[~plane.points["on_frontier"]]
    if points.empty:
        return
    scatter = go.Scatter if len(points) <= SVG_POINTS else go.Scattergl
    figure.add_trace(
        scatter(
            x=points["price_usd"],
            y=points["quality"],
            mode="markers",
            name="dominated",
            legendrank=2000,
            marker={"color": DOMINATED, "size": 7, "symbol": [symbols[name] for name in points["hardware"]]},
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
    figure.add_trace(go.Scatter(x=frontier["price_usd"], y=frontier["quality"], name="frontier", line=line, **skip))
    beyond = [frontier["price_usd"].iloc[-1], 10 ** _log_range(plane)[1]]
    best = [frontier["quality"].iloc[-1]] * 2
    figure.add_trace(go.Scatter(x=beyond, y=best, line={**line, "dash": "dot"}, showlegend=False, **skip))


def _add_frontier_points(figure: go.Figure, plane: Plane, symbols: dict[str, str]) -> None:
    frontier = plane.frontier.reset_index(drop=True)
    sides = _label_sides(plane, frontier)
    colours = precision_colours(frontier["precision"])
    for precision, colour in colours.items():
        points = frontier[frontier["precision"] == precision]
        figure.add_trace(
            go.Scatter(
                x=points["price_usd"],
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
    xs = [(math.log10(price) - left) / (right - left) * width for price in frontier["price_usd"]]
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
    for row in plane.references.itertuples(index=False):
        figure.add_hline(y=row.quality, line={"color": BASELINE, "dash": "dash", "width": 1.5}, layer="below")
        figure.add_trace(
            go.Scatter(
                x=[row.price_usd],
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
