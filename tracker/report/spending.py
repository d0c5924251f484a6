"""A study's spend by purpose, its burn rate, and when the budget will be reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.records import Role, TrialState
from tracker.report.progress import payments
from tracker.store.run_table import StudyTable

WINDOW_SECONDS = 600.0
"""The burn rate covers the last minutes with payments: this many seconds before the last one."""

NEW, CONTINUING, FAILURES, TRIALS = "new trials", "continuing", "failures", "trials"
PURPOSES = {
    NEW: "trials from their start until the search first chose to continue them",
    CONTINUING: "the cost of trials after that: continued or resumed",
    FAILURES: "the last attempt of every trial that failed or was killed",
    TRIALS: "trials without a record of what was started and what was continued",
    "baselines": "the cheap references",
    "preparation": "the data, once",
    "repeats": "frontier trials trained again with other seeds",
}
"""The purposes of spend, with their meanings."""
_OF_ROLES = {Role.BASELINE: "baselines", Role.PREPARATION: "preparation", Role.REPEAT: "repeats"}
_LOST = (TrialState.FAILED, TrialState.KILLED)


@dataclass(frozen=True, slots=True)
class BurnRate:
    """The rate of spend during ``seconds`` of work, up to the time ``until`` (seconds since 1970)."""

    usd_per_hour: float
    seconds: float
    until: float

    def seconds_to(self, left_usd: float) -> float:
        """How long an amount lasts at this rate; infinite where nothing is spent."""
        return 3600 * max(0.0, left_usd) / self.usd_per_hour if self.usd_per_hour > 0 else np.inf


def burn_rate(table: StudyTable, window_seconds: float = WINDOW_SECONDS) -> BurnRate | None:
    """The burn rate of a study; None before it has spent anything over a measurable time.

    A payment is spread evenly over its work. Times without work do not count.
    """
    runs, steps = table.runs, table.checkpoints
    moments = [(runs["started_at"] + runs["wall_seconds"])[(runs["price_usd"] > 0).to_numpy()], steps["timestamp"]]
    until = max((float(each.max()) for each in moments if len(each)), default=-np.inf)
    if until == -np.inf:
        return None
    begin = until - window_seconds
    paid = payments(table, since=begin).sort_values("began")
    paid = paid[((paid["paid_usd"] > 0) & (paid["ended"] > begin)).to_numpy()]
    began, ended, usd = (paid[name].to_numpy(dtype=np.float64) for name in ("began", "ended", "paid_usd"))
    length, inside = ended - began, ended - np.maximum(began, begin)
    share = np.divide(inside, length, out=np.ones_like(length), where=length > 0)
    reached = np.maximum.accumulate(np.concatenate(([begin], ended)))[:-1]
    worked = float(np.maximum(0.0, ended - np.maximum(began, reached)).sum())
    return BurnRate(3600 * float((usd * share).sum()) / worked, worked, until) if worked > 0 else None


def spend_by_purpose(table: StudyTable, decisions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Where the money went by PURPOSES, the largest part first; the rows add up to the study's spend.

    ``decisions`` are those of runner.decisions.DecisionColumns: without them the cost of trials is one purpose, except
    for failures. Columns: purpose, meaning, runs (that it was spent on), spend_usd, and share of the spend, from 0 to
    1.
    """
    runs = table.runs
    trials = (runs["role"] == Role.TRIAL).to_numpy()
    usd = runs["price_usd"].to_numpy(dtype=np.float64)
    lost = trials & runs["state"].isin(_LOST).to_numpy()
    started_usd, kept_usd = usd.copy(), np.zeros_like(usd)  # until it was continued; before its last attempt
    if decisions is not None:
        started_usd, kept_usd = _by_decisions(table, decisions, usd)
    kept_usd = np.where(lost, kept_usd, usd)
    started_usd = np.minimum(started_usd, kept_usd)
    parts = {
        (TRIALS if decisions is None else NEW): np.where(trials, started_usd, 0.0),
        CONTINUING: np.where(trials, kept_usd - started_usd, 0.0),
        FAILURES: np.where(lost, usd - kept_usd, 0.0),
        **{purpose: np.where(runs["role"] == role, usd, 0.0) for role, purpose in _OF_ROLES.items()},
    }
    total = float(usd.sum())
    rows = [
        (purpose, PURPOSES[purpose], int((part > 0).sum()), float(part.sum()), float(part.sum()) / total)
        for purpose, part in parts.items()
        if part.sum() > 0
    ]
    spend = pd.DataFrame(rows, columns=["purpose", "meaning", "runs", "spend_usd", "share"])
    return spend.sort_values(["spend_usd", "purpose"], ascending=[False, True]).reset_index(drop=True)


def _by_decisions(
    table: StudyTable, decisions: pd.DataFrame, usd: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each run had cost when it was first continued, and when its last attempt started; [runs] each."""
    marks = decisions[decisions["action"].isin(("continue", "resume"))]
    first = marks.groupby("trial")["time"].first()
    last = marks[marks["action"] == "resume"].groupby("trial")["time"].last()
    numbers = table.runs["trial"].where(table.runs["role"] == Role.TRIAL, -1)
    started_usd, kept_usd = usd.copy(), np.zeros_like(usd)
    for times, into in ((first, started_usd), (last, kept_usd)):
        costs = _cost_at(table, decisions, times)
        found = numbers.isin(costs.index).to_numpy()
        into[found] = np.minimum(usd[found], numbers[found].map(costs).to_numpy(dtype=np.float64))
    return started_usd, kept_usd


def _cost_at(table: StudyTable, decisions: pd.DataFrame, times: pd.Series[float]) -> pd.Series[float]:
    """What each trial had cost at a given time, from its checkpoints and decisions."""
    steps = table.checkpoints[(table.checkpoints["role"] == Role.TRIAL).to_numpy()]
    reached = steps.loc[steps["trial"].isin(times.index), ["trial", "timestamp", "price_usd"]]
    recorded = decisions.loc[decisions["trial"].isin(times.index), ["trial", "time", "price_usd"]]
    known = pd.concat([reached, recorded.rename(columns={"time": "timestamp"})]).dropna()
    known = known[known["timestamp"].to_numpy() <= times.reindex(known["trial"]).to_numpy()]
    costs: pd.Series[float] = known.groupby("trial")["price_usd"].max().reindex(times.index).fillna(0.0)
    return costs
