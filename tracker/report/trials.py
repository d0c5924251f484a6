"""The trials of a study as they stand: those under way, and why the others ended or wait."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from tracker.records import Role, TrialState
from tracker.store.run_table import StudyTable

MOST_ROWS = 200
"""Of a study's trials a page lists the latest so many."""
MOST_NAMED = 8
"""Of trials that share a reason, so many are named."""
STATES = tuple(str(state) for state in TrialState)


def trial_counts(table: StudyTable) -> dict[str, int]:
    """How many trials stand how: every TrialState in its order, those that none is in too."""
    counts = table.runs.loc[(table.runs["role"] == Role.TRIAL).to_numpy(), "state"].value_counts()
    return {state: int(counts.get(state, 0)) for state in STATES}


def running_table(table: StudyTable, now: float) -> pd.DataFrame:
    """The runs under way, the oldest first, baselines and repeats too; ``now`` in seconds since 1970.

    Columns: label, age_seconds (since its first attempt was asked for), attempts, epoch (of its last checkpoint; 0
    before one), quality (NaN before one), price_usd (until then), quiet_seconds (since its last sign).
    """
    runs = table.runs[(table.runs["state"] == TrialState.RUNNING).to_numpy()]
    epochs = _last_epochs(table, runs.index)
    signs = table.checkpoints.groupby("run")["timestamp"].max().reindex(runs.index).fillna(runs["started_at"])
    rows = pd.DataFrame(
        {
            "label": runs["label"].astype(str),
            "age_seconds": (now - runs["started_at"]).clip(lower=0.0),
            "attempts": runs["attempts"].astype(np.int64),
            "epoch": epochs,
            "quality": runs["quality"].astype(np.float64),
            "price_usd": runs["price_usd"].astype(np.float64),
            "quiet_seconds": (now - signs).clip(lower=0.0),
        }
    )
    return rows.sort_values("age_seconds", ascending=False, kind="stable").reset_index(drop=True)


def reasons_table(table: StudyTable) -> pd.DataFrame:
    """Why runs are paused, stopped, failed or killed: each reason and message once, the dearest first.

    Columns: state, reason (a word), message, runs (how many), labels (the first MOST_NAMED of them, in words),
    price_usd (what they cost together).
    """
    has_reason = (table.runs["reason"] != "") | (table.runs["message"] != "")
    runs = table.runs[(has_reason & ~table.runs["state"].isin((TrialState.COMPLETED, TrialState.RUNNING))).to_numpy()]
    keys = ["state", "reason", "message"]
    rows = runs.groupby(keys, sort=False, observed=True).agg(
        runs=("label", "size"),
        labels=("label", lambda labels: some_of(labels, MOST_NAMED)),
        price_usd=("price_usd", "sum"),
    )
    return rows.reset_index().sort_values("price_usd", ascending=False, kind="stable").reset_index(drop=True)


def ends_table(table: StudyTable) -> pd.DataFrame:
    """Why runs are paused, stopped, failed or killed: each reason once, the dearest first, whatever its messages.

    Columns: state, reason (a word), message (of the dearest run), messages (how many differ), runs (how many), labels
    (the first MOST_NAMED of them, in words), price_usd (what they cost together).
    """
    runs = table.runs[(~table.runs["state"].isin((TrialState.COMPLETED, TrialState.RUNNING))).to_numpy()]
    runs = runs.sort_values("price_usd", ascending=False, kind="stable")
    rows = runs.groupby(["state", "reason"], sort=False, observed=True).agg(
        message=("message", "first"),
        messages=("message", "nunique"),
        runs=("label", "size"),
        labels=("label", lambda labels: some_of(labels, MOST_NAMED)),
        price_usd=("price_usd", "sum"),
    )
    return rows.reset_index().sort_values("price_usd", ascending=False, kind="stable").reset_index(drop=True)


def latest_trials(table: StudyTable, states: Iterable[str] = STATES, most: int = MOST_ROWS) -> pd.DataFrame:
    """The last ``most`` trials in one of ``states``, the newest first.

    Columns: run (its row in ``table.runs``), run_id, label, state, reason, epoch (of its last checkpoint), quality,
    price_usd, wall_seconds, attempts.
    """
    runs = table.runs
    trials = runs[((runs["role"] == Role.TRIAL) & runs["state"].isin(list(states))).to_numpy()]
    rows = trials.sort_values("trial", ascending=False, kind="stable").head(most)
    rows = rows.assign(run=rows.index, epoch=_last_epochs(table, rows.index))
    columns = ["run", "run_id", "label", "state", "reason", "epoch", "quality", "price_usd", "wall_seconds", "attempts"]
    found: pd.DataFrame = rows[columns].reset_index(drop=True)
    return found


def some_of(labels: Iterable[str], most: int) -> str:
    """Labels in a line, the first ``most`` of them by name.

    >>> some_of(["#1", "#2", "#5"], 2), some_of(["#1", "#2"], 2)
    ('#1, #2 and 1 more', '#1, #2')
    """
    named = [str(label) for label in labels]
    more = f" and {len(named) - most:,} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def _last_epochs(table: StudyTable, runs: pd.Index[int]) -> pd.Series[int]:
    """The epoch of the last checkpoint of each of these rows of ``table.runs``; 0 before one."""
    steps = table.checkpoints[np.isin(table.checkpoints["run"].to_numpy(), runs.to_numpy())]
    epochs: pd.Series[int] = steps.groupby("run")["epoch"].max().reindex(runs).fillna(0).astype(np.int64)
    return epochs
