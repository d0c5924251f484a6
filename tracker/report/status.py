"""The status of a study, as a JSON-safe document."""

from __future__ import annotations

from typing import Any

from tracker.records import Direction, TrialState
from tracker.report.plain import plain
from tracker.report.repeats import repeat_runs
from tracker.report.tables import trial_checkpoints
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

INTERRUPTED = "interrupted"
"""A study that is logged as running but has no coordinator: it did not end properly."""


def standing(table: StudyTable, home: Home) -> str:
    """A study's state; INTERRUPTED where it is logged as running and its folder in ``home`` has no coordinator."""
    folder = StudyFolder(home.study(table.study))
    gone = table.state == TrialState.RUNNING and folder.path.is_dir() and folder.coordinator() is None
    return INTERRUPTED if gone else table.state


def status_document(table: StudyTable) -> dict[str, Any]:
    """State, trials by state, spend against budget, and the best checkpoint (the cheapest of equals).

    Where trials were repeated, ``repeats`` counts those runs, and ``repeats_usd`` is their part of the spend.
    """
    trials = table.runs[table.runs["role"] == "trial"]
    points, repeats = trial_checkpoints(table), repeat_runs(table)
    points = points[points["kept"]]
    best = None
    if len(points):
        rising = table.quality.direction is Direction.MINIMIZE
        row = points.sort_values(["quality", "price_usd"], ascending=[rising, True]).iloc[0]
        best = {key: plain(row[key]) for key in ("trial", "epoch", "quality", "price_usd")}
    return {
        "study": table.study,
        "state": table.state,
        "user": table.user,
        "tags": dict(table.tags),
        "quality": {"name": table.quality.name, "direction": str(table.quality.direction)},
        "trials": {str(state): int(count) for state, count in trials["state"].value_counts().items()},
        "spend_usd": table.spend_usd,
        "budget_usd": table.budget_usd,
        **({"repeats": len(repeats), "repeats_usd": float(repeats["price_usd"].sum())} if len(repeats) else {}),
        "best": best,
    }
