"""What each lever saved: trials with the same settings but for one, paired.

A lever is a setting that a study tried at several values. For each of its values other than the plain one, every
two trials that differ in it alone make a pair; the differences over the pairs, in dollars and in quality, come with
their 95 % interval (Student's t over the pairs: Student 1908, Biometrika 6), which a single pair has not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.frontier.student_t import t_quantile
from tracker.records import Role, SettingValue
from tracker.report.tables import searched_settings
from tracker.store.run_table import StudyTable

COLUMNS = [
    *("lever", "without", "with", "pairs"),
    *("usd_without", "usd_difference", "usd_low", "usd_high", "usd_ratio"),
    *("quality_without", "quality_difference", "quality_low", "quality_high"),
]
_PLAIN: Mapping[str, SettingValue] = {"precision": "fp32", "device": "cpu", "processes": 1}
"""The value that a lever is measured against where it is not the false, or smallest, one."""
Floats = NDArray[np.float64]


def levers_table(table: StudyTable) -> pd.DataFrame:
    """One row for each lever and value that at least one pair of completed trials tells of; most pairs first.

    Columns: lever, without (the plain value: false, fp32, cpu, 1 or the smallest), with (the value it is compared
    with), pairs, usd_without (mean price of a trial without, in USD), usd_difference (mean of with less without),
    usd_low and usd_high (its interval; NaN for one pair), usd_ratio (the geometric mean of with over without), and
    quality_… likewise for the quality of a trial's last checkpoint. Trials that only differ in nothing are averaged
    first; with a knob ``seed`` among the settings, pairs are of equal seeds.
    """
    runs = table.runs
    outcomes = runs[["price_usd", "quality"]].to_numpy(dtype=np.float64)
    usable = (
        np.isfinite(outcomes).all(axis=1) & ((runs["role"] == Role.TRIAL) & (runs["state"] == "completed")).to_numpy()
    )
    settings, outcomes = table.settings[usable], outcomes[usable]
    codes = {str(name): pd.factorize(settings[name].to_numpy()) for name in settings}
    generator = np.random.default_rng(0)
    marks = {name: _marks(values, len(known), generator) for name, (values, known) in codes.items()}
    whole = np.sum(list(marks.values()), axis=0, dtype=np.uint64)
    rows = [
        row
        for lever in searched_settings(table)
        if lever != "seed"
        for row in _rows(lever, codes[lever], whole - marks[lever], outcomes)
    ]
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.sort_values("pairs", ascending=False, kind="stable").reset_index(drop=True)


def _marks(codes: NDArray[np.intp], count: int, generator: np.random.Generator) -> NDArray[np.uint64]:
    """A random number of 64 bits for each value of a column, whose sum over columns stands for a row (Zobrist 1970).

    Two different rows among n have the same sum with a probability of n² / 2**65.
    """
    return generator.integers(2**64, size=count + 1, dtype=np.uint64)[codes]


def _rows(
    lever: str, coded: tuple[NDArray[np.intp], NDArray[np.object_]], rest: NDArray[np.uint64], outcomes: Floats
) -> list[dict[str, Any]]:
    """The rows of one lever.

    ``coded`` has each trial's place among the lever's values, and these; ``rest`` is equal for trials that are equal
    but for the lever, and ``outcomes`` has price and quality: shape [trials, 2].
    """
    codes, values = coded
    if len(values) < 2:
        return []
    plain = _plain_code(lever, values)
    has, has_not = codes == plain, (codes >= 0) & (codes != plain)
    paired = (codes >= 0) & np.isin(rest, np.intersect1d(rest[has], rest[has_not]))
    means = pd.DataFrame({"group": rest, "code": codes, "usd": outcomes[:, 0], "quality": outcomes[:, 1]})[paired]
    means = means.groupby(["group", "code"], as_index=False, sort=False).mean()
    without = means[means["code"] == plain].drop(columns="code")
    pairs = means[means["code"] != plain].merge(without, on="group", suffixes=("_with", "_without"))
    found = {values[each["code"].iloc[0]]: each for _, each in pairs.groupby("code")}
    tried = sorted(found, key=lambda value: (str(type(value)), value))
    return [_row(lever, values[plain], value, found[value]) for value in tried]


def _plain_code(lever: str, values: NDArray[np.object_]) -> int:
    known = [code for code, value in enumerate(values) if value == _PLAIN.get(lever)]
    return known[0] if known else min(range(len(values)), key=lambda code: (str(type(values[code])), values[code]))


def _row(lever: str, plain: SettingValue, value: SettingValue, pairs: pd.DataFrame) -> dict[str, Any]:
    """``pairs``: a row each, with usd_without, usd_with, quality_without and quality_with."""
    usd = pairs[["usd_without", "usd_with"]].to_numpy()
    quality = pairs[["quality_without", "quality_with"]].to_numpy()
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
