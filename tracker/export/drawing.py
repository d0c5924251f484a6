"""A plotly figure as a picture without a browser: matplotlib draws what the charts of this project use of plotly.

That is: lines (steps, dashes, an area below or inside), markers with texts and error bars, horizontal bars, lines
across the chart, annotations, a legend above the chart, linear and logarithmic axes. The figure stays the one
description of a chart; what is not in this list is not drawn. One pixel of plotly is one point here, so sizes carry
over.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any, Literal

import matplotlib as mpl
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tracker.export.drawing_axes import set_ticks
from tracker.export.drawing_traces import add_annotation, add_bars, add_line_across, add_scatter
from tracker.export.drawing_values import INK, colour, first_of, line_look, marker_look, plain
from tracker.report.style import AXIS, FONT, GRID

_STYLE: Any = {
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
        {"bar": add_bars, "scatter": add_scatter}[trace.type](axes, trace)
    _set_axes(axes, figure.layout)
    for shape in figure.layout.shapes:
        add_line_across(axes, shape)
    for note in figure.layout.annotations:
        add_annotation(axes, note)
    _place(axes, canvas, size, top=legend)
    return canvas


def _set_axes(axes: Axes, layout: Any) -> None:
    bars = bool(axes.patches)
    sides: tuple[tuple[Literal["x", "y"], Any], ...] = (("x", layout.xaxis), ("y", layout.yaxis))
    for name, axis in sides:
        ours = getattr(axes, f"{name}axis")
        spine = axes.spines["bottom" if name == "x" else "left"]
        visible = axis.visible is not False
        ours.set_visible(visible)
        spine.set_visible(visible and axis.showline is not False)
        spine.set_color(colour(AXIS))
        spine.set_linewidth(1)
        long = 0 if axis.ticks == "" else 5
        axes.tick_params(axis=name, length=long, width=1, color=colour(AXIS), labelsize=12, labelcolor=INK, pad=3)
        if visible and axis.showgrid is not False:
            axes.grid(axis=name, color=colour(GRID), linewidth=1)
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
        look = (first_of(marker.symbol), first_of(marker.color), min(float(first_of(marker.size) or 9), 13))
        xs, style = [(x + 19) / width], {**marker_look(look, marker.line), "linestyle": "none"}
    else:
        xs, style = [x / width, (x + 24) / width], line_look(trace.line)
    return Line2D(xs, [1 - y / height] * len(xs), **style)
