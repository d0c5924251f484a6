"""The curve of one run, from checkpoint to checkpoint."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from tracker.pricing.money_unit import MoneyUnit
from tracker.records import QualityMetric
from tracker.report.figures import amount_ticks, chart_layout
from tracker.report.hovers import escape, shorten
from tracker.report.plane_marks import SELECTED
from tracker.report.run_detail import RunDetail
from tracker.report.style import STATE_COLOURS
from tracker.report.words import duration, money, quality


def run_curve_figure(detail: RunDetail, metric: QualityMetric, unit: MoneyUnit, height: int = 260) -> go.Figure:
    """Quality against price of a run's checkpoints, with a ring around the one of ``detail``."""
    curve, name = detail.curve, escape(shorten(metric.name, 32))
    xs = unit.of(curve["price_usd"].to_numpy(dtype=np.float64))
    hovers = [
        f"<b>epoch {row['epoch']:.0f}</b><br>{name} {quality(row['quality'])} for {money(row['price_usd'], unit)}"
        f" in {duration(row['wall_seconds'])}"
        for row in curve.to_dict("records")
    ]
    line = go.Scatter(
        x=xs,
        y=curve["quality"],
        mode="lines+markers",
        line={"width": 2, "color": STATE_COLOURS["completed"]},
        marker={"size": 7},
        hovertext=hovers,
        hoverinfo="text",
    )
    here = (curve["epoch"] == detail.epoch).to_numpy(dtype=np.bool_)
    ring = go.Scatter(
        x=xs[here],
        y=curve["quality"][here],
        mode="markers",
        marker={"symbol": "circle-open", "size": 16, "color": SELECTED, "line": {"width": 2.5}},
        hoverinfo="skip",
    )
    figure = go.Figure([line, ring], layout=chart_layout(height))
    figure.update_xaxes(title_text=f"price so far in {unit.name}", rangemode="tozero", nticks=6, **amount_ticks(unit))
    return figure.update_yaxes(title_text=name, nticks=6)
