"""A comparison of studies as people read it: the same sentences and tables in a terminal, on a page, in a browser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from tracker.report import words
from tracker.report.same_quality import few_qualities
from tracker.report.sides import trials_usd
from tracker.report.study_comparison import StudyComparison

SIDE = "study"


def spent_sentences(comparison: StudyComparison) -> list[str]:
    """What each side is, a sentence each: its trials, what they cost, and what the rest cost that is not compared."""
    sentences = []
    for side in comparison.sides:
        trials = sum(int((table.runs["role"] == "trial").sum()) for table in side.tables)
        searching = sum(map(trials_usd, side.tables))
        beside = sum(table.spend_usd for table in side.tables) - searching
        rest = f"; {words.money(beside, comparison.unit)} more on preparation, baselines and repeats"
        sentences.append(
            f"{side.name}: {words.several(trials, 'trial')} for {words.money(searching, comparison.unit)}"
            f"{rest if beside > 0 else ''}"
        )
    return sentences


def corner_sentence(comparison: StudyComparison) -> str:
    """Where hypervolume is measured from."""
    corner = comparison.corner
    price = words.money(corner.price_usd, comparison.unit)
    return f"measured from {comparison.metric} {words.quality(corner.quality)} for {price}, the same for all"


def equal_dollars_words(comparison: StudyComparison) -> pd.DataFrame:
    """``equal_dollars`` as texts, a level's amount in its first row only; * where a side had spent less than that."""
    rows = [
        (
            words.money(row["at_usd"], comparison.unit) if first else "",
            row["side"],
            f"{words.quality(row['hypervolume'])}{'*' if row['beyond_spend'] else ''}",
            interval(row["hypervolume_low"], row["hypervolume_high"]),
            "" if math.isnan(row["difference"]) else f"{row['difference']:+.3g}",
            "" if math.isnan(row["difference"]) else interval(row["difference_low"], row["difference_high"]),
        )
        for row, first in _by_level(comparison.equal_dollars, "at_usd")
    ]
    minus = f"minus {comparison.names[0]}"
    columns = ["spent", SIDE, "hypervolume", "95 %", minus, "95 % of that"]
    return pd.DataFrame(rows, columns=columns)


def same_quality_words(comparison: StudyComparison) -> pd.DataFrame:
    """``same_quality`` at a few qualities as texts, a quality in its first row only."""
    rows = [
        (
            words.quality(row["quality"]) if first else "",
            row["side"],
            _price(row, comparison),
            "" if math.isnan(row["price_ratio"]) else f"{row['price_ratio']:.3g} ×",
            "" if math.isnan(row["price_ratio"]) else interval(row["price_ratio_low"], row["price_ratio_high"]),
            words.money(row["found_after_usd"], comparison.unit),
        )
        for row, first in _by_level(few_qualities(comparison.same_quality), "quality")
    ]
    ratio = f"/ {comparison.names[0]}"
    return pd.DataFrame(rows, columns=[comparison.metric, SIDE, "price", ratio, "95 % of that", "found after"])


def interval(low: float, high: float) -> str:
    """The bounds of an interval with three significant digits; a dash where there is none.

    >>> interval(0.12345, 1.5), interval(math.nan, math.nan)
    ('0.123 to 1.5', '—')
    """
    return words.NOTHING if math.isnan(low) else f"{low:.3g} to {high:.3g}"


def _price(row: Mapping[Any, Any], comparison: StudyComparison) -> str:
    if row["reached_by"] == row["studies"]:
        return words.money(row["price_usd"], comparison.unit)
    return f"by {row['reached_by']} of {row['studies']}" if row["reached_by"] else "not reached"


def _by_level(table: pd.DataFrame, level: str) -> Iterator[tuple[Mapping[Any, Any], bool]]:
    """The rows, and whether each is the first of its level."""
    before = None
    for row in table.to_dict("records"):
        yield row, row[level] != before
        before = row[level]
