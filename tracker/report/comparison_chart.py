"""The charts of a comparison: curves against dollars, cost parts as stacked bars, frontiers laid over each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tracker.records import CostPart, Direction
from tracker.report.comparison import Comparison
from tracker.report.figures import amount_ticks, chart_layout, empty_figure
from tracker.report.hovers import escape, shorten
from tracker.report.plane_layout import half_width_price_axis
from tracker.report.words import money, percent, quality

COLOURS = ("#2a7fb8", "#d55e00", "#009e73", "#cc79a7", "#c99700", "#56b4e9", "#7b6fd0", "#8c6d31")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
PART_COLOURS: Mapping[str, str] = {
    CostPart.DATA: "#56b4e9",
    CostPart.COMPUTE: "#2a7fb8",
    CostPart.STORAGE: "#c99700",
    CostPart.MAINTENANCE: "#7b6fd0",
}
PART_PATTERNS: Mapping[str, str] = {
    CostPart.DATA: "/",
    CostPart.COMPUTE: "",
    CostPart.STORAGE: ".",
    CostPart.MAINTENANCE: "\\",
}


def curves_figure(comparison: Comparison, height: int = 380) -> go.Figure:
    """How good each was for how much; of studies the best so far against what they had spent."""
    step = comparison.frontiers is not None
    title = "spent so far" if step else "price so far"
    return _lines(comparison, comparison.curves, height, title, "hv" if step else "linear", "Nothing was reached yet")


def frontiers_figure(comparison: Comparison, height: int = 420) -> go.Figure:
    """The frontiers of studies, each a step line; empty with a sentence where they cannot be laid over each other."""
    if comparison.frontiers is None:
        return empty_figure("Frontiers of different qualities cannot be laid over each other", height)
    return _lines(comparison, comparison.frontiers, height, "price", "hv", "No trial has reached a checkpoint yet")


def parts_figure(comparison: Comparison) -> go.Figure:
    """The four parts of each price, one bar a name."""
    unit, parts = comparison.unit, comparison.parts
    whole = parts.groupby("name")["usd"].sum()
    if not len(whole) or whole.max() <= 0:
        return empty_figure("Nothing has been spent yet", 160)
    labels = [f"{escape(shorten(name, 28))} " for name in comparison.names]
    figure = go.Figure(layout=chart_layout(110 + 44 * len(labels)))
    for part in CostPart:
        usd = [
            float(parts[(parts["name"] == name) & (parts["part"] == part)]["usd"].sum()) for name in comparison.names
        ]
        if not any(usd):
            continue
        shares = [
            each / float(whole[name]) if whole[name] else 0.0 for each, name in zip(usd, comparison.names, strict=True)
        ]
        figure.add_trace(
            go.Bar(
                x=unit.of(np.asarray(usd)),
                y=labels,
                orientation="h",
                name=str(part),
                marker={"color": PART_COLOURS[part], "pattern": {"shape": PART_PATTERNS[part], "size": 5}},
                hovertext=[
                    f"{part}: {money(each, unit)} · {percent(share)}" for each, share in zip(usd, shares, strict=True)
                ],
                hoverinfo="text",
                width=0.6,
            )
        )
    for label, name in zip(labels, comparison.names, strict=True):
        text = f" {escape(money(float(whole[name]), unit))}"
        figure.add_annotation(x=float(unit.of(float(whole[name]))), y=label, text=text, showarrow=False, xanchor="left")
    figure.update_layout(
        barmode="stack",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    )
    figure.update_xaxes(title_text=f"price in {unit.name}", range=[0, float(unit.of(float(whole.max()))) * 1.4])
    figure.update_xaxes(nticks=6, **amount_ticks(unit))
    # Without a type plotly takes "#4" for the number 4.
    return figure.update_yaxes(type="category", autorange="reversed", showgrid=False, showline=False, ticks="")


def _lines(
    comparison: Comparison, rows: pd.DataFrame, height: int, x_title: str, shape: str, nothing: str
) -> go.Figure:
    if rows.empty:
        return empty_figure(nothing, height)
    unit = comparison.unit
    figure = go.Figure(layout=chart_layout(height))
    metric = escape(shorten(comparison.metric, 32))
    for at, name in enumerate(comparison.names):
        mine = rows[rows["name"] == name]
        hovers = [
            f"<b>{escape(shorten(name, 40))}</b><br>{metric} {quality(good)} for {money(usd, unit)}"
            for good, usd in zip(mine["quality"], mine["price_usd"], strict=True)
        ]
        figure.add_trace(
            go.Scatter(
                x=unit.of(mine["price_usd"].to_numpy(dtype=np.float64)),
                y=mine["quality"],
                mode="lines+markers",
                name=escape(shorten(name, 40)),
                line={"shape": shape, "width": 2, "color": COLOURS[at], "dash": DASHES[at]},
                marker={"symbol": SYMBOLS[at], "size": 7},
                hovertext=hovers,
                hoverinfo="text",
            )
        )
    better = "better →" if comparison.direction == Direction.MAXIMIZE else "← better"
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(
        title_text=f"← cheaper · {x_title}<br>in {unit.name}, logarithmic",
        **half_width_price_axis(rows["price_usd"], unit),
    )
    return figure.update_yaxes(title_text=f"{metric} · {better}")
