"""What each attempt used and cost, of runs that had several: from what a run had cost whenever an attempt ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.records import CostPart, TrialState
from tracker.store.column_cache import CachedStudy

PARTS_USD = tuple(f"{part}_usd" for part in CostPart)
COUNTED = ("wall_seconds", "billed_seconds", *PARTS_USD)
"""What is logged at each attempt's end, summed over the run's attempts so far (runner.bookkeeper.Account.close)."""
_MOMENT = ["run", "step", "timestamp_ms"]


class SeveralAttempts:
    """The attempts at those runs of a study that had more than one, read when they are first asked for."""

    def __init__(self, read: Callable[[], pd.DataFrame]) -> None:
        self._read = read

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row an attempt, by run and time.

        Columns: run (its row in StudyTable.runs), started_at and ended_at (seconds since 1970; the end is NaN while it
        runs), and of COUNTED what this attempt alone used and cost, as it was billed. Raises StoreError.
        """
        return self._read()


def _none() -> pd.DataFrame:
    return pd.DataFrame(
        {"run": np.empty(0, np.int64), **{name: np.empty(0) for name in ("started_at", "ended_at", *COUNTED)}}
    )


NO_ATTEMPTS = SeveralAttempts(_none)
"""Those of a study in which every run had one attempt."""


def several_attempts(study: CachedStudy, runs: pd.DataFrame, checkpoints: pd.DataFrame) -> SeveralAttempts:
    """Those of a study, given StudyTable.runs and its checkpoints as they were billed."""
    return SeveralAttempts(lambda: _attempts(study, runs, checkpoints))


def _attempts(study: CachedStudy, runs: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    sums = _sums(study, runs)
    sums = sums[sums["run"].duplicated(keep=False).to_numpy()].reset_index(drop=True)
    if sums.empty:
        return _none()
    counted, run = sums[list(COUNTED)], sums["run"]
    own = counted - counted.groupby(run).shift(fill_value=0.0)
    starts = _starts(sums, own["wall_seconds"], runs, checkpoints)
    return pd.DataFrame({"run": run, "started_at": starts, "ended_at": sums["ended_at"], **own})


def _sums(study: CachedStudy, runs: pd.DataFrame) -> pd.DataFrame:
    """What runs had used and cost, all attempts together, at each attempt's end, and what they have now.

    Columns: run, ended_at, and COUNTED among others. The last row of a run says the same as its row in ``runs``.
    """
    under_way = (runs["state"] == TrialState.RUNNING).to_numpy()
    chosen = np.flatnonzero(under_way | (runs["attempts"] > 1).to_numpy())
    sums = _logged(study, "compute_usd", chosen)
    for name in COUNTED:
        # A part that cost nothing in the end cost nothing before: a server need not be asked for it.
        if name not in sums and runs[name].to_numpy()[chosen].any():
            sums = sums.merge(_logged(study, name, chosen), how="left", on=_MOMENT)
    sums = sums.reindex(columns=[*_MOMENT, *COUNTED]).fillna(0.0)
    run = sums["run"].to_numpy()
    ends = ~sums["run"].duplicated(keep="last").to_numpy()
    settled = ends & ~under_way[run]
    sums.loc[settled, list(COUNTED)] = runs[list(COUNTED)].to_numpy(dtype=np.float64)[run[settled]]
    running = run[ends & under_way[run]]
    now = runs.loc[running, list(COUNTED)].assign(run=running, ended_at=np.nan, billed_seconds=np.nan)
    both: pd.DataFrame = pd.concat([sums.assign(ended_at=sums["timestamp_ms"] / 1000), now])
    return both.sort_values("run", kind="stable")


def _logged(study: CachedStudy, name: str, chosen: NDArray[np.int64]) -> pd.DataFrame:
    """The values of a metric by run and time. Of several at one moment the largest counts, as in MLflow."""
    found = pd.DataFrame(dict(zip((*_MOMENT, name), study.every_value(name, chosen), strict=True)))
    return found.sort_values([*_MOMENT, name]).drop_duplicates(_MOMENT, keep="last")


def _starts(
    sums: pd.DataFrame, wall_seconds: pd.Series[float], runs: pd.DataFrame, checkpoints: pd.DataFrame
) -> NDArray[np.float64]:
    """When attempts started: their wall time before they ended; the first when its run did.

    One under way: its wall time before its last checkpoint; until it has one, when the attempt before it ended.
    """
    run = sums["run"].to_numpy()
    last = checkpoints.groupby("run")[["timestamp", "wall_seconds"]].last().reindex(run)
    before = sums.groupby("run")[["ended_at", "wall_seconds"]].shift()
    reached = last["timestamp"].to_numpy() > before["ended_at"].to_numpy()
    since = last["timestamp"].to_numpy() - (last["wall_seconds"].to_numpy() - before["wall_seconds"].to_numpy())
    under_way = np.where(reached, since, before["ended_at"])
    starts = np.where(sums["ended_at"].isna(), under_way, sums["ended_at"] - wall_seconds)
    return np.where(sums["run"].duplicated(), starts, runs["started_at"].to_numpy()[run])
