"""How much frontier the money has bought so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tracker.frontier.pareto import frontier_mask, hypervolume
from tracker.records import Direction
from tracker.report.tables import trial_checkpoints
from tracker.store.run_table import StudyTable


@dataclass(frozen=True, slots=True)
class ReferencePoint:
    """The corner that a hypervolume is measured from: nothing worse or dearer adds to it."""

    quality: float
    price_usd: float


def reference_point(table: StudyTable) -> ReferencePoint | None:
    """The corner that suits this study: its worst quality, and its budget or what its dearest trial cost.

    None where no trial has reached a checkpoint. It moves when a worse checkpoint comes: to compare
    two studies, or a study with itself at another time, hand one corner to both.
    """
    points = trial_checkpoints(table)
    if points.empty:
        return None
    worst = points["quality"].min() if table.quality.direction == Direction.MAXIMIZE else points["quality"].max()
    return ReferencePoint(float(worst), max(float(points["price_usd"].max()), table.budget_usd or 0.0))


def hypervolume_over_spend(table: StudyTable, reference: ReferencePoint | None = None) -> pd.DataFrame:
    """The hypervolume of the frontier so far against the dollars spent so far, in the order of time.

    Columns: spend_usd (never falls, ends at the study's spend) and hypervolume (never falls; quality
    times decades of price). One row for every checkpoint and for every run's spend beyond its last
    one. ``reference`` is that of ``reference_point`` unless given.
    """
    corner = reference or reference_point(table)
    if corner is None:
        return pd.DataFrame({"spend_usd": pd.Series(dtype=np.float64), "hypervolume": pd.Series(dtype=np.float64)})
    payments = _payments(table)
    return pd.DataFrame(
        {
            "spend_usd": payments["paid_usd"].cumsum(),
            "hypervolume": list(_hypervolumes(payments, table.quality.direction, corner)),
        }
    )


def _payments(table: StudyTable) -> pd.DataFrame:
    """Every dollar with its time, and the point that it bought (NaN where it bought none)."""
    steps = table.checkpoints[np.isfinite(table.checkpoints["price_usd"].to_numpy(dtype=np.float64))]
    reached = steps.groupby("run")["price_usd"].cummax()
    before = reached.groupby(steps["run"]).shift(fill_value=0.0)
    points = trial_checkpoints(table)
    counts = np.zeros(len(table.checkpoints), dtype=np.bool_)
    counts[points.loc[points["missed"] == "", "at"]] = True
    bought = steps["quality"].where(counts[steps.index])
    at_checkpoints = pd.DataFrame(
        {
            "timestamp": steps["timestamp"],
            "paid_usd": reached - before,
            "quality": bought,
            "price_usd": steps["price_usd"],
        }
    )
    counted = reached.groupby(steps["run"]).max().reindex(table.runs.index, fill_value=0.0)
    beyond = pd.DataFrame(
        {
            "timestamp": table.runs["started_at"] + table.runs["wall_seconds"],
            "paid_usd": (table.runs["price_usd"] - counted).clip(lower=0.0).fillna(0.0),
            "quality": np.nan,
            "price_usd": np.nan,
        }
    )
    both = pd.concat([at_checkpoints, beyond[beyond["paid_usd"] > 0]])
    return both.sort_values("timestamp", kind="stable").reset_index(drop=True)


def _hypervolumes(payments: pd.DataFrame, direction: Direction, corner: ReferencePoint) -> Iterator[float]:
    """The hypervolume after each payment; only the frontier so far is carried along."""
    qualities = np.empty(0)
    prices = np.empty(0)
    volume = 0.0
    for quality, price in zip(payments["quality"], payments["price_usd"], strict=True):
        grown = np.append(qualities, quality), np.append(prices, price)
        mask = frontier_mask(*grown, direction)
        if mask[-1]:
            qualities, prices = grown[0][mask], grown[1][mask]
            volume = hypervolume(qualities, prices, direction, corner.quality, corner.price_usd)
        yield volume
