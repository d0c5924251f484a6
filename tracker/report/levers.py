"""What each lever saved: trials with the same settings but for one, paired.

A lever is a setting that a study tried at several values. For each of its values other than the plain one, every
two trials that differ in it alone make a pair; the differences over the pairs, in dollars and in quality, come with
their 95 % interval (Student's t over the pairs: Student 1908, Biometrika 6), which a single pair has not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracker.frontier.student_t import t_quantile
from tracker.records import SettingValue
from tracker.report.tables import searched_settings
from tracker.store.run_table import StudyTable

COLUMNS = [
    *("lever", "without", "with", "pairs"),
    *("usd_without", "usd_difference", "usd_low", "usd_high", "usd_ratio"),
    *("quality_without", "quality_difference", "quality_low", "quality_high"),
]
_PLAIN: Mapping[str, SettingValue] = {"precision": "fp32", "device": "cpu", "processes": 1}
"""The value that a lever is measured against where it is not the false, or smallest, one."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    usd: float
    quality: float


def levers_table(table: StudyTable) -> pd.DataFrame:
    """One row for each lever and value that at least one pair of completed trials tells of; most pairs first.

    Columns: lever, without (the plain value: false, fp32, cpu, 1 or the smallest), with (the value it is compared
    with), pairs, usd_without (mean price of a trial without, in USD), usd_difference (mean of with less without),
    usd_low and usd_high (its interval; NaN for one pair), usd_ratio (the geometric mean of with over without), and
    quality_… likewise for the quality of a trial's last checkpoint. Trials that only differ in nothing are averaged
    first; with a knob ``seed`` among the settings, pairs are of equal seeds.
    """
    outcomes = _outcomes(table)
    rows = [row for lever in searched_settings(table) if lever != "seed" for row in _rows(lever, outcomes)]
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.sort_values("pairs", ascending=False, kind="stable").reset_index(drop=True)


def _outcomes(table: StudyTable) -> list[tuple[dict[str, SettingValue], _Outcome]]:
    """The settings of each completed trial, with its price and the quality of its last checkpoint."""
    runs = table.runs[(table.runs["role"] == "trial") & (table.runs["state"] == "completed")]
    usable = runs[np.isfinite(runs[["quality", "price_usd"]].to_numpy(dtype=np.float64)).all(axis=1)]
    return [
        (table.settings_of(row.Index), _Outcome(row.price_usd, row.quality))
        for row in usable.sort_values("trial")[["price_usd", "quality"]].itertuples()
    ]


def _rows(lever: str, outcomes: Sequence[tuple[dict[str, SettingValue], _Outcome]]) -> list[dict[str, Any]]:
    """The rows of one lever: a group is what is equal but for it."""
    groups: dict[str, dict[SettingValue, list[_Outcome]]] = defaultdict(lambda: defaultdict(list))
    for settings, outcome in outcomes:
        if lever in settings:
            rest = repr(sorted((name, value) for name, value in settings.items() if name != lever))
            groups[rest][settings[lever]].append(outcome)
    values = {value for group in groups.values() for value in group}
    if len(values) < 2:
        return []
    plain = _plain_value(lever, values)
    rows = []
    for value in sorted(values - {plain}, key=lambda each: (str(type(each)), each)):
        pairs = [
            (_mean(group[plain]), _mean(group[value])) for group in groups.values() if plain in group and value in group
        ]
        if pairs:
            rows.append(_row(lever, plain, value, pairs))
    return rows


def _plain_value(lever: str, values: set[SettingValue]) -> SettingValue:
    known = _PLAIN.get(lever)
    return known if known in values else min(values, key=lambda each: (str(type(each)), each))


def _mean(outcomes: Sequence[_Outcome]) -> _Outcome:
    count = len(outcomes)
    return _Outcome(sum(each.usd for each in outcomes) / count, sum(each.quality for each in outcomes) / count)


def _row(
    lever: str, plain: SettingValue, value: SettingValue, pairs: Sequence[tuple[_Outcome, _Outcome]]
) -> dict[str, Any]:
    usd = np.array([[each.usd for each in pair] for pair in pairs])
    quality = np.array([[each.quality for each in pair] for pair in pairs])
    usd_difference, usd_low, usd_high = mean_interval(usd[:, 1] - usd[:, 0])
    quality_difference, quality_low, quality_high = mean_interval(quality[:, 1] - quality[:, 0])
    priced = bool((usd > 0).all())
    return {
        "lever": lever,
        "without": plain,
        "with": value,
        "pairs": len(pairs),
        "usd_without": float(usd[:, 0].mean()),
        "usd_difference": usd_difference,
        "usd_low": usd_low,
        "usd_high": usd_high,
        "usd_ratio": float(np.exp(np.log(usd[:, 1] / usd[:, 0]).mean())) if priced else math.nan,
        "quality_without": float(quality[:, 0].mean()),
        "quality_difference": quality_difference,
        "quality_low": quality_low,
        "quality_high": quality_high,
    }


def mean_interval(differences: np.ndarray) -> tuple[float, float, float]:
    """The mean of some differences and its 95 % interval; NaN bounds where there is only one.

    >>> [round(value, 3) for value in mean_interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.484, 4.484]
    """
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return mean, math.nan, math.nan
    half = t_quantile(count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
    return mean, mean - half, mean + half


def lever_sentences(table: StudyTable) -> list[str]:
    """What is sure about each lever, in words: only differences whose interval leaves zero out are called one."""
    return [_sentence(row, table.quality.name) for row in levers_table(table).to_dict("records")]


def _sentence(row: Mapping[Any, Any], metric: str) -> str:
    named = f"{row['lever']} = {_text(row['with'])} instead of {_text(row['without'])}"
    price = _told(row["usd_low"], row["usd_high"], f"{abs(row['usd_ratio'] - 1):.0%} ", ("cheaper", "dearer"))
    moved = f"{abs(row['quality_difference']):.3g} {metric} "
    quality = _told(row["quality_low"], row["quality_high"], moved, ("lower", "higher"))
    pairs = f"{row['pairs']} pair{'s' if row['pairs'] != 1 else ''}"
    return f"{named} ({pairs}): price {price}; quality {quality}"


def _told(low: float, high: float, amount: str, words: tuple[str, str]) -> str:
    if math.isnan(low):
        return "not sure from one pair"
    if low <= 0 <= high:
        return "no sure difference"
    return amount + words[low > 0]


def _text(value: SettingValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
