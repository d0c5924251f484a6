"""How much frontier the money has bought so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tracker.frontier.half_splits import Payments
from tracker.frontier.pareto import hypervolume_growth
from tracker.records import Direction, Role
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
    paid = paid_points(table)
    quality, price_usd = paid.quality, paid.price_usd
    volumes = hypervolume_growth(quality, price_usd, table.quality.direction, corner.quality, corner.price_usd)
    return pd.DataFrame({"spend_usd": paid.paid_usd.cumsum(), "hypervolume": volumes})


def paid_points(table: StudyTable, *, trials_only: bool = False) -> Payments:
    """Every dollar in the order of time, with the point that it bought: a checkpoint of a trial within the limits.

    Their ``trial`` is the row in ``table.runs``; ``trials_only`` leaves out preparation, baselines and repeats.
    """
    return points_of(table, trial_payments(table) if trials_only else payments(table))


def trial_payments(table: StudyTable) -> pd.DataFrame:
    """``payments`` without preparation, baselines and repeats."""
    paid = payments(table)
    mine = (table.runs["role"] == Role.TRIAL).to_numpy()[paid["run"].to_numpy(dtype=np.int64)]
    kept: pd.DataFrame = paid[mine]
    return kept


def points_of(table: StudyTable, paid: pd.DataFrame) -> Payments:
    """Rows of ``payments`` with the points that they bought."""
    reached = trial_checkpoints(table)
    at, points = paid["at"].to_numpy(), np.full((2, len(table.checkpoints) + 1), np.nan)  # the last for no checkpoint
    kept = reached[reached["kept"].to_numpy(dtype=np.bool_)]
    points[:, kept["at"]] = kept["quality"], kept["price_usd"]
    quality, price_usd = points[:, at]
    of = paid["run"].to_numpy(dtype=np.int64)
    usd = paid["paid_usd"].to_numpy(dtype=np.float64)
    return Payments(of, usd, quality, price_usd)


def hypervolume_steps(table: StudyTable, reference: ReferencePoint | None = None) -> pd.DataFrame:
    """``hypervolume_over_spend`` without the rows that it is flat at, but for the first and the last: the same line."""
    progress = hypervolume_over_spend(table, reference)
    volumes = progress["hypervolume"].to_numpy()
    kept = np.append(True, np.diff(volumes) > 0)[: len(volumes)]
    kept[-1:] = True
    return progress[kept].reset_index(drop=True)


def payments(table: StudyTable, since: float = -np.inf) -> pd.DataFrame:
    """Every dollar with the time that it was spent in, in the order of time.

    Columns: run (its row in ``table.runs``), at (the row in ``table.checkpoints`` that it led to; -1 for what was spent
    beyond the run's last one), began and ended (in seconds since 1970), and paid_usd. Runs that had ended at ``since``
    are left out.
    """
    runs = table.runs
    last = runs["started_at"] + runs["wall_seconds"]  # or later, where it was paused
    steps = table.checkpoints[["run", "timestamp", "price_usd", "wall_seconds"]]
    if since > -np.inf:
        live = (last >= since).to_numpy(copy=True)
        live[steps["run"][(steps["timestamp"] >= since).to_numpy()]] = True
        runs, last, steps = runs[live], last[live], steps[live[steps["run"].to_numpy()]]
    steps = steps[np.isfinite(steps["price_usd"].to_numpy(dtype=np.float64))]
    by_run = steps.groupby("run")
    reached, worked = by_run["price_usd"].cummax(), by_run["wall_seconds"].cummax()
    at_checkpoints = pd.DataFrame(
        {
            "run": steps["run"],
            "at": steps.index,
            "began": steps["timestamp"] - (worked - worked.groupby(steps["run"]).shift(fill_value=0.0)),
            "ended": steps["timestamp"],
            "paid_usd": reached - reached.groupby(steps["run"]).shift(fill_value=0.0),
        }
    )
    until = by_run[["timestamp", "price_usd", "wall_seconds"]].max().reindex(runs.index)
    more_seconds = (runs["wall_seconds"] - until["wall_seconds"].fillna(0.0)).clip(lower=0.0)
    ended = np.fmax(last, until["timestamp"] + more_seconds)
    beyond = pd.DataFrame(
        {
            "run": runs.index,
            "at": -1,
            "began": ended - more_seconds,
            "ended": ended,
            "paid_usd": (runs["price_usd"] - until["price_usd"].fillna(0.0)).clip(lower=0.0).fillna(0.0),
        }
    )
    both = pd.concat([at_checkpoints, beyond[beyond["paid_usd"] > 0]])
    return both.sort_values("ended", kind="stable").reset_index(drop=True)
