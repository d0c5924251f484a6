"""What the same quality cost on each side of a comparison: the cheapest run that has it, and how soon it was found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.frontier.estimates import Estimate
from tracker.records import Direction
from tracker.report.progress import paid_points
from tracker.report.sides import Side
from tracker.report.tables import frontier_table
from tracker.store.run_table import StudyTable

MOST_LEVELS = 6
"""Of quality, that people are shown."""
COLUMNS = [
    *("quality", "side", "studies", "reached_by", "price_usd"),
    *("price_ratio", "price_ratio_low", "price_ratio_high", "found_after_usd"),
]
Floats = NDArray[np.float64]


def same_quality_table(sides: Sequence[Side]) -> pd.DataFrame:
    """One row for each quality that is on any frontier, from the worst to the best, and side.

    Columns: quality, side, studies (how many the side has), reached_by (how many of them reached it), price_usd (the
    cheapest point that is at least as good; of a group the geometric mean), price_ratio (to the first side) with the
    bounds of its 95 % interval (Welch's t on logarithms; NaN unless both sides are groups), and found_after_usd, what
    the study had spent on trials when it first had that quality at any price (of a group the geometric mean). NaN where
    not all studies of a side reached it.
    """
    sign = 1.0 if sides[0].tables[0].quality.direction is Direction.MAXIMIZE else -1.0
    of_side = [[_Reached(table, sign) for table in side.tables] for side in sides]
    gains = np.unique(np.concatenate([each.gains for studies in of_side for each in studies]))
    prices = [np.array([each.prices_at(gains) for each in studies]) for studies in of_side]
    found = [np.array([each.found_after(gains) for each in studies]) for studies in of_side]
    rows = []
    for place, gain in enumerate(gains.tolist()):
        logs = [_log_mean(of[:, place]) for of in prices]
        for at, side in enumerate(sides):
            ratio = logs[at].minus(logs[0]) if at else Estimate(math.nan)
            reached = int(np.isfinite(prices[at][:, place]).sum())
            estimates = (math.exp(each) for each in (logs[at].value, ratio.value, *ratio.interval))
            after = float(np.exp(np.log(found[at][:, place]).mean()))
            rows.append((sign * gain, side.name, len(side.tables), reached, *estimates, after))
    return pd.DataFrame(rows, columns=COLUMNS)


def few_qualities(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``same_quality_table`` for people: at most MOST_LEVELS qualities.

    Evenly spread from the worst that any side paid for to the best that all reached; then the best of all.
    """
    shared = table.groupby("quality", sort=False)["price_usd"].apply(lambda prices: bool(prices.notna().all()))
    qualities, all_have = shared.index.to_numpy(), shared.to_numpy()
    common = np.flatnonzero(all_have)
    chosen = {len(qualities) - 1} if len(qualities) else set()
    if len(common):
        spread = np.linspace(common[0], common[-1], min(MOST_LEVELS - 1, len(common)))
        chosen |= set(np.round(spread).astype(int).tolist())
    return table[table["quality"].isin(qualities[sorted(chosen)])]


class _Reached:
    """What one study reached, quality turned so that more is better."""

    def __init__(self, table: StudyTable, sign: float) -> None:
        frontier = frontier_table(table)
        self.gains: Floats = sign * frontier["quality"].to_numpy(dtype=np.float64)
        self._prices = frontier["price_usd"].to_numpy(dtype=np.float64)
        paid = paid_points(table, trials_only=True)
        self._spend = paid.paid_usd.cumsum()
        self._best = np.maximum.accumulate(np.where(np.isfinite(paid.quality), sign * paid.quality, -np.inf))

    def prices_at(self, gains: Floats) -> Floats:
        """The price in USD of the cheapest point that is at least as good as each of ``gains``; NaN where none is."""
        return np.append(self._prices, np.nan)[np.searchsorted(self.gains, gains, side="left")]

    def found_after(self, gains: Floats) -> Floats:
        """What had been spent in USD when each of ``gains`` was first reached; NaN where it never was."""
        return np.append(self._spend, np.nan)[np.searchsorted(self._best, gains, side="left")]


def _log_mean(prices: Floats) -> Estimate:
    return Estimate.mean(np.log(prices).tolist()) if np.isfinite(prices).all() else Estimate(math.nan)
