"""The price book as JSON-safe documents and as a chart of one SKU's rates over time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from itertools import groupby
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tracker.pricing.money_unit import MoneyUnit
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import QUALITIES, PricePoint
from tracker.report.figures import amount_ticks, chart_layout
from tracker.report.plain import plain
from tracker.report.plane import escape
from tracker.report.style import OTHER_COLOURS, PRECISION_COLOURS
from tracker.store.run_table import StudyTable

BAR_CELLS = 12
RATE_COLUMNS = [
    *("sku", "market", "region", "usd_per_hour", "usd_per_accelerator_hour", "accelerators", "vcpu", "ram_gb"),
    *("since", "until", "quality", "date_kind", "source", "licence"),
]


def rate_document(point: PricePoint) -> dict[str, Any]:
    """One rate with all its fields; the keys are the columns of the price table."""
    known: dict[str, Any] = plain({each.name: getattr(point, each.name) for each in fields(point)})
    del known["place"]  # the line in a file is not a fact about the rate
    return known


def rates_document(book: PriceBook, points: Iterable[PricePoint], on: date | None = None) -> dict[str, Any]:
    """Several rates, with the version of their price book."""
    return {
        "price_book": book.version,
        "on": on.isoformat() if on else None,
        "qualities": dict(QUALITIES),
        "rates": [rate_document(point) for point in points],
    }


def rates_table(points: Iterable[PricePoint]) -> pd.DataFrame:
    """Several rates, one row each, with their provenance.

    Columns: sku, market, region, usd_per_hour, usd_per_accelerator_hour (NaN without any), accelerators ("8 × H100"),
    vcpu, ram_gb (GiB), since, until ("" while it is in effect), quality (in words), date_kind, source and licence.
    """
    rows = [
        {
            "sku": point.sku,
            "market": str(point.market),
            "region": point.region,
            "usd_per_hour": point.usd_per_hour,
            "usd_per_accelerator_hour": point.usd_per_accelerator_hour if point.accelerator_count else math.nan,
            "accelerators": f"{point.accelerator_count} × {point.accelerator}" if point.accelerator else "",
            "vcpu": point.vcpu,
            "ram_gb": point.ram_gb,
            "since": point.effective_from,
            "until": "" if point.effective_to is None else point.effective_to.isoformat(),
            "quality": QUALITIES[point.quality],
            "date_kind": point.date_kind,
            "source": point.source,
            "licence": point.licence,
        }
        for point in points
    ]
    return pd.DataFrame(rows, columns=RATE_COLUMNS)


def rates_with(rates: pd.DataFrame, text: str) -> pd.DataFrame:
    """The rows of a ``rates_table`` with every word of ``text`` in some column, ignoring case."""
    lines = rates.map(str).agg(" ".join, axis=1).str.lower() if len(rates) else pd.Series(dtype=str)
    for word in text.lower().split():
        lines = lines[lines.str.contains(word, regex=False)]
    return rates.loc[lines.index]


def first_sku(book: PriceBook, table: StudyTable) -> str:
    """The SKU to show first for a study: the one that most of its money went to.

    If the book lacks it, the SKU with the most dated rates in one market and region.
    """
    spent = table.runs.groupby("sku")["price_usd"].sum()
    if len(spent) and (sku := str(spent.idxmax())) in book.skus:
        return sku
    counts = Counter((point.sku, str(point.market), point.region) for point in book.points)
    return max(sorted(counts), key=counts.__getitem__)[0]


def history_figure(sku: str, history: Sequence[PricePoint]) -> go.Figure:
    """The rates of a SKU over time: a step line for each market and region; ``history`` in the order of both."""
    figure = go.Figure(layout={**chart_layout(420), "showlegend": True, "title": {"text": escape(sku)}})
    colours = [*PRECISION_COLOURS.values(), *OTHER_COLOURS]
    offers = groupby(history, key=lambda point: (str(point.market), point.region))
    for at, ((market, region), rates) in enumerate(offers):
        points = list(rates)
        ended = points[-1].effective_to or max(date.today(), points[-1].effective_from)
        figure.add_trace(
            go.Scatter(
                x=[*(point.effective_from for point in points), ended],
                y=[*(point.usd_per_hour for point in points), points[-1].usd_per_hour],
                name=escape(f"{market} {region}".strip()),
                mode="lines+markers",
                line={"shape": "hv", "width": 2, "color": colours[at % len(colours)]},
                # The last rate is extended until today.
                marker={"size": [8] * len(points) + [0], "opacity": 1, "line": {"width": 0}},
                hovertext=[_hover(point) for point in (*points, points[-1])],
                hoverinfo="text",
            )
        )
    figure.update_yaxes(title_text="the machine, US dollars an hour", rangemode="tozero", **amount_ticks(MoneyUnit()))
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "xanchor": "left"}
    title = {"x": 0, "xref": "paper", "xanchor": "left", "y": 0.97, "font": {"size": 15}}
    return figure.update_layout(margin={"t": 96, "b": 40, "l": 60}, legend=legend, title=title)


def bars(values: Sequence[float]) -> list[str]:
    """A bar for each of some positive values, the longest BAR_CELLS wide: a chart for a terminal.

    >>> bars([1.0, 0.5, 0.01])
    ['████████████', '██████', '▏']
    """
    eighths = " ▏▎▍▌▋▊▉"
    most = max(values, default=1.0)
    texts = []
    for value in values:
        cells = max(1, round(value / most * BAR_CELLS * 8))
        texts.append(("█" * (cells // 8) + eighths[cells % 8]).rstrip())
    return texts


def _hover(point: PricePoint) -> str:
    rate = f"<b>${point.usd_per_hour:,.4g}</b> an hour from {point.effective_from}"
    return f"{rate}<br>{escape(point.source)}<br>{escape(QUALITIES[point.quality])}"
