"""The layout of the frontier chart: axes, ranges, ticks, and the unit of x."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.pricing.money_unit import MoneyUnit
from tracker.records import Direction
from tracker.report.figures import amount_ticks, chart_layout
from tracker.report.hovers import escape
from tracker.report.plane import Plane

LONG_TITLE = 46  # letters that fit on a phone's width


def plane_layout(plane: Plane, height: int) -> dict[str, object]:
    """The layout of the chart: "cheaper" and "better" on its axes, the legend above."""
    above = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}
    better = "better →" if plane.direction == Direction.MAXIMIZE else "← better"
    title, log = plane.x_measure.title, ", logarithmic" if plane.axes.x_log else ""
    return {
        **chart_layout(height),
        "margin": {"l": 8, "r": 16, "t": 76, "b": 8},
        "showlegend": True,
        "legend": {**above, "itemsizing": "constant"},
        "dragmode": "zoom",
        "xaxis": {
            **_scale(x_axis_range(plane), log=plane.axes.x_log),
            **_x_ticks(plane),
            "tickangle": 0,
            "title": {"text": _in_lines(f"← cheaper · {escape(title)}{log}")},
        },
        "yaxis": {
            **_scale(y_axis_range(plane), log=plane.y_log),
            "title": {"text": f"{plane.metric} · {better}{', logarithmic' if plane.y_log else ''}"},
        },
    }


def _in_lines(title: str) -> str:
    """Break a title that is too long for a narrow page into two lines, the unit on the second."""
    before, unit, after = title.rpartition(" in ")
    return f"{before}<br>in {after}" if unit and len(title) > LONG_TITLE else title


def _scale(shown: tuple[float, float], *, log: bool) -> dict[str, object]:
    """The type of an axis, its range and its approximate number of ticks."""
    if not log:
        return {"type": "linear", "range": list(shown), "nticks": 7}
    return {"type": "log", "range": list(shown), "nticks": tick_count(*shown)}


def _x_ticks(plane: Plane) -> dict[str, str]:
    """The tick format of x: without SI prefixes, money in the study's unit."""
    return amount_ticks(plane.found.table.unit) if plane.x_measure.is_money else {"tickformat": ",.10~f"}


def xs_of(plane: Plane, points: pd.DataFrame) -> NDArray[np.float64]:
    """The x of points [n] in the drawn unit."""
    return plane.x_measure.of(points["x"].to_numpy(dtype=np.float64))


def x_axis_range(plane: Plane) -> tuple[float, float]:
    """The range of the axis; exponents of ten on a logarithmic one."""
    low, high = (float(each) for each in plane.x_measure.of(np.asarray(plane.x_range)))
    if not plane.axes.x_log:
        pad = max(0.05 * (high - low), 0.02 * high, 1e-12)
        return max(0.0, low - pad), high + pad
    low, high = math.log10(low), math.log10(high)
    pad = max(0.07 * (high - low), 0.12)
    return low - pad, high + pad


def y_axis_range(plane: Plane) -> tuple[float, float]:
    """The range of the axis, including the target; exponents of ten on a logarithmic one."""
    low, high = plane.y_range
    if plane.target is not None and not (plane.y_log and plane.target <= 0):
        low, high = min(low, plane.target), max(high, plane.target)
    if plane.y_log:
        low, high = math.log10(low), math.log10(high)
    pad = max(0.07 * (high - low), 0.005 * max(abs(low), abs(high)), 1e-9)
    return low - pad, high + pad


def half_width_price_axis(prices_usd: Iterable[float], unit: MoneyUnit) -> dict[str, object]:
    """A logarithmic axis for prices above zero, in ``unit``, for a chart of half a page's width."""
    drawn = [math.log10(float(unit.of(price))) for price in prices_usd]
    low, high = min(drawn), max(drawn)
    pad = max(0.05 * (high - low), 0.1)
    low, high = low - pad, high + pad
    return {
        "type": "log",
        "range": [low, high],
        "nticks": max(2, tick_count(low, high) // 2),
        "tickangle": 0,
        **amount_ticks(unit),
    }


def tick_count(low: float, high: float) -> int:
    """The number of ticks to request from plotly so that ticks on a log axis do not overlap at any width.

    It draws 1, 2, 5 within a decade where span / count lies between 0.3 and 0.7, whole decades above,
    and 1, 2, 3, …, 9 below, which never fit. Under one decade its ticks are evenly spaced.
    """
    span = high - low
    if span < 1:
        return 4
    return 3 if span <= 2.1 else max(4, int(span / 0.71))
