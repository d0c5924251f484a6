"""Knob importances for quality and price, as bars with whiskers and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tracker.report.figures import chart_layout, empty_figure
from tracker.report.importance import Importance, KnobImportance
from tracker.report.plane import escape, shorten
from tracker.report.words import percent

COLOURS = {"quality": "#2a7fb8", "price": "#c99700"}
WHISKER = "#8a8f98"


def importance_table(found: KnobImportance) -> pd.DataFrame:
    """Both importances, one row per knob, the most important first: knob; share, low and high for quality and price."""
    parts = [each.shares.set_index("knob").add_prefix(f"{each.target}_") for each in (found.quality, found.price)]
    both = pd.concat(parts, axis=1).astype(np.float64)
    shares = both.reindex(columns=["quality_share", "price_share"]).max(axis=1)
    order = shares.sort_values(ascending=False, kind="stable").index
    return both.loc[order].rename_axis("knob").reset_index()


def importance_figure(found: Importance, order: Sequence[str], longest: float = 1.0) -> go.Figure:
    """One outcome's importance as bars with whiskers; ``order`` from the top, ``longest`` the share at the right end.

    Faint bars are uncertain: their interval includes zero.
    """
    if found.shares.empty:
        return empty_figure(f"No knob has a certain effect on {found.target}", 160)
    shares = found.shares.set_index("knob").reindex([name for name in order if name in set(found.shares["knob"])])
    sure = (shares["low"] > 0).to_numpy()
    names = [escape(shorten(str(name), 28)) for name in shares.index]
    bars = go.Bar(
        x=shares["share"].clip(lower=0),
        y=names,
        orientation="h",
        width=0.6,
        marker={"color": COLOURS[found.target], "opacity": np.where(sure, 1.0, 0.35)},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (shares["high"].clip(lower=0) - shares["share"].clip(lower=0)).clip(lower=0),
            "arrayminus": shares["share"].clip(lower=0) - shares["low"].clip(lower=0),
            "color": WHISKER,
            "thickness": 2,
            "width": 5,
        },
        hovertext=[_share_hover(name, row) for name, row in zip(names, shares.to_dict("records"), strict=True)],
        hoverinfo="text",
    )
    figure = go.Figure(bars, layout=chart_layout(110 + 34 * len(shares)))
    title = f"share of the variance in {'log price' if found.target == 'price' else 'quality'}"
    figure.update_xaxes(title_text=title, range=[0, longest], tickformat=".0%", nticks=6)
    figure.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="", ticksuffix="  ")
    return figure


def longest_share(found: KnobImportance) -> float:
    """The share at the right end of both charts of importance: room for the longest whisker."""
    highs = [*found.quality.shares["high"], *found.price.shares["high"]]
    return min(1.1, max(0.2, *highs) * 1.05) if highs else 1.0


def _share_hover(name: str, row: dict[Any, Any]) -> str:
    interval = f"95 % interval {percent(max(0.0, row['low']))} to {percent(max(0.0, row['high']))}"
    doubt = "" if row["low"] > 0 else "<br>may be chance"
    return f"<b>{name}</b>: {percent(max(0.0, row['share']))}<br>{interval}{doubt}"
