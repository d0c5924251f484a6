"""Everything that the frontier chart shows, worked out without any plotting.

Texts that hold a name or a message are escaped here once: plotly renders a subset of HTML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tracker.pricing.money_unit import MoneyUnit
from tracker.records import Direction
from tracker.report.tables import confirmed_frontier_table, references_table, trial_checkpoints
from tracker.report.words import duration, money, percent, quality, several
from tracker.store.run_table import StudyTable

UNSTATED = "not stated"


@dataclass(frozen=True)
class Plane:
    """The points of a study on the plane of price and quality.

    ``points``: one row a checkpoint of a trial: run_id, trial, epoch, quality, price_usd, on_frontier,
    missed (of the limits, in words), precision, hardware, short (its label) and hover (escaped HTML).
    ``intervals``: one row a frontier point where trials were repeated: price_usd, quality_mean, quality_low,
    quality_high, run_id, hover; no row where none was.
    ``references``: one row a baseline: name (escaped), quality, price_usd, run_id, hover. Ranges span all of them.
    ``unit`` is what prices are drawn in.
    """

    metric: str
    direction: Direction
    unit: MoneyUnit
    points: pd.DataFrame
    references: pd.DataFrame
    intervals: pd.DataFrame
    price_range_usd: tuple[float, float]
    quality_range: tuple[float, float]

    @property
    def frontier(self) -> pd.DataFrame:
        """The non-dominated points, by rising price."""
        return self.points[self.points["on_frontier"]].sort_values("price_usd")


def study_plane(table: StudyTable) -> Plane:
    """The plane of a study, its hover texts included; empty where no trial reached a checkpoint."""
    points = trial_checkpoints(table)
    of_runs = _names_of_runs(table)
    for column in ("precision", "hardware"):
        points[column] = of_runs[column].to_numpy()[points["run"]]
    points["short"] = [f"#{trial} e{epoch}" for trial, epoch in zip(points["trial"], points["epoch"], strict=True)]
    points["hover"] = _point_hovers(points, table)
    references = references_table(table)
    references["hover"] = [_reference_hover(row, table) for row in references.to_dict("records")]
    references["name"] = [escape(shorten(str(name), 42)) for name in references["name"]]
    both = pd.concat([points[["quality", "price_usd"]], references[["quality", "price_usd"]]])
    intervals = _intervals(table)
    columns = [*("run_id", "trial", "epoch", "quality", "price_usd", "on_frontier", "missed"), "precision", "hardware"]
    return Plane(
        metric=escape(shorten(table.quality.name, 32)),
        direction=table.quality.direction,
        unit=table.unit,
        points=points[[*columns, "short", "hover"]],
        references=references,
        intervals=intervals,
        price_range_usd=_span(both["price_usd"]),
        quality_range=_with_whiskers(_span(both["quality"]), intervals),
    )


def escape(text: str) -> str:
    """``text`` as plotly shows it literally; plotly knows no entity for quotes, so they stay."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(text: str, length: int) -> str:
    """``text`` on one line, cut to ``length`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def hardware_name(settings: Mapping[str, Any], sku: str) -> str:
    """Device and threads in words, escaped; the SKU where the settings name neither."""
    parts = [str(settings["device"])] if "device" in settings else []
    if isinstance(settings.get("threads"), int):
        parts.append(several(settings["threads"], "thread"))
    return escape(shorten(", ".join(parts) or sku or UNSTATED, 30))


def _names_of_runs(table: StudyTable) -> pd.DataFrame:
    """The precision and the hardware of each run, in words and escaped."""
    precision = table.settings.get("precision", pd.Series(None, index=table.settings.index, dtype=object))
    known = [name for name in ("device", "threads") if name in table.settings]
    machines = list(zip(*(table.settings[name].tolist() for name in known), table.runs["sku"].tolist(), strict=True))
    names = {
        each: hardware_name(
            {name: value for name, value in zip(known, each, strict=False) if value is not None}, each[-1]
        )
        for each in set(machines)
    }
    return pd.DataFrame(
        {
            "precision": [escape(UNSTATED if each is None else str(each)) for each in precision],
            "hardware": [names[each] for each in machines],
        }
    )


def _span(values: pd.Series[float]) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (math.nan, math.nan)


def _intervals(table: StudyTable) -> pd.DataFrame:
    columns = ["price_usd", "quality_mean", "quality_low", "quality_high", "run_id", "hover"]
    points = confirmed_frontier_table(table)
    if "quality_mean" not in points:
        return pd.DataFrame(columns=columns)
    return points.assign(hover=[_interval_hover(row) for row in points.to_dict("records")])[columns]


def _interval_hover(row: Mapping[Any, Any]) -> str:
    interval = f"{quality(row['quality_low'])} to {quality(row['quality_high'])}"
    return _lines(
        f"<b>#{row['trial']}, epoch {row['epoch']}</b> · {several(row['repeats'], 'repeat')}",
        f"mean <b>{quality(row['quality_mean'])}</b>, 95 % interval {interval}",
        f"on the frontier with a probability of {percent(row['probability_on_frontier'])}",
        f"cannot be told apart from the cheaper {row['tied_with']}" if row["tied_with"] else "",
    )


def _with_whiskers(span: tuple[float, float], intervals: pd.DataFrame) -> tuple[float, float]:
    """The range of qualities with the intervals in it, as far as they leave the points at least half of the height."""
    if intervals.empty:
        return span
    (low, high), room = span, (span[1] - span[0]) / 2
    lowest, highest = float(intervals["quality_low"].min()), float(intervals["quality_high"].max())
    return min(low, max(lowest, low - room)), max(high, min(highest, high + room))


def _point_hovers(points: pd.DataFrame, table: StudyTable) -> list[str]:
    metric, usd = escape(shorten(table.quality.name, 32)), partial(money, unit=table.unit)
    rows = points.to_dict("records")
    lasts = points.groupby("run_id")["epoch"].transform("max")
    standings = _standings(points, metric)
    return [
        _lines(
            f"<b>#{row['trial']}, epoch {row['epoch']}</b> of {last} · {escape(str(row['state']))}",
            f"{metric} <b>{quality(row['quality'])}</b> for <b>{usd(row['price_usd'])}</b>"
            f" in {duration(row['wall_seconds'])}",
            _size(table.summary_of(row["run"]), table.settings_of(row["run"])),
            f"{row['precision']} on {row['hardware']}",
            _pricing(row),
            "measured on a busy machine: the price is too high" if row["busy"] else "",
            standing,
        )
        for row, last, standing in zip(rows, lasts, standings, strict=True)
    ]


def _reference_hover(row: dict[Any, Any], table: StudyTable) -> str:
    usd = partial(money, unit=table.unit)
    run = table.runs[table.runs["run_id"] == row["run_id"]].to_dict("records")
    return _lines(
        f"<b>{escape(shorten(str(row['name']), 60))}</b> · baseline",
        f"{escape(shorten(table.quality.name, 32))} <b>{quality(row['quality'])}</b> for <b>{usd(row['price_usd'])}</b>"
        f" in {duration(row['wall_seconds'])}",
        *(_pricing(each) for each in run),
        f"dominates {several(row['dominates'], 'frontier point')}",
    )


def _lines(*lines: str) -> str:
    return "<br>".join(line for line in lines if line)


def _size(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The model's size: its parameters where they were counted, else the size dial."""
    parameters = summary.get("parameters")
    if isinstance(parameters, int | float) and math.isfinite(parameters):
        return f"{parameters:,.0f} parameters"
    return f"size {escape(str(settings['size']))}" if "size" in settings else ""


def _pricing(row: Mapping[Any, Any]) -> str:
    origin = escape(shorten(f"{row['price_source']}, {row['price_date']}", 64))
    return f"{escape(shorten(str(row['sku']), 40))}<br>price: {origin}"


def _standings(points: pd.DataFrame, metric: str) -> list[str]:
    """For each point, "on the frontier", or which run dominates it and by how much.

    Of the frontier points that dominate it, the best one that costs no more.
    """
    frontier = points[points["on_frontier"]].sort_values("price_usd")
    if frontier.empty:
        return [_outside(missed) for missed in points["missed"]]
    at = np.searchsorted(frontier["price_usd"].to_numpy(), points["price_usd"].to_numpy(), side="right") - 1
    winners = frontier.iloc[at]
    gains = winners["quality"].to_numpy() - points["quality"].to_numpy()
    savings = 1 - winners["price_usd"].to_numpy() / points["price_usd"].to_numpy()
    return [
        "<b>on the frontier</b>"
        if on_frontier
        else _outside(missed) or f"dominated by {winner}: {_by_how_much(gain, saving, metric)}"
        for on_frontier, missed, winner, gain, saving in zip(
            points["on_frontier"], points["missed"], winners["short"], gains, savings, strict=True
        )
    ]


def _outside(missed: str) -> str:
    return f"outside the limits: {escape(missed)}" if missed else ""


def _by_how_much(gain: float, saving: float, metric: str) -> str:
    better = f"{gain:+.3g} {metric}" if gain else f"the same {metric}"
    return f"{better} for {percent(saving)} less" if saving > 0 else f"{better} for the same price"
