"""What a static chart draws of plotly's traces, lines across the chart, and annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tracker.export.drawing_values import INK, colour, each_of, line_look, marker_look, numbers, plain


def add_scatter(axes: Axes, trace: Any) -> None:
    """Lines, the area below them, error bars, markers and texts of a scatter trace."""
    xs, ys = numbers(trace.x), numbers(trace.y)
    modes = (trace.mode or "lines").split("+")
    if "lines" in modes:
        steps = "steps-post" if trace.line.shape == "hv" else "default"
        axes.plot(xs, ys, drawstyle=steps, zorder=2.5, solid_joinstyle="miter", **line_look(trace.line))
        if trace.fill == "tozeroy":
            axes.fill_between(
                xs,
                ys,
                0,
                step="post" if trace.line.shape == "hv" else None,
                linewidth=0,
                color=colour(trace.fillcolor),
                zorder=2,
            )
        if trace.fill == "toself":
            axes.fill(xs, ys, linewidth=0, color=colour(trace.fillcolor), zorder=2)
    if trace.error_y.array is not None:
        _add_intervals(axes, trace, xs, ys)
    if "markers" in modes:
        _add_markers(axes, trace, xs, ys)
    if "text" in modes:
        sides = each_of(trace.textposition, len(xs))
        for x, y, text, side in zip(xs, ys, each_of(trace.text, len(xs)), sides, strict=True):
            if text:
                _add_text(axes, (x, y), text, side or "middle center", trace.textfont)


def _add_markers(axes: Axes, trace: Any, xs: np.ndarray, ys: np.ndarray) -> None:
    """The markers, those of one look at once."""
    marker = trace.marker
    count = len(xs)
    looks = list(zip(*(each_of(each, count) for each in (marker.symbol, marker.color, marker.size)), strict=True))
    clipped = trace.cliponaxis is not False and "text" not in (trace.mode or "")
    for look in dict.fromkeys(looks):
        at = [index for index, each in enumerate(looks) if each == look]
        style = marker_look(look, marker.line)
        axes.plot(xs[at], ys[at], linestyle="none", clip_on=clipped, zorder=3, **style)


def _add_intervals(axes: Axes, trace: Any, xs: np.ndarray, ys: np.ndarray) -> None:
    error = trace.error_y
    up = numbers(error.array)
    down = up if error.arrayminus is None else numbers(error.arrayminus)
    look = {"ecolor": colour(error.color), "elinewidth": error.thickness or 1.5, "capsize": error.width or 4}
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
        color=colour(font.color) if font.color else INK,
        annotation_clip=False,
        zorder=4,
        parse_math=False,
    )


def add_bars(axes: Axes, trace: Any) -> None:
    """Horizontal bars with their texts."""
    sizes = numbers(trace.x)
    places = np.arange(len(sizes))
    axes.barh(
        places,
        sizes,
        height=trace.width or 0.8,
        color=[colour(each) for each in each_of(trace.marker.color, len(sizes))],
    )
    axes.set_yticks(places, [plain(str(name)) for name in trace.y], parse_math=False)
    axes.set_ylim(-0.6, len(sizes) - 0.4)
    for place, size, text in zip(places, sizes, each_of(trace.text, len(sizes)), strict=True):
        if text:
            look: Any = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "fontsize": 12}
            axes.annotate(plain(text), (size, place), parse_math=False, annotation_clip=False, **look)


def add_line_across(axes: Axes, shape: Any) -> None:
    """A line over the whole width or height, as add_hline and add_vline make it."""
    look = {**line_look(shape.line), "zorder": 1.5 if shape.layer == "below" else 3}
    if str(shape.xref).endswith("domain"):
        axes.axhline(shape.y0, **look)
    elif str(shape.yref).endswith("domain"):
        axes.axvline(shape.x0, **look)


def add_annotation(axes: Axes, note: Any) -> None:
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
        color=colour(note.font.color) if note.font.color else INK,
        annotation_clip=False,
        parse_math=False,
    )
