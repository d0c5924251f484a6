"""tracker confirm: train the frontier's points again."""

from __future__ import annotations

import click

from tracker.cli.display import end_study, observer
from tracker.cli.options import STUDY_NAME, home_option, workers_option
from tracker.engine.forkserver import Forkserver
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home


@click.command(short_help="Train the frontier's points again with other seeds.")
@click.argument("name", type=STUDY_NAME)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Repeats per trial on the frontier."
)
@click.option("--budget-usd", type=float, help="The limit for all repeats of the study together.")
@workers_option
@home_option
def confirm(name: str, seeds: int, budget_usd: float | None, workers: int | None, home: Home) -> None:
    """Train the trials on study NAME's frontier again, to separate luck from quality.

    `tracker frontier`, the report and the dashboard then show intervals, membership probabilities and ties. Completed
    repeats are not trained again; their cost is part of the study's spend.
    """
    Forkserver(folder_of(home, name).document().workload or "").warm_up()
    from tracker.runner.confirm import confirm_study  # MLflow and Optuna, while the forkserver imports torch
    from tracker.runner.session import Places

    with observer() as shown:
        state = confirm_study(name, Places(home), seeds=seeds, budget_usd=budget_usd, workers=workers, observer=shown)
    end_study(name, state, command="confirm")
