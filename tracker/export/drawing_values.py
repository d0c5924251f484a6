"""Values of plotly as matplotlib takes them: texts, colours, lines, markers. One pixel of plotly is one point here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

INK = "#30353d"
_HOURGLASS = Outline([(-1, 1), (1, 1), (-1, -1), (1, -1), (-1, 1)], closed=True)
# matplotlib's marker, and how large it is drawn so that it looks as large as plotly's of the same size.
_MARKERS: dict[str, tuple[Any, float]] = {
    "circle": ("o", 1.0),
    "square": ("s", 1.0),
    "diamond": ("D", 0.92),
    "triangle-up": ("^", 1.2),
    "cross": ("P", 1.1),
    "x": ("X", 1.1),
    "pentagon": ("p", 1.1),
    "hourglass": (_HOURGLASS, 1.0),
    "star": ("*", 1.15),
    "line-ew": ("_", 1.4),
}
_DASHES: dict[str, Any] = {"dash": (0, (6, 4)), "dot": (0, (1.2, 2.4)), "dashdot": (0, (6, 3, 1.2, 3)), "solid": "-"}


def plain(text: str) -> str:
    """A text of plotly, which is a little HTML, as plain text; <br> is a new line.

    >>> plain("a <b>bold</b><br>&lt;i&gt; &amp; more")
    'a bold\\n<i> & more'
    """
    lines = re.sub(r"<br\s*/?>", "\n", str(text))
    return html.unescape(re.sub(r"</?(?:b|i|sup|sub|span|em|strong)\b[^>]*>", "", lines))


def line_look(line: Any) -> dict[str, Any]:
    """A line's look."""
    return {
        "color": colour(line.color or INK),
        "linewidth": float(2 if line.width is None else line.width),
        "linestyle": _DASHES.get(line.dash or "solid", "-"),
        "dash_capstyle": "butt",
    }


def colour(text: str) -> Any:
    """A colour as matplotlib takes it: hexadecimal, rgb() or rgba()."""
    found = re.match(r"rgba?\(([^)]*)\)", str(text))
    if not found:
        return text
    values = [float(each) for each in found.group(1).split(",")]
    return (*(each / 255 for each in values[:3]), *(values[3:] or [1.0]))


def numbers(values: Iterable[Any]) -> np.ndarray:
    """Values [n] as floats, NaN for None."""
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def each_of(value: Any, count: int) -> Sequence[Any]:
    """One value for each of ``count``, of plotly's one for all or one each."""
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * count


def first_of(value: Any) -> Any:
    """The one value, or the first of many."""
    return each_of(value, 1)[0]


def marker_look(look: tuple[Any, Any, Any], line: Any) -> dict[str, Any]:
    """A marker's look for matplotlib from plotly's symbol, colour and size."""
    symbol, fill, size = look
    name = str(symbol or "circle")
    shape, scale = _MARKERS.get(name.removesuffix("-open"), _MARKERS["circle"])
    hollow = name.endswith("-open")
    edge = colour(fill) if hollow else colour(line.color or "rgba(0,0,0,0)")
    width = float(line.width or (1.0 if hollow else 0.0)) if not isinstance(line.width, tuple) else 1.0
    return {
        "marker": MarkerStyle(shape, joinstyle="miter"),
        "markersize": float(size or 6) * scale,
        "markerfacecolor": "none" if hollow else colour(fill),
        "markeredgecolor": edge,
        "markeredgewidth": width,
    }
