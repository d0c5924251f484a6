"""Charts of a study's spend and of what it bought, and the layout that all charts share.

The data come from ``tables`` or ``progress``. Without data, a chart is an empty figure with a message.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from tracker.pricing.currency import USD
from tracker.pricing.money_unit import MoneyUnit
from tracker.report.plane import escape
from tracker.report.progress import hypervolume_steps
from tracker.report.style import FRONTIER, PURPOSE_COLOURS, STATE_COLOURS, template
from tracker.report.tables import spend_by_state
from tracker.report.words import money, percent, several
from tracker.store.run_table import StudyTable


def spend_figure(table: StudyTable, *, short: bool = False) -> go.Figure:
    """The study's spend, one bar per state of its runs; ``short`` leaves out the number of runs."""
    return _bars(spend_by_state(table), "state", STATE_COLOURS, table.unit, short=short)


def purpose_figure(spend: pd.DataFrame, unit: MoneyUnit) -> go.Figure:
    """The spend by purpose, one bar each; ``spend`` is from spending.spend_by_purpose."""
    return _bars(spend, "purpose", PURPOSE_COLOURS, unit, short=True)


def _bars(spend: pd.DataFrame, what: str, colours: Mapping[str, str], unit: MoneyUnit, *, short: bool) -> go.Figure:
    """Amounts as bars with their texts: columns ``what``, runs, spend_usd, share."""
    if spend.empty:
        return empty_figure("Nothing has been spent yet", 160)
    texts = [
        f"{money(row['spend_usd'], unit)} · {percent(row['share'])}"
        + ("" if short else f" · {several(row['runs'], 'run')}")
        for row in spend.to_dict("records")
    ]
    bars = go.Bar(
        x=spend["spend_usd"],
        y=[f"{escape(str(name))} " for name in spend[what]],
        orientation="h",
        text=texts,
        textposition="outside",
        cliponaxis=False,
        marker={"color": [colours.get(str(name), FRONTIER) for name in spend[what]]},
        hoverinfo="skip",
        width=0.62,
    )
    figure = go.Figure(bars, layout=chart_layout(70 + 34 * len(spend)))
    # Room for the longest text to the right of the longest bar, on half a page and on a phone too.
    figure.update_xaxes(range=[0, max(float(spend["spend_usd"].max()) * 2.6, 1e-12)], visible=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="")
    return figure.update_layout(margin={"t": 8, "b": 8})


def hypervolume_figure(table: StudyTable, height: int = 300) -> go.Figure:
    """The hypervolume against dollars spent; flat means that the money bought nothing."""
    progress = hypervolume_steps(table)
    if progress.empty:
        return empty_figure("No checkpoint has been reached yet", height)
    line = go.Scatter(
        x=table.unit.of(progress["spend_usd"].to_numpy()),
        y=progress["hypervolume"],
        mode="lines",
        line={"shape": "hv", "width": 2, "color": STATE_COLOURS["completed"]},
        fill="tozeroy",
        fillcolor="rgba(42, 127, 184, 0.12)",
        text=[money(spent, table.unit) for spent in progress["spend_usd"]],
        hovertemplate="%{text} spent<br>hypervolume %{y:.4f}<extra></extra>",
    )
    figure = go.Figure(line, layout=chart_layout(height))
    ticks = amount_ticks(table.unit)
    figure.update_xaxes(title_text=f"spent so far, {table.unit.name}", rangemode="tozero", nticks=7, **ticks)
    return figure.update_yaxes(title_text="hypervolume", rangemode="tozero")


def chart_layout(height: int) -> dict[str, object]:
    """The layout that all charts share; ``height`` is in pixels, the width is the page's."""
    return {
        "template": template(),
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 24, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
    }


def amount_ticks(unit: MoneyUnit) -> dict[str, str]:
    """The tick format for amounts in a unit, with as many digits as needed.

    Plotly's formats know only the dollar; for other units, the axis title has the unit.
    """
    dollars = unit.currency.code == USD.code and not unit.prefix
    return {"tickformat": "$,.10~f" if dollars else ",.10~f"}


def empty_figure(message: str, height: int) -> go.Figure:
    """An empty chart with a message."""
    figure = go.Figure(layout=chart_layout(height))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.add_annotation(
        text=message, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 16}
    )
