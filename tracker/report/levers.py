"""What each lever saved, from pairs of trials that differ in one setting only.

A lever is a setting that a study tried at several values. For each of its values other than the default one, every two
trials that differ in it alone are a pair. The mean differences in dollars and in quality have a 95 % interval
(Student's t over the pairs: Student 1908, Biometrika 6); a single pair has none.
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
"""The value that a lever is compared with, where that is not false or the smallest one."""
Floats = NDArray[np.float64]


def levers_table(table: StudyTable) -> pd.DataFrame:
    """One row for each lever and value with at least one pair of completed trials; most pairs first.

    Columns: lever, without (the plain value: false, fp32, cpu, 1 or the smallest), with (the value it is compared
    with), pairs, usd_without (mean price of a trial without, in USD), usd_difference (mean of with less without),
    usd_low and usd_high (its interval; NaN for one pair), usd_ratio (the geometric mean of with over without), and
    quality_… likewise for the quality of a trial's last checkpoint. Trials with equal settings are averaged first; with
    a knob ``seed`` among the settings, pairs are of equal seeds.
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
    """A random number of 64 bits for each value of a column, whose sum over columns identifies a row (Zobrist 1970).

    Two different rows among n have the same sum with a probability of n² / 2**65.
    """
    return generator.integers(2**64, size=count + 1, dtype=np.uint64)[codes]


def _rows(
    lever: str, coded: tuple[NDArray[np.intp], NDArray[np.object_]], rest: NDArray[np.uint64], outcomes: Floats
) -> list[dict[str, Any]]:
    """The rows of one lever.

    ``coded`` has each trial's index among the lever's values, and the values; ``rest`` is equal for trials that differ
    in the lever only, and ``outcomes`` has price and quality: shape [trials, 2].
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
    found = _compared(pairs)
    found["lever"], found["without"] = lever, values[plain]
    found["with"] = values[found.index.to_numpy()]
    order = sorted(range(len(found)), key=lambda at: (str(type(found["with"].iloc[at])), found["with"].iloc[at]))
    return [{name: row[name] for name in COLUMNS} for row in found.iloc[order].to_dict("records")]


def _plain_code(lever: str, values: NDArray[np.object_]) -> int:
    known = [code for code, value in enumerate(values) if value == _PLAIN.get(lever)]
    return known[0] if known else min(range(len(values)), key=lambda code: (str(type(values[code])), values[code]))


def _compared(pairs: pd.DataFrame) -> pd.DataFrame:
    """The figures of COLUMNS, one row per ``code`` of ``pairs``, which is the index.

    ``pairs``: a row each, with code, usd_without, usd_with, quality_without and quality_with.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(pairs["usd_with"].to_numpy() / pairs["usd_without"].to_numpy())
    priced = (pairs[["usd_with", "usd_without"]] > 0).all(axis=1).to_numpy()
    columns = {name: pairs[f"{name}_with"] - pairs[f"{name}_without"] for name in ("usd", "quality")}
    by_code = pairs.assign(**columns, ratio=np.where(priced, ratio, np.nan), priced=priced).groupby("code")
    found = pd.DataFrame({"pairs": by_code.size()})
    for name in ("usd", "quality"):
        mean, half = by_code[name].mean(), _half_width(found["pairs"], by_code[name].std(ddof=1))
        found[f"{name}_without"] = by_code[f"{name}_without"].mean()
        found[f"{name}_difference"], found[f"{name}_low"], found[f"{name}_high"] = mean, mean - half, mean + half
    found["usd_ratio"] = np.exp(by_code["ratio"].mean()).where(by_code["priced"].all())
    return found


def _half_width(counts: pd.Series[int], deviations: pd.Series[float]) -> pd.Series[float]:
    """Half the width of the 95 % interval of the mean of that many differences; NaN for one."""
    quantiles = {count: t_quantile(count - 1) for count in counts.unique() if count > 1}
    return counts.map(quantiles) * deviations / np.sqrt(counts)


def lever_sentences(table: StudyTable) -> list[str]:
    """A sentence per lever: only differences whose interval excludes zero are claimed."""
    return [_sentence(row, table.quality.name) for row in levers_table(table).to_dict("records")]


def _sentence(row: Mapping[Any, Any], metric: str) -> str:
    named = f"{row['lever']} = {_text(row['with'])} instead of {_text(row['without'])}"
    price = _difference(row["usd_low"], row["usd_high"], f"{abs(row['usd_ratio'] - 1):.0%} ", ("cheaper", "costlier"))
    moved = f"{abs(row['quality_difference']):.3g} {metric} "
    quality = _difference(row["quality_low"], row["quality_high"], moved, ("lower", "higher"))
    pairs = f"{row['pairs']} pair{'s' if row['pairs'] != 1 else ''}"
    return f"{named} ({pairs}): price {price}; quality {quality}"


def _difference(low: float, high: float, amount: str, words: tuple[str, str]) -> str:
    if math.isnan(low):
        return "uncertain from one pair"
    if low <= 0 <= high:
        return "no certain difference"
    return amount + words[low > 0]


def _text(value: SettingValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
