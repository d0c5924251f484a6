"""The frontier on hardware that nobody has rented: bars of 90 %, never points, beside the measured frontier."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.figures import chart_layout, empty_figure
from tracker.report.hovers import shorten
from tracker.report.plane import escape
from tracker.report.plane_layout import half_width_price_axis
from tracker.report.style import FRONTIER, OTHER_COLOURS, PRECISION_COLOURS
from tracker.report.tables import frontier_table
from tracker.report.words import duration, money, quality
from tracker.store.run_table import StudyTable

_COLOURS = (*(colour for name, colour in PRECISION_COLOURS.items() if name != "fp32"), *OTHER_COLOURS)
APART = 0.015
"""How far apart the bars of one checkpoint are drawn, as a share of the chart's range of quality."""
MOST_DRAWN = 6
"""So many targets are drawn, those that are likely the cheapest; the table has all."""


def prediction_figure(table: StudyTable, predictions: pd.DataFrame, height: int = 420) -> go.Figure:
    """Predictions as bars from low to high with a stroke at the likely price, each target in a colour."""
    known = predictions[predictions["refused"] == ""]
    if known.empty:
        return empty_figure("Nothing can be predicted for this hardware", 160)
    order = known.groupby("on")["price_usd"].median().sort_values().index[:MOST_DRAWN]
    measured, unit = frontier_table(table), table.unit
    figure = go.Figure(layout={**chart_layout(height), "margin": {"l": 8, "r": 16, "t": 60, "b": 8}})
    if len(measured):
        figure.add_trace(
            go.Scatter(
                x=unit.of(measured["price_usd"].to_numpy()),
                y=measured["quality"],
                name="measured",
                mode="lines+markers",
                line={"shape": "hv", "width": 2, "color": FRONTIER},
                marker={"size": 7, "color": FRONTIER},
                hoverinfo="skip",
            )
        )
    drawn = known[known["on"].isin(order)]
    qualities = [*measured["quality"], *drawn["quality"]]
    low, high = min(qualities), max(qualities)
    span = (high - low) or max(abs(high), 1e-9)
    for place, name in enumerate(order):
        apart = APART * span * (place - (len(order) - 1) / 2)  # so that bars of one checkpoint do not hide one another
        figure.add_trace(_bars(table, known[known["on"] == name], str(name), _COLOURS[place % len(_COLOURS)], apart))
    prices = [*measured["price_usd"], *drawn["price_usd_low"], *drawn["price_usd_high"]]
    better = "better ↑" if table.quality.direction is Direction.MAXIMIZE else "better ↓"
    figure.update_xaxes(
        title_text=f"← cheaper · price<br>in {unit.name}, logarithmic", **half_width_price_axis(prices, unit)
    )
    figure.update_yaxes(
        title_text=f"{escape(shorten(table.quality.name, 32))} · {better}",
        range=[low - 0.08 * span, high + 0.08 * span],
    )
    return figure.update_layout(
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left"}
    )


def _bars(table: StudyTable, rows: pd.DataFrame, name: str, colour: str, apart: float) -> go.Scatter:
    x, low, high = (table.unit.of(rows[f"price_usd{end}"].to_numpy()) for end in ("", "_low", "_high"))
    return go.Scatter(
        x=x,
        y=rows["quality"] + apart,
        name=f"{escape(name)}, predicted",
        mode="markers",
        marker={"symbol": "line-ns", "size": 11, "line": {"width": 2, "color": colour}},
        error_x={"type": "data", "symmetric": False, "array": high - x, "arrayminus": x - low, "color": colour,
                 "thickness": 3, "width": 0},
        hovertext=[_hover(table, row) for row in rows.to_dict("records")],
        hoverinfo="text",
    )  # fmt: skip


def _hover(table: StudyTable, row: dict[Any, Any]) -> str:
    prices = [money(row[f"price_usd{end}"], table.unit) for end in ("", "_low", "_high")]
    return (
        f"<b>#{row['trial']}, epoch {row['epoch']}</b> · predicted on {escape(str(row['on']))}<br>"
        f"{quality(row['quality'])} for likely <b>{prices[0]}</b>, {prices[1]} to {prices[2]}<br>"
        f"{duration(row['wall_seconds'])} · {escape(str(row['rests_on']))}"
    )
