"""A plotly figure as a picture without a browser: matplotlib draws what the charts of this project use of plotly.

That is: lines (steps, dashes, an area below), markers with texts and error bars, horizontal bars, lines across the
chart, annotations, a legend above the chart, linear and logarithmic axes. The figure stays the one description of a
chart; what is not in this list is not drawn. One pixel of plotly is one point here, so sizes carry over.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from tracker.export.drawing_axes import set_ticks
from tracker.report.style import AXIS, FONT, GRID

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
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it is small, can be found, and takes the page's font
    "svg.hashsalt": "tracker",
    "font.family": ["DejaVu Sans"],
    "font.size": 13,
    "text.color": INK,
    "axes.labelcolor": INK,
    "path.simplify": False,
}
SIDE, GAP, ROW = 16.0, 12.0, 22.0  # around the chart, between an axis and its title, of the legend's rows; in points
PNG_SCALE = 2.0


def draw(figure: go.Figure, kind: str, width: int = 1000, height: int | None = None) -> bytes:
    """A figure as an image of ``kind`` "svg" or "png", ``width`` by ``height`` (the figure's own) CSS pixels.

    A png has twice as many pixels. The same figure gives the same bytes.
    """
    size = width, height or int(figure.layout.height or 450)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that the font lacks: an SVG's reader may have them
        canvas = _drawn(figure, size)
        target = io.BytesIO()
        if kind == "png":
            canvas.savefig(target, format="png", dpi=72 * PNG_SCALE, facecolor="white", metadata={"Software": None})
            return target.getvalue()
        canvas.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _tidy(target.getvalue().decode("utf-8"), size)


def _tidy(svg: str, size: tuple[int, int]) -> bytes:
    """The SVG without what only weighs, in the page's font."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*|<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("'DejaVu Sans'", FONT)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'width="{size[0]}" height="{size[1]}"', svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).encode("utf-8", "backslashreplace")


def _drawn(figure: go.Figure, size: tuple[int, int]) -> Figure:
    canvas = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
    FigureCanvasAgg(canvas)
    legend = _legend(canvas, figure, size)
    axes = canvas.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.patch.set_visible(False)
    for trace in figure.data:
        {"bar": _add_bars, "scatter": _add_scatter}[trace.type](axes, trace)
    _set_axes(axes, figure.layout)
    for shape in figure.layout.shapes:
        _add_line_across(axes, shape)
    for note in figure.layout.annotations:
        _add_annotation(axes, note)
    _place(axes, canvas, size, top=legend)
    return canvas


# Axes


def _set_axes(axes: Axes, layout: Any) -> None:
    bars = bool(axes.patches)
    for name, axis in (("x", layout.xaxis), ("y", layout.yaxis)):
        ours = getattr(axes, f"{name}axis")
        spine = axes.spines["bottom" if name == "x" else "left"]
        visible = axis.visible is not False
        ours.set_visible(visible)
        spine.set_visible(visible and axis.showline is not False)
        spine.set_color(_colour(AXIS))
        spine.set_linewidth(1)
        long = 0 if axis.ticks == "" else 5
        axes.tick_params(axis=name, length=long, width=1, color=_colour(AXIS), labelsize=12, labelcolor=INK, pad=3)
        if visible and axis.showgrid is not False:
            axes.grid(axis=name, color=_colour(GRID), linewidth=1)
        if bars and name == "y":
            axes.set_ylim(*(axes.get_ylim()[::-1] if axis.autorange == "reversed" else axes.get_ylim()))
        else:
            set_ticks(axes, name, axis)
        if axis.title.text:
            getattr(axes, f"set_{name}label")(plain(axis.title.text), labelpad=GAP - 4, fontsize=13, parse_math=False)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _place(axes: Axes, canvas: Figure, size: tuple[int, int], top: float) -> None:
    """Give the axes all the room that their labels, and the legend at the top, leave."""
    width, height = size
    renderer = canvas.canvas.get_renderer()  # type: ignore[attr-defined]
    inner = axes.get_window_extent(renderer)
    parts = [part.get_tightbbox(renderer) for part in (axes.xaxis, axes.yaxis) if part.get_visible()]
    left = max([0.0, *(inner.x0 - part.x0 for part in parts if part)]) + 6
    below = max([0.0, *(inner.y0 - part.y0 for part in parts if part)]) + 6
    above = max(top, 10.0)
    axes.set_position((left / width, below / height, (width - left - SIDE) / width, (height - below - above) / height))


# Traces


def _add_scatter(axes: Axes, trace: Any) -> None:
    xs, ys = _numbers(trace.x), _numbers(trace.y)
    modes = (trace.mode or "lines").split("+")
    if "lines" in modes:
        steps = "steps-post" if trace.line.shape == "hv" else "default"
        axes.plot(xs, ys, drawstyle=steps, zorder=2.5, solid_joinstyle="miter", **_line(trace.line))
        if trace.fill == "tozeroy":
            step = "post" if trace.line.shape == "hv" else None
            axes.fill_between(xs, ys, 0, step=step, linewidth=0, color=_colour(trace.fillcolor), zorder=2)
    if trace.error_y.array is not None:
        _add_intervals(axes, trace, xs, ys)
    if "markers" in modes:
        _add_markers(axes, trace, xs, ys)
    if "text" in modes:
        sides = _each(trace.textposition, len(xs))
        for x, y, text, side in zip(xs, ys, _each(trace.text, len(xs)), sides, strict=True):
            if text:
                _add_text(axes, (x, y), text, side or "middle center", trace.textfont)


def _add_markers(axes: Axes, trace: Any, xs: np.ndarray, ys: np.ndarray) -> None:
    """The markers, those of one look at once."""
    marker = trace.marker
    count = len(xs)
    looks = list(zip(*(_each(each, count) for each in (marker.symbol, marker.color, marker.size)), strict=True))
    clipped = trace.cliponaxis is not False and "text" not in (trace.mode or "")
    for look in dict.fromkeys(looks):
        at = [index for index, each in enumerate(looks) if each == look]
        style = _marker(look, marker.line)
        axes.plot(xs[at], ys[at], linestyle="none", clip_on=clipped, zorder=3, **style)


def _marker(look: tuple[Any, Any, Any], line: Any) -> dict[str, Any]:
    """A marker's look for matplotlib from plotly's symbol, colour and size."""
    symbol, colour, size = look
    name = str(symbol or "circle")
    shape, scale = _MARKERS.get(name.removesuffix("-open"), _MARKERS["circle"])
    hollow = name.endswith("-open")
    edge = _colour(colour) if hollow else _colour(line.color or "rgba(0,0,0,0)")
    width = float(line.width or (1.0 if hollow else 0.0)) if not isinstance(line.width, tuple) else 1.0
    return {
        "marker": MarkerStyle(shape, joinstyle="miter"),
        "markersize": float(size or 6) * scale,
        "markerfacecolor": "none" if hollow else _colour(colour),
        "markeredgecolor": edge,
        "markeredgewidth": width,
    }


def _add_intervals(axes: Axes, trace: Any, xs: np.ndarray, ys: np.ndarray) -> None:
    error = trace.error_y
    up = _numbers(error.array)
    down = up if error.arrayminus is None else _numbers(error.arrayminus)
    look = {"ecolor": _colour(error.color), "elinewidth": error.thickness or 1.5, "capsize": error.width or 4}
    axes.errorbar(xs, ys, yerr=[down, up], linestyle="none", zorder=2.8, **look)


def _add_text(axes: Axes, at: tuple[float, float], text: str, side: str, font: Any) -> None:
    vertical, horizontal = side.split()
    away = 7.0
    dx = {"left": -away, "center": 0.0, "right": away}[horizontal]
    dy = {"top": away, "middle": 0.0, "bottom": -away}[vertical]
    axes.annotate(
        plain(text),
        at,
        xytext=(dx, dy if horizontal == "center" else dy * 0.55),
        textcoords="offset points",
        ha={"left": "right", "center": "center", "right": "left"}[horizontal],
        va={"top": "bottom", "middle": "center", "bottom": "top"}[vertical],
        fontsize=font.size or 11,
        color=_colour(font.color) if font.color else INK,
        annotation_clip=False,
        zorder=4,
        parse_math=False,
    )


def _add_bars(axes: Axes, trace: Any) -> None:
    """Horizontal bars with their texts."""
    sizes = _numbers(trace.x)
    places = np.arange(len(sizes))
    axes.barh(
        places,
        sizes,
        height=trace.width or 0.8,
        color=[_colour(each) for each in _each(trace.marker.color, len(sizes))],
    )
    axes.set_yticks(places, [plain(str(name)) for name in trace.y], parse_math=False)
    axes.set_ylim(-0.6, len(sizes) - 0.4)
    for place, size, text in zip(places, sizes, _each(trace.text, len(sizes)), strict=True):
        if text:
            look = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "fontsize": 12}
            axes.annotate(plain(text), (size, place), parse_math=False, annotation_clip=False, **look)


# What stands in the chart or over it


def _add_line_across(axes: Axes, shape: Any) -> None:
    """A line over the whole width or height, as add_hline and add_vline make it."""
    look = {**_line(shape.line), "zorder": 1.5 if shape.layer == "below" else 3}
    if str(shape.xref).endswith("domain"):
        axes.axhline(shape.y0, **look)
    elif str(shape.yref).endswith("domain"):
        axes.axvline(shape.x0, **look)


def _add_annotation(axes: Axes, note: Any) -> None:
    """A text at a place of the data or of the chart; on a logarithmic axis, plotly has it at the exponent of ten."""
    places, kinds = [], []
    for name in ("x", "y"):
        ref, at = str(getattr(note, f"{name}ref") or name), float(getattr(note, name))
        of_data = ref == name
        log = getattr(axes, f"get_{name}scale")() == "log"
        places.append(10**at if of_data and log else at)
        kinds.append("data" if of_data else "axes fraction")
    axes.annotate(
        plain(note.text),
        (places[0], places[1]),
        xycoords=(kinds[0], kinds[1]),
        xytext=(note.xshift or 0, note.yshift or 0),
        textcoords="offset points",
        ha=note.xanchor or "center",
        va={"middle": "center"}.get(note.yanchor, note.yanchor) or "center",
        fontsize=note.font.size or 12,
        color=_colour(note.font.color) if note.font.color else INK,
        annotation_clip=False,
        parse_math=False,
    )


def _legend(canvas: Figure, figure: go.Figure, size: tuple[int, int]) -> float:
    """The legend in rows at the top; returns how high it is, in points. Entries wrap, as plotly's do."""
    shown = [trace for trace in figure.data if trace.showlegend is not False and trace.name]
    if not figure.layout.showlegend or not shown:
        return 0.0
    renderer = canvas.canvas.get_renderer()  # type: ignore[attr-defined]
    x, y = 8.0, 14.0
    for trace in sorted(shown, key=lambda trace: trace.legendrank or 1000):
        words = canvas.text(0, 0, plain(trace.name), fontsize=12, va="center_baseline", parse_math=False)
        width = 32 + words.get_window_extent(renderer).width + 14
        if x > 8 and x + width > size[0] - 8:
            x, y = 8.0, y + ROW
        words.set_position(((x + 32) / size[0], 1 - y / size[1]))
        canvas.add_artist(_entry(trace, (x, y), size))
        x += width
    return y + ROW


def _entry(trace: Any, at: tuple[float, float], size: tuple[int, int]) -> Line2D:
    """The sign of a legend's entry."""
    (x, y), (width, height) = at, size
    if "markers" in (trace.mode or "lines"):
        marker = trace.marker
        look = (_first(marker.symbol), _first(marker.color), min(float(_first(marker.size) or 9), 13))
        xs, style = [(x + 19) / width], {**_marker(look, marker.line), "linestyle": "none"}
    else:
        xs, style = [x / width, (x + 24) / width], _line(trace.line)
    return Line2D(xs, [1 - y / height] * len(xs), **style)


# Values of plotly as matplotlib takes them


def plain(text: str) -> str:
    """A text of plotly, which is a little HTML, as plain text; <br> is a new line.

    >>> plain("a <b>bold</b><br>&lt;i&gt; &amp; more")
    'a bold\\n<i> & more'
    """
    lines = re.sub(r"<br\s*/?>", "\n", str(text))
    return html.unescape(re.sub(r"</?(?:b|i|sup|sub|span|em|strong)\b[^>]*>", "", lines))


def _line(line: Any) -> dict[str, Any]:
    return {
        "color": _colour(line.color or INK),
        "linewidth": float(2 if line.width is None else line.width),
        "linestyle": _DASHES.get(line.dash or "solid", "-"),
        "dash_capstyle": "butt",
    }


def _colour(text: str) -> Any:
    """A colour as matplotlib takes it: hexadecimal, rgb() or rgba()."""
    found = re.match(r"rgba?\(([^)]*)\)", str(text))
    if not found:
        return text
    values = [float(each) for each in found.group(1).split(",")]
    return (*(each / 255 for each in values[:3]), *(values[3:] or [1.0]))


def _numbers(values: Iterable[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _each(value: Any, count: int) -> Sequence[Any]:
    """One value for each of ``count``, of plotly's one for all or one each."""
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * count


def _first(value: Any) -> Any:
    return _each(value, 1)[0]
