"""The values of a knob as a few ordered levels, for heat maps, axes and tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.report.tables import searched_settings
from tracker.report.words import setting
from tracker.store.run_table import StudyTable

MOST_LEVELS = 8
"""A numeric knob with more values is binned into parts of equally many trials."""
OTHERS = "others"


@dataclass(frozen=True)
class Levels:
    """``codes``: each trial's index in ``names``, -1 where it lacks the knob; ``numeric``: names are numbers.

    ``names`` are for people; numbers rise.
    """

    codes: NDArray[np.intp]
    names: list[str]
    numeric: bool


def knobs_of(table: StudyTable) -> list[str]:
    """The searched knobs of ``searched_settings``, without ``seed``, which is luck and not a choice."""
    return [name for name in searched_settings(table) if name != "seed"]


def is_numeric(values: pd.Series[Any]) -> bool:
    """Whether all present values are numbers; booleans are not."""
    kinds = set(values.map(type)) - {type(None)}
    return bool(kinds) and all(issubclass(kind, int | float | np.number) and kind is not bool for kind in kinds)


def knob_levels(values: pd.Series[Any], most: int = MOST_LEVELS) -> Levels:
    """The levels of a knob's values (one a trial, None where it has none); at most ``most``.

    More numbers are binned into levels of equally many trials ("1 to 2.5"); of more names, the most frequent ones and
    OTHERS.
    """
    if is_numeric(values):
        return _of_numbers(pd.to_numeric(values).to_numpy(dtype=np.float64), values, most)
    codes, found = pd.factorize(values.to_numpy())
    names = [setting(value) for value in found]
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    kept = np.argsort(-counts, kind="stable")[: len(names) if len(names) <= most else most - 1]
    order = sorted(kept.tolist(), key=lambda code: (str(type(found[code])), names[code]))
    places = np.full(len(names) + 1, len(order))  # the last is for -1
    places[order] = np.arange(len(order))
    places[-1] = -1
    return Levels(places[codes], [names[code] for code in order] + [OTHERS] * (len(order) < len(names)), False)


def _of_numbers(numbers: NDArray[np.float64], values: pd.Series[Any], most: int) -> Levels:
    known = np.isfinite(numbers)
    distinct = np.unique(numbers[known])
    if len(distinct) <= most:
        codes = np.where(known, np.searchsorted(distinct, numbers), -1)
        words = {float(value): setting(value) for value in values[known].unique()}
        return Levels(codes, [words[number] for number in distinct.tolist()], True)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, most + 1)))
    codes = np.where(known, np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2), -1)
    return Levels(codes, [f"{setting(float(low))} to {setting(float(high))}" for low, high in pairwise(edges)], True)
