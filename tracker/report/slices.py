"""Where a study does worst: slices of the data, by metrics of their own, and settings that fail or are dominated.

A slice has its own metric where several names are equal up to a separator: accuracy/cat and accuracy/dog, recall@day
and recall@night. A metric such as worst_slice_accuracy or slice_accuracy_gap already is the worst of its run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.frontier.student_t import CONFIDENCE
from tracker.records import Direction, QualityMetric, Role
from tracker.report.knob_levels import knob_levels, knobs_of
from tracker.report.metric_names import likely_direction
from tracker.report.tables import trial_checkpoints
from tracker.store.run_table import StudyTable

MARKS = ("/", "@", ":")
"""Separators between a metric and its slice."""
SLICE_COLUMNS = ["metric", "slice", "value", "better"]
OUTCOME_COLUMNS = [
    *("knob", "value", "trials", "failed", "failure_rate", "failure_low", "failure_high"),
    *("dominated", "dominated_rate", "dominated_low", "dominated_high"),
]
MOST_VALUES = 6
"""A knob with more values is binned into levels."""
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_LOSING = ("failed", "killed")


@dataclass(frozen=True, slots=True)
class BestPoint:
    """The frontier's best checkpoint in quality: its trial, epoch and row in ``table.checkpoints``."""

    trial: int
    epoch: int
    at: int


def best_point(table: StudyTable) -> BestPoint | None:
    """The best checkpoint that keeps the study's limits; None without any."""
    points = trial_checkpoints(table)
    frontier = points[points["on_frontier"].to_numpy(dtype=np.bool_)]
    if frontier.empty:
        return None
    best = frontier.sort_values("price_usd").iloc[-1]
    return BestPoint(int(best["trial"]), int(best["epoch"]), int(best["at"]))


def slice_groups(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Metrics with several slices: for each its slices, with the full name of each slice's metric.

    >>> slice_groups(["accuracy", "recall/cat", "recall/dog", "f1@day"])
    {'recall': {'cat': 'recall/cat', 'dog': 'recall/dog'}}
    """
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        for mark in MARKS:
            metric, found, part = name.partition(mark)
            if found and metric and part:
                groups.setdefault(metric, {})[part] = name
                break
    return {metric: slices for metric, slices in groups.items() if len(slices) > 1}


def worst_slices(table: StudyTable) -> pd.DataFrame:
    """The slices at the frontier's best checkpoint, the worst first per metric; empty where none is logged.

    Columns: metric, slice, value, and better: "higher" or "lower", from the study for its own metric, else by name
    (losses, errors, gaps and amounts are better when lower). Metrics that already are the worst, or the gap, of all
    slices have the slice "worst of all" or "best less worst".
    """
    best = best_point(table)
    names = [name for name in table.metrics.names if "slice" in name or any(mark in name for mark in MARKS)]
    if best is None or not names:
        return pd.DataFrame(columns=SLICE_COLUMNS)
    rows = []
    for metric, slices in slice_groups(names).items():
        better = "higher" if direction_of(metric, table.quality) is Direction.MAXIMIZE else "lower"
        found = [(metric, part, _value(table, name, best.at), better) for part, name in slices.items()]
        usable = [row for row in found if math.isfinite(row[2])]
        rows += sorted(usable, key=lambda row: row[2] if row[3] == "higher" else -row[2])
    for name in (name for name in names if name.startswith(("worst_slice_", "slice_"))):
        kind, better = ("best less worst", "lower") if name.endswith("_gap") else ("worst of all", "")
        value = _value(table, name, best.at)
        if math.isfinite(value):
            plain = name.removeprefix("worst_").removeprefix("slice_").removesuffix("_gap")
            higher = direction_of(plain, table.quality) is Direction.MAXIMIZE
            rows.append((plain, kind, value, better or ("higher" if higher else "lower")))
    return pd.DataFrame(rows, columns=SLICE_COLUMNS)


def direction_of(metric: str, quality: QualityMetric) -> Direction:
    """Which way a metric is better: from the study for its own metric, else by its name."""
    return quality.direction if metric == quality.name else likely_direction(metric)


def value_outcomes(table: StudyTable) -> pd.DataFrame:
    """The outcomes of trials by value of each searched knob, the most certain failures first.

    Columns: knob, value (in words; a range of a numeric knob with many values), trials (that have ended), failed (of
    these, failed or killed), failure_rate with its interval (failure_low, failure_high), dominated (trials without a
    checkpoint on the frontier) likewise. Rates are from 0 to 1, with 95 % intervals by Wilson (1927, JASA 22). Values
    with average outcomes are included.
    """
    ended = ((table.runs["role"] == Role.TRIAL) & (table.runs["state"] != "running")).to_numpy()
    if not ended.any():
        return pd.DataFrame(columns=OUTCOME_COLUMNS)
    failed = table.runs["state"].isin(_LOSING).to_numpy()[ended]
    points = trial_checkpoints(table)
    on_frontier = np.zeros(len(table.runs), dtype=np.bool_)
    on_frontier[points.loc[points["on_frontier"].to_numpy(dtype=np.bool_), "run"].to_numpy(dtype=np.intp)] = True
    dominated = ~on_frontier[ended]
    rows: list[dict[str, Any]] = []
    for knob in knobs_of(table):
        levels = knob_levels(table.settings[knob][ended], MOST_VALUES)
        for at, value in enumerate(levels.names):
            has = levels.codes == at
            if has.any():
                rates = _rates(failed[has], dominated[has])
                rows.append({"knob": knob, "value": value, "trials": int(has.sum()), **rates})
    found = pd.DataFrame(rows, columns=OUTCOME_COLUMNS)
    by = ["failure_low", "failure_rate", "dominated_low", "trials"]
    return found.sort_values(by, ascending=False, kind="stable").reset_index(drop=True)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, where ``count`` of ``total`` were seen (Wilson 1927, JASA 22).

    >>> [round(bound, 3) for bound in wilson_interval(2, 10)]
    [0.057, 0.51]
    """
    share, weight = count / total, _Z * _Z / total
    middle = (share + weight / 2) / (1 + weight)
    half = _Z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / total / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def _rates(failed: NDArray[np.bool_], dominated: NDArray[np.bool_]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for name, prefix, happened in (("failed", "failure", failed), ("dominated", "dominated", dominated)):
        count, total = int(happened.sum()), len(happened)
        low, high = wilson_interval(count, total)
        rates |= {name: count, f"{prefix}_rate": count / total, f"{prefix}_low": low, f"{prefix}_high": high}
    return rates


def _value(table: StudyTable, name: str, at: int) -> float:
    return float(table.metrics[name][at]) if name in table.metrics.names else math.nan
