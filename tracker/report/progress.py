"""How much frontier the money has bought so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tracker.frontier.pareto import hypervolume_growth
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
    return _corner(table, trial_checkpoints(table))


def _corner(table: StudyTable, points: pd.DataFrame) -> ReferencePoint | None:
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
    reached = trial_checkpoints(table)
    corner = reference or _corner(table, reached)
    if corner is None:
        return pd.DataFrame({"spend_usd": pd.Series(dtype=np.float64), "hypervolume": pd.Series(dtype=np.float64)})
    paid = _payments(table, reached)
    points = paid["quality"], paid["price_usd"]
    volumes = hypervolume_growth(*points, table.quality.direction, corner.quality, corner.price_usd)
    return pd.DataFrame({"spend_usd": paid["paid_usd"].cumsum(), "hypervolume": volumes})


def payments(table: StudyTable) -> pd.DataFrame:
    """Every dollar with its time, and the point that it bought, in the order of time.

    Columns: run (its row in ``table.runs``), since and timestamp (from when to when it was spent, in seconds since
    1970), paid_usd, and quality and price_usd of the point, NaN where it bought none.
    """
    return _payments(table, trial_checkpoints(table))


def _payments(table: StudyTable, points: pd.DataFrame) -> pd.DataFrame:
    steps = table.checkpoints[np.isfinite(table.checkpoints["price_usd"].to_numpy(dtype=np.float64))]
    by_run = steps.groupby("run")
    reached, worked = by_run["price_usd"].cummax(), by_run["wall_seconds"].cummax()
    counts = np.zeros(len(table.checkpoints), dtype=np.bool_)
    counts[points.loc[points["missed"] == "", "at"]] = True
    at_checkpoints = pd.DataFrame(
        {
            "run": steps["run"],
            "since": steps["timestamp"] - (worked - worked.groupby(steps["run"]).shift(fill_value=0.0)),
            "timestamp": steps["timestamp"],
            "paid_usd": reached - reached.groupby(steps["run"]).shift(fill_value=0.0),
            "quality": steps["quality"].where(counts[steps.index]),
            "price_usd": steps["price_usd"],
        }
    )
    runs, last = table.runs, pd.DataFrame({"usd": reached, "seconds": worked, "at": steps["timestamp"]})
    last = last.groupby(steps["run"]).max().reindex(runs.index)
    beyond_seconds = (runs["wall_seconds"] - last["seconds"].fillna(0.0)).clip(lower=0.0)
    ended = np.fmax(runs["started_at"] + runs["wall_seconds"], last["at"] + beyond_seconds)  # it may have paused
    beyond = pd.DataFrame(
        {
            "run": runs.index,
            "since": ended - beyond_seconds,
            "timestamp": ended,
            "paid_usd": (runs["price_usd"] - last["usd"].fillna(0.0)).clip(lower=0.0).fillna(0.0),
            "quality": np.nan,
            "price_usd": np.nan,
        }
    )
    both = pd.concat([at_checkpoints, beyond[beyond["paid_usd"] > 0]])
    return both.sort_values("timestamp", kind="stable").reset_index(drop=True)
