"""tracker resume: go on with a study."""

from __future__ import annotations

import click

from tracker.cli.display import end_study, observer
from tracker.cli.options import (
    budget_option,
    home_option,
    storage_option,
    trials_option,
    wall_option,
    workers_option,
)
from tracker.engine.forkserver import Forkserver
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home


@click.command(short_help="Go on with a study, with its budget or a new one.")
@click.argument("name")
@budget_option
@trials_option
@wall_option
@workers_option
@home_option
@storage_option
def resume(
    name: str,
    budget_usd: float | None,
    trials: int | None,
    wall_seconds: float | None,
    workers: int | None,
    home: Home,
    storage: str | None,
) -> None:
    """Go on with study NAME. What was spent before stays counted against the budget."""
    Forkserver(StudyFolder(home.study(name)).document().workload or "").warm_up()
    from tracker.runner.studies import Places, resume_study  # MLflow and Optuna, while the forkserver imports torch

    with observer() as shown:
        state = resume_study(
            name,
            Places(home, storage),
            budget_usd=budget_usd,
            trials=trials,
            wall_seconds=wall_seconds,
            workers=workers,
            observer=shown,
        )
    end_study(name, state)
