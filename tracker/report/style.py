"""The style of all charts: colours that colour-blind people can distinguish, symbols, fonts, grid.

The palette is Okabe and Ito's (2008), its blue lightened so that it also stands out on a dark page.
Backgrounds are transparent and the grid is a translucent grey, so a chart suits a light page and a
dark one; text takes the page's own colour where the page sets one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import plotly.graph_objects as go

PRECISION_COLOURS: Mapping[str, str] = {"fp32": "#2a7fb8", "bf16": "#d55e00", "tf32": "#009e73", "fp16": "#cc79a7"}
OTHER_COLOURS = ("#56b4e9", "#8c6d31", "#7b6fd0", "#5f8f2f")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "pentagon", "hourglass")
STATE_COLOURS: Mapping[str, str] = {
    "completed": "#2a7fb8",
    "running": "#56b4e9",
    "paused": "#7b6fd0",
    "stopped": "#009e73",
    "failed": "#d55e00",
    "killed": "#a63d00",
    "baseline": "#c99700",
    "preparation": "#8a8f98",
    "repeats": "#cc79a7",
}
PURPOSE_COLOURS: Mapping[str, str] = {
    "new trials": "#2a7fb8",
    "continuing": "#7b6fd0",
    "failures": "#d55e00",
    "trials": "#2a7fb8",
    "baselines": "#c99700",
    "preparation": "#8a8f98",
    "repeats": "#cc79a7",
}
PLOTLY_CONFIG: dict[str, Any] = {
    "responsive": True,
    "displaylogo": False,
    # plotly 7 offers to upload a chart with its data to its maker's server: remove that button.
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
}
"""Plotly's configuration in a browser, for the report and the dashboard."""

FRONTIER = "#7a828e"
DOMINATED = "rgba(128, 132, 140, 0.45)"
BASELINE = "#c99700"
INTERVAL = "rgba(110, 116, 126, 0.9)"
SCALE = "Cividis"
"""A colour scale that is uniform for colour-blind people and in grey, too (Nuñez, Anderton and Renslow 2018)."""
GRID = "rgba(128, 128, 128, 0.18)"
AXIS = "rgba(128, 128, 128, 0.55)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def precision_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each precision, the same in every chart of the same precisions."""
    unknown = sorted(set(names) - set(PRECISION_COLOURS))
    spare = {name: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, name in enumerate(unknown)}
    known = {name: colour for name, colour in PRECISION_COLOURS.items() if name in set(names)}
    return {**known, **spare}


def hardware_symbols(names: Iterable[str]) -> dict[str, str]:
    """A symbol for each kind of hardware, in the order given; the last is shared where they run out."""
    return {name: SYMBOLS[min(index, len(SYMBOLS) - 1)] for index, name in enumerate(dict.fromkeys(names))}


@cache
def template() -> go.layout.Template:
    """The template that all charts share; figures copy it."""
    axis = {
        "gridcolor": GRID,
        "linecolor": AXIS,
        "tickcolor": AXIS,
        "showline": True,
        "ticks": "outside",
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 12, "font": {"size": 13}},
        "tickfont": {"size": 12},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": "#30353d"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": "#ffffff",
                "bordercolor": "#8a8f98",
                "align": "left",
                "font": {"family": FONT, "size": 12, "color": "#1c2026"},
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "rgba(128,128,128,0.6)", "activecolor": "#2a7fb8"},
            "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"size": 12}},
        }
    )
