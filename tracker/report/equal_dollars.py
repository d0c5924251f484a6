"""Hypervolume at equal dollars: how good each side's frontier was when each had spent the same on trials.

What a study spent on its preparation, on baselines and on repeats does not count: it searches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import RequestError
from tracker.frontier.estimates import Estimate
from tracker.frontier.half_splits import (
    DEGREES,
    FEWEST_TRIALS,
    Corner,
    hypervolume_at,
    scatter_between_halves,
)
from tracker.frontier.student_t import CONFIDENCE
from tracker.pricing.money_unit import MoneyUnit
from tracker.records import Direction
from tracker.report.progress import paid_points, reference_point
from tracker.report.sides import Side, trials_usd
from tracker.report.words import money

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of the smallest spend on trials, where no amounts are asked for."""
COLUMNS = [
    *("at_usd", "side", "hypervolume", "hypervolume_low", "hypervolume_high", "interval_by", "beyond_spend"),
    *("difference", "difference_low", "difference_high"),
]
BY_SEEDS, BY_HALVES, NO_INTERVAL = "seeds", "halves", ""
CURVE_STEPS = 48

Floats = NDArray[np.float64]


def common_corner(sides: Sequence[Side], given: tuple[float, float] | None = None) -> Corner:
    """The one corner for all: the worst quality of any trial, and the largest budget or price of a trial.

    ``given`` is a quality and a price in USD in its place. Raises RequestError for one that is not finite or not
    above $0.
    """
    direction = sides[0].tables[0].quality.direction
    if given is not None:
        if not all(map(math.isfinite, given)) or given[1] <= 0:
            raise RequestError(
                f"reference {given[0]:g},{given[1]:g}: the quality must be finite, the price finite and above $0"
            )
        return Corner(*given, direction)
    corners = [corner for side in sides for table in side.tables if (corner := reference_point(table)) is not None]
    worst = min if direction == Direction.MAXIMIZE else max
    return Corner(worst(corner.quality for corner in corners), max(corner.price_usd for corner in corners), direction)


def levels_usd(sides: Sequence[Side], asked: Sequence[float] = ()) -> Floats:
    """The amounts to compare at, in USD, rising: those asked for, or SHARES of the smallest spend.

    Raises RequestError for an amount that is not finite or not above $0.
    """
    for amount in asked:
        if not math.isfinite(amount) or amount <= 0:
            raise RequestError(f"--at-usd {amount:g}: allowed is an amount of dollars above 0")
    least = min(trials_usd(table) for side in sides for table in side.tables)
    return np.array(sorted(set(asked))) if asked else least * np.array(SHARES)


@dataclass(frozen=True, eq=False)
class EqualDollars:
    """``table``: see ``_table``; ``curves``: see ``_curves``."""

    table: pd.DataFrame
    curves: pd.DataFrame


def equal_dollars(sides: Sequence[Side], corner: Corner, at_usd: Floats) -> EqualDollars:
    """The sides' hypervolumes at ``at_usd`` [k], and how they grew, each study being worked through once."""
    grids = [min(trials_usd(table) for table in side.tables) * np.linspace(0, 1, CURVE_STEPS + 1)[1:] for side in sides]
    estimates = [_estimates(side, corner, np.append(at_usd, grid)) for side, grid in zip(sides, grids, strict=True)]
    return EqualDollars(
        _table(sides, at_usd, [each[: len(at_usd)] for each in estimates]),
        _curves(sides, grids, [each[len(at_usd) :] for each in estimates]),
    )


def _table(sides: Sequence[Side], at_usd: Floats, estimates: Sequence[Sequence[Estimate]]) -> pd.DataFrame:
    """One row for each amount and side, in their order.

    Columns: at_usd, side, hypervolume (quality times decades of price, of a group the mean over its studies) with the
    bounds of its 95 % interval, interval_by ("seeds", "halves" or "": none), beyond_spend (true where the side, or one
    of its studies, had spent less than that: its last known value is shown), and the difference to the first side with
    its interval (NaN for the first itself).
    """
    rows = []
    for place, amount in enumerate(at_usd.tolist()):
        for at, side in enumerate(sides):
            mine = estimates[at][place]
            apart = mine.minus(estimates[0][place]) if at else Estimate(math.nan)
            by = NO_INTERVAL
            if math.isfinite(mine.half_width):
                by = BY_SEEDS if len(side.tables) > 1 else BY_HALVES
            beyond = any(trials_usd(table) < amount * (1 - 1e-9) for table in side.tables)
            low, high = mine.interval
            low = low if math.isnan(low) else max(low, 0.0)  # no hypervolume is below 0
            rows.append((amount, side.name, mine.value, low, high, by, beyond, apart.value, *apart.interval))
    return pd.DataFrame(rows, columns=COLUMNS)


def _curves(sides: Sequence[Side], grids: Sequence[Floats], estimates: Sequence[Sequence[Estimate]]) -> pd.DataFrame:
    """How each side's hypervolume grew with its spend, to draw it: CURVE_STEPS amounts a side, up to its least spend.

    Columns: side, spend_usd, hypervolume, hypervolume_low and hypervolume_high (NaN without an interval).
    """
    curves = []
    for side, spend_usd, found in zip(sides, grids, estimates, strict=True):
        low, high = zip(*(each.interval for each in found), strict=True)
        curve = pd.DataFrame({"side": side.name, "spend_usd": spend_usd})
        curves.append(
            curve.assign(
                hypervolume=[each.value for each in found], hypervolume_low=np.maximum(low, 0.0), hypervolume_high=high
            )
        )
    return pd.concat(curves, ignore_index=True)


def _estimates(side: Side, corner: Corner, at_usd: Floats) -> list[Estimate]:
    """The side's hypervolume at each amount; with its error over seeds of a group, between halves of a study alone."""
    paid = [paid_points(table, trials_only=True) for table in side.tables]
    values = np.array([hypervolume_at(each, at_usd, corner) for each in paid])
    if len(paid) > 1:
        return [Estimate.mean(column) for column in values.T.tolist()]
    errors = scatter_between_halves(paid[0], at_usd, corner)
    return [Estimate(*each, DEGREES) for each in zip(values[0].tolist(), errors.tolist(), strict=True)]


def verdicts(table: pd.DataFrame, unit: MoneyUnit) -> list[str]:
    """What the difference of each side to the first comes to, at the most dollars that all have spent: a sentence each.

    ``table`` is that of ``equal_dollars``. Where no amount was spent by all, there is nothing to say.
    """
    by_all = table.groupby("at_usd")["beyond_spend"].transform(lambda beyond: not beyond.any()).to_numpy(dtype=np.bool_)
    spent = table[by_all]
    last = spent[spent["at_usd"] == spent["at_usd"].max()].to_dict("records")
    sentences = []
    for row in last[1:]:
        low, high, first = row["difference_low"], row["difference_high"], last[0]["side"]
        sure = f"95 %: {low:+.3g} to {high:+.3g}"
        if math.isnan(low):
            verdict, sure = f"against {first}", "too few trials for an interval"
        elif low <= 0 <= high:
            verdict = f"cannot be distinguished from {first}"
        else:
            verdict = f"is {'ahead of' if low > 0 else 'behind'} {first}"
        amount = money(row["at_usd"], unit)
        sentences.append(f"{row['side']} {verdict} at {amount}: {row['difference']:+.3g} hypervolume ({sure})")
    return sentences


def method_sentences(sides: Sequence[Side]) -> list[str]:
    """How the intervals were made, what they cover and what not: a sentence each."""
    percent = f"{CONFIDENCE * 100:.0f} %"
    sentences = [
        "dollars are those spent on trials; hypervolume counts quality times decades of price",
        f"each interval is a {percent} confidence interval for the mean over studies of the same kind (of a difference:"
        " Welch's t), taken by itself: of 20 such intervals, one misses the truth by chance",
    ]
    if any(len(side.tables) > 1 for side in sides):
        sentences.append(
            "for a group: Student's t over its studies; it covers what the search draws and what training with another "
            "seed changes, as far as the studies differ in the seed alone"
        )
    if any(len(side.tables) == 1 for side in sides):
        sentences.append(
            "for one study: its trials are split at random into halves, whose hypervolumes at equal dollars scatter as "
            f"two studies would (random groups; Student's t with {DEGREES} degrees of freedom; from {FEWEST_TRIALS} "
            "trials on); it covers which settings were drawn and the noise of training, but not a search that gets "
            "stuck as a whole: groups of studies with other seeds (A-1,A-2,A-3) are the safer answer"
        )
    sentences.append(
        "qualities are as measured: points that are best partly by luck flatter every side; tracker confirm shows by "
        "how much"
    )
    return sentences
