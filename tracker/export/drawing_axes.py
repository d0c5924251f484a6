"""Ticks of a static chart: where they are and what they say, as plotly's own would."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

MOST_LOG_STEPS = 2.1
"""Decades up to which a logarithmic axis has ticks at 1, 2 and 5 of each; above, at powers of ten alone."""


def set_ticks(axes: Axes, name: str, axis: Any) -> None:
    """Scale, range and ticks of one axis; ``axis`` is plotly's description of it, ``name`` is x or y."""
    low, high = _limits(axes, name, axis)
    log = axis.type == "log"
    if log:
        getattr(axes, f"set_{name}scale")("log")
    getattr(axes, f"set_{name}lim")(low, high)
    values = log_ticks(low, high, axis.nticks or 5) if log else linear_ticks(low, high, axis.nticks or 6)
    ours = getattr(axes, f"{name}axis")
    ours.set_major_locator(FixedLocator(values))
    ours.set_major_formatter(FixedFormatter(tick_texts(values, axis.tickformat or "")))
    ours.set_minor_locator(FixedLocator([]))


def _limits(axes: Axes, name: str, axis: Any) -> tuple[float, float]:
    """The range that is asked for, else what the data takes."""
    if axis.range is not None:
        low, high = (float(each) for each in axis.range)
        return (10**low, 10**high) if axis.type == "log" else (low, high)
    low, high = getattr(axes, f"get_{name}lim")()
    if axis.rangemode == "tozero":
        low, high = 0.0, getattr(axes.dataLim, f"{name}max") * 1.05
    return low, high if high > low else low + 1.0


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Ticks of a logarithmic axis from ``low`` to ``high``, apart at any width.

    >>> log_ticks(0.8, 30.0, 4), log_ticks(1.5, 4.5, 4), log_ticks(0.5, 20000.0, 6)
    ([1.0, 2.0, 5.0, 10.0, 20.0], [2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 1000.0, 10000.0])
    """
    span = math.log10(high / low)
    if span < 1:
        return linear_ticks(low, high, count)
    steps = (1, 2, 5) if span <= MOST_LOG_STEPS else (1,)
    every = max(1, math.ceil(span / 8))
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [float(f"{step}e{exponent}") for exponent in exponents if exponent % every == 0 for step in steps]
    return [value for value in found if low <= value <= high]


def linear_ticks(low: float, high: float, count: int) -> list[float]:
    """Round values that are evenly spaced, about ``count`` of them."""
    values = MaxNLocator(nbins=max(2, count), steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{value:.10g}") for value in values if low <= value <= high]


def tick_texts(values: Sequence[float], pattern: str) -> list[str]:
    """What ticks say. ``pattern`` is d3's, of which charts here use a dollar sign and a comma for thousands.

    >>> tick_texts([0.5, 1000.0], "$,.10~f"), tick_texts([0.6, 0.65, 0.7], "")
    (['$0.5', '$1,000'], ['0.60', '0.65', '0.70'])
    """
    if pattern:
        sign = "$" if pattern.startswith("$") else ""
        return [
            sign + np.format_float_positional(value, trim="-") if value < 1 else f"{sign}{value:,.10g}"
            for value in values
        ]
    if any(value and not 1e-4 <= abs(value) < 1e6 for value in values):
        return [f"{value:.6g}" for value in values]
    decimals = max((len(f"{value:.8f}".rstrip("0").partition(".")[2]) for value in values), default=0)
    return [f"{value:,.{decimals}f}" for value in values]
