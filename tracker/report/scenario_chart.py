"""A study's frontier before and after a change of prices, as a chart and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tracker.pricing.money_unit import MoneyUnit
from tracker.records import Direction
from tracker.report.figures import chart_layout, empty_figure
from tracker.report.plane import escape, shorten
from tracker.report.plane_layout import half_width_price_axis
from tracker.report.style import FRONTIER, PRECISION_COLOURS
from tracker.report.words import money, quality, several
from tracker.store.run_table import StudyTable

LEVEL_COLUMNS = ["quality", "price before", "by", "price after", "by then", "after ÷ before"]
_AFTER = PRECISION_COLOURS["fp32"]


def compared_frontiers_figure(document: Mapping[str, Any], table: StudyTable, unit: MoneyUnit) -> go.Figure:
    """Both frontiers of a comparison (scenarios.compare_scenarios) as step lines over a logarithmic price.

    One line where the second has no scenario. Prices are drawn in ``unit``; ``table`` is either of the two, for its
    quality metric.
    """
    sides = document["scenarios"]
    frontiers = [each["points"] for each in (sides if sides[1]["scenario"] is not None else sides[:1])]
    if not any(frontiers):
        return empty_figure("No checkpoint that counts has been reached yet", 160)
    figure = go.Figure(layout={**chart_layout(420), "margin": {"l": 8, "r": 16, "t": 60, "b": 8}})
    looks = (("before", FRONTIER, "dot" if len(frontiers) > 1 else "solid"), ("after", _AFTER, "solid"))
    for (when, colour, dash), points in zip(looks, frontiers, strict=False):
        figure.add_trace(_line(points, when, colour, dash, unit))
    changes = (("left the frontier", "x", document["left"]), ("entered the frontier", "star", document["entered"]))
    for (name, symbol, trials), points in zip(changes, frontiers, strict=False):
        if changed := [point for point in points if point["trial"] in set(trials)]:
            figure.add_trace(_marks(changed, name, symbol, unit))
    better = "better ↑" if table.quality.direction is Direction.MAXIMIZE else "better ↓"
    prices = [point["price_usd"] for points in frontiers for point in points]
    figure.update_xaxes(
        title_text=f"← cheaper · price<br>in {unit.name}, logarithmic", **half_width_price_axis(prices, unit)
    )
    figure.update_yaxes(title_text=f"{escape(shorten(table.quality.name, 32))} · {better}")
    return figure.update_layout(
        showlegend=len(frontiers) > 1,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left"},
    )


def levels_table(document: Mapping[str, Any], unit: MoneyUnit) -> pd.DataFrame:
    """The price of each quality on either frontier before and after, the best first; prices in ``unit``.

    Columns: LEVEL_COLUMNS; None where no point reaches the quality.
    """
    rows = [
        (
            level["quality"],
            *(cell for side in ("first", "second") for cell in _side(level[side], unit)),
            level["price_ratio"],
        )
        for level in document["levels"]
    ]
    return pd.DataFrame(rows, columns=LEVEL_COLUMNS).iloc[::-1].reset_index(drop=True)


def comparison_sentences(document: Mapping[str, Any], unit: MoneyUnit) -> list[str]:
    """Which trials entered and left the frontier, how prices of a quality changed, and what the study would cost."""
    sentences = []
    for verb, trials in (("entered", document["entered"]), ("left", document["left"])):
        if trials:
            named = ", ".join(f"#{trial}" for trial in trials[:8]) + (" …" if len(trials) > 8 else "")
            sentences.append(f"{several(len(trials), 'trial')} {verb} the frontier: {named}.")
    if not sentences:
        sentences.append("The same trials are on the frontier.")
    ratios = [level["price_ratio"] for level in document["levels"] if level["price_ratio"] is not None]
    if ratios:
        least, most = f"{min(ratios):.3g}", f"{max(ratios):.3g}"
        span = f"{least} times" if least == most else f"{least} to {most} times"
        sentences.append(f"The same quality costs {span} as much.")
    before, after = (money(each["spend_usd"], unit) for each in document["scenarios"])
    sentences.append(f"The whole study: {before} before, {after} after.")
    return sentences


def _line(points: Sequence[Mapping[str, Any]], when: str, colour: str, dash: str, unit: MoneyUnit) -> go.Scatter:
    return go.Scatter(
        x=[unit.of(point["price_usd"]) for point in points],
        y=[point["quality"] for point in points],
        name=when,
        mode="lines+markers",
        line={"shape": "hv", "width": 2.5, "color": colour, "dash": dash},
        marker={"size": 7, "color": colour},
        hovertext=[_hover(point, when, unit) for point in points],
        hoverinfo="text",
    )


def _marks(points: Sequence[Mapping[str, Any]], name: str, symbol: str, unit: MoneyUnit) -> go.Scatter:
    return go.Scatter(
        x=[unit.of(point["price_usd"]) for point in points],
        y=[point["quality"] for point in points],
        name=name,
        mode="markers",
        marker={"size": 10, "symbol": symbol, "color": PRECISION_COLOURS["bf16"]},
        hovertext=[_hover(point, name, unit) for point in points],
        hoverinfo="text",
    )


def _side(point: Mapping[str, Any] | None, unit: MoneyUnit) -> tuple[float | None, str]:
    return (None, "") if point is None else (unit.of(float(point["price_usd"])), f"#{point['trial']} e{point['epoch']}")


def _hover(point: Mapping[str, Any], what: str, unit: MoneyUnit) -> str:
    reached = f"{quality(point['quality'])} for <b>{money(point['price_usd'], unit)}</b>"
    return f"<b>#{point['trial']}, epoch {point['epoch']}</b> · {what}<br>{reached}<br>{escape(str(point['sku']))}"
