"""Hover texts of points, escaped here because plotly renders a subset of HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints, dominators
from tracker.report.words import duration, money, percent, quality, several, visible
from tracker.store.run_table import StudyTable

UNSTATED = "not stated"


def escape(text: str) -> str:
    """Escape ``text`` for plotly, which has no entities for quotes: those stay; what turns text is written out."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(text: str, length: int) -> str:
    """``text`` on one line, cut to ``length`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def hardware_name(settings: Mapping[Any, Any], sku: str) -> str:
    """Device and threads in words, escaped; the SKU where the settings name neither."""
    parts = [str(settings["device"])] if settings.get("device") is not None else []
    threads = settings.get("threads")
    if isinstance(threads, int | float) and float(threads).is_integer():
        parts.append(several(int(threads), "thread"))
    return escape(shorten(", ".join(parts) or sku or UNSTATED, 30))


def point_hovers(points: pd.DataFrame, found: AxisPoints) -> list[str]:
    """A hover text for each of ``points``: rows of ``found.points`` with precision and hardware added."""
    table = found.table
    usd = partial(money, unit=table.unit)
    metric, own = (escape(shorten(name, 32)) for name in (found.metric, table.quality.name))
    at = points["run"].to_numpy()
    runs = table.runs[["state", "sku", "price_source", "price_date", "busy"]].take(at).to_dict("records")
    of_runs = found.points[np.isin(found.points["run"].to_numpy(), at)]
    lasts = of_runs.groupby("run")["epoch"].max().to_dict()
    sizes = _sizes(table, at)
    standing_texts = standings(points, found)
    spreads = _spreads(found)
    texts = []
    for row, run, size, standing in zip(points.to_dict("records"), runs, sizes, standing_texts, strict=True):
        if found.axes.is_of_study(table):
            figures = [f"{own} <b>{quality(row['quality'])}</b> for <b>{usd(row['price_usd'])}</b>"]
            figures[0] += f" in {duration(row['wall_seconds'])}"
        else:
            what = escape(found.x_measure.name)
            figures = [f"{metric} <b>{y_words(row['y'])}</b> · {what} <b>{found.x_measure.words(row['x'])}</b>"]
            figures.append(f"{own} {quality(row['quality'])} for {usd(row['price_usd'])}")
            figures[1] += f" in {duration(row['wall_seconds'])}"
        texts.append(
            _lines(
                f"<b>#{row['trial']}, epoch {row['epoch']}</b> of {lasts[row['run']]} · {escape(str(run['state']))}",
                *figures,
                spreads.get((row["trial"], row["epoch"]), ""),
                size,
                f"{row['precision']} on {row['hardware']}",
                _pricing(run),
                "measured on a busy machine: the price is too high" if run["busy"] else "",
                f"<b>{escape(standing)}</b>" if row["on_frontier"] else escape(standing),
            )
        )
    return texts


def reference_hover(row: Mapping[Any, Any], found: AxisPoints) -> str:
    """The hover text of a baseline: a row of axis_points.reference_points."""
    table = found.table
    run = table.runs.loc[row["run"]].to_dict()
    metric = escape(shorten(found.metric, 32))
    figures = f"{metric} <b>{y_words(row['y'])}</b> for <b>{found.x_measure.words(row['x'])}</b>"
    return _lines(
        f"<b>{escape(shorten(str(row['name']), 60))}</b> · baseline",
        f"{figures} in {duration(row['wall_seconds'])}",
        _pricing(run),
        f"dominates {several(row['dominates'], 'frontier point')}",
    )


def interval_hover(row: Mapping[Any, Any]) -> str:
    """The hover text of a frontier point with repeats: a row of the confirmed frontier."""
    interval = f"{quality(row['quality_low'])} to {quality(row['quality_high'])}"
    return _lines(
        f"<b>#{row['trial']}, epoch {row['epoch']}</b> · {several(row['repeats'], 'repeat')}",
        f"mean <b>{quality(row['quality_mean'])}</b>, 95 % interval {interval}",
        f"on the frontier with a probability of {percent(row['probability_on_frontier'])}",
        f"cannot be distinguished from the cheaper {row['tied_with']}" if row["tied_with"] else "",
    )


def standings(points: pd.DataFrame, found: AxisPoints) -> list[str]:
    """The standing of each of ``points`` in words: on the frontier and its slope, dominated by what, or off limits."""
    frontier, by = found.frontier, dominators(found, points)
    shorts = frontier["short"].tolist()
    slopes = dict(zip(shorts, frontier["x_per_step"].tolist(), strict=True))
    befores = dict(zip(shorts[1:], shorts[:-1], strict=True))
    texts = []
    columns = [points[name].tolist() for name in ("trial", "epoch", "on_frontier", "missed")]
    for trial, epoch, on, missed, winner, gain, saving in zip(
        *columns, *(by[name].tolist() for name in ("winner", "gain", "saving")), strict=True
    ):
        short = f"#{trial} e{epoch}"
        if on:
            slope = slopes.get(short, math.nan)
            more = f": {one_more(found, slope)} from {befores[short]} on" if math.isfinite(slope) else ""
            texts.append(f"on the frontier{more}")
        elif missed:
            texts.append(f"outside the limits: {missed}")
        elif winner < 0:
            texts.append("")
        else:
            texts.append(f"dominated by {shorts[winner]}: {by_how_much(found, gain, saving)}")
    return texts


def one_more(found: AxisPoints, x_per_step: float) -> str:
    """The cost of one more point of y, in words."""
    point = "one more point" if found.step == 0.01 else f"{found.step:g} of {found.metric}"
    return f"{point} costs {found.x_measure.words(x_per_step)}"


def by_how_much(found: AxisPoints, gain: float, saving: float) -> str:
    """How much better a dominating point is, and how much less it costs."""
    metric = shorten(found.metric, 32)
    better = f"{gain:+.3g} {metric}" if gain else f"the same {metric}"
    cost = "price" if found.x_measure.is_money else "cost"
    return f"{better} for {percent(saving)} less" if saving > 0 else f"{better} for the same {cost}"


def _spreads(found: AxisPoints) -> dict[tuple[int, int], str]:
    """For points with repeats, the mean of their quality and its interval, in words."""
    known = found.certainty
    if known.empty:
        return {}
    rows = known[known["repeats"] > 0].to_dict("records")
    return {
        (row["trial"], row["epoch"]): f"mean of {several(row['repeats'], 'repeat')} {quality(row['quality_mean'])}"
        f" (95 %: {quality(row['quality_low'])} to {quality(row['quality_high'])})"
        for row in rows
    }


def _lines(*lines: str) -> str:
    return "<br>".join(line for line in lines if line)


def _sizes(table: StudyTable, runs: NDArray[np.int64]) -> list[str]:
    """The model size of each run: its parameters where they were counted, else the ``size`` setting."""
    counts: list[Any] = [math.nan] * len(runs)
    dials: list[Any] = [None] * len(runs)
    if "parameters" in table.summary:
        counts = table.summary["parameters"].take(runs).tolist()
    if "size" in table.settings:
        dials = table.settings["size"].take(runs).tolist()
    return [
        f"{count:,.0f} parameters" if math.isfinite(count) else "" if dial is None else f"size {escape(str(dial))}"
        for count, dial in zip(counts, dials, strict=True)
    ]


def _pricing(run: Mapping[Any, Any]) -> str:
    origin = escape(shorten(f"{run['price_source']}, {run['price_date']}", 64))
    return f"{escape(shorten(str(run['sku']), 40))}<br>price: {origin}"
