"""The charts of studies at equal dollars: hypervolume against dollars with its intervals, the frontiers overlaid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tracker.records import Direction
from tracker.report.comparison_chart import COLOURS, DASHES, SYMBOLS
from tracker.report.figures import amount_ticks, chart_layout, empty_figure
from tracker.report.hovers import escape, shorten
from tracker.report.plane_layout import half_width_price_axis
from tracker.report.study_comparison import StudyComparison
from tracker.report.words import money, quality

MOST_BANDS = 3
"""With more sides, bands would hide each other: the intervals then stand in the table alone."""


def equal_dollars_figure(comparison: StudyComparison, height: int = 380) -> go.Figure:
    """How each side's hypervolume grew with its spend, and the 95 % intervals as bands."""
    unit = comparison.unit
    figure = go.Figure(layout=chart_layout(height))
    for at, name in enumerate(comparison.names):
        curve = comparison.curves[comparison.curves["side"] == name]
        spent = unit.of(curve["spend_usd"].to_numpy(dtype=np.float64))
        if len(comparison.names) <= MOST_BANDS:
            figure.add_trace(_band(curve, spent, COLOURS[at]))
        figure.add_trace(
            go.Scatter(
                x=spent,
                y=curve["hypervolume"],
                mode="lines",
                name=escape(shorten(name, 40)),
                line={"shape": "hv", "width": 2.5, "color": COLOURS[at], "dash": DASHES[at % len(DASHES)]},
                hovertext=[
                    f"<b>{escape(shorten(name, 40))}</b><br>hypervolume {value:.4g}"
                    f"{'' if np.isnan(low) else f' ({low:.3g} to {high:.3g})'} for {money(usd, unit)}"
                    for usd, value, low, high in curve.drop(columns="side").itertuples(index=False, name=None)
                ],
                hoverinfo="text",
            )
        )
    figure.update_layout(**_legend())
    figure.update_xaxes(title_text=f"spent on trials, {unit.name}", rangemode="tozero", nticks=7, **amount_ticks(unit))
    return figure.update_yaxes(title_text="hypervolume · better →", rangemode="tozero")


def overlaid_frontiers_figure(comparison: StudyComparison, height: int = 420) -> go.Figure:
    """The frontier of every study as a step line, those of a side in its colour."""
    points, unit = comparison.frontiers, comparison.unit
    if points.empty:
        return empty_figure("No trial has reached a checkpoint within the limits yet", height)
    figure = go.Figure(layout=chart_layout(height))
    metric = escape(shorten(comparison.metric, 32))
    for at, side in enumerate(comparison.sides):
        for number, study in enumerate(side.studies):
            mine = points[points["study"] == study]
            figure.add_trace(
                go.Scatter(
                    x=unit.of(mine["price_usd"].to_numpy(dtype=np.float64)),
                    y=mine["quality"],
                    mode="lines+markers",
                    name=escape(shorten(side.name, 40)),
                    legendgroup=str(at),
                    showlegend=number == 0,
                    opacity=1.0 if len(side.studies) == 1 else 0.65,
                    line={"shape": "hv", "width": 2, "color": COLOURS[at], "dash": DASHES[at % len(DASHES)]},
                    marker={"symbol": SYMBOLS[at % len(SYMBOLS)], "size": 7, "color": COLOURS[at]},
                    hovertext=[
                        f"<b>{escape(shorten(study, 40))}</b><br>{metric} {quality(good)} for {money(usd, unit)}"
                        f"<br>trial #{trial} after epoch {epoch}"
                        for trial, epoch, usd, good in mine[["trial", "epoch", "price_usd", "quality"]].itertuples(
                            index=False, name=None
                        )
                    ],
                    hoverinfo="text",
                )
            )
    better = "better →" if comparison.direction == Direction.MAXIMIZE else "← better"
    figure.update_layout(**_legend())
    figure.update_xaxes(
        title_text=f"← cheaper · price<br>in {unit.name}, logarithmic",
        **half_width_price_axis(points["price_usd"], unit),
    )
    return figure.update_yaxes(title_text=f"{metric} · {better}")


def _band(curve: pd.DataFrame, spent: Any, colour: str) -> go.Scatter:
    """The intervals as an area; of a curve without them, nothing."""
    known = curve["hypervolume_low"].notna().to_numpy()
    low, high = (curve[name].to_numpy()[known] for name in ("hypervolume_low", "hypervolume_high"))
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return go.Scatter(
        x=np.concatenate([spent[known], spent[known][::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.13)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def _legend() -> dict[str, Any]:
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    }
