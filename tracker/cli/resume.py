"""tracker resume: continue a study, and restore what MLflow or Optuna lost of it."""

from __future__ import annotations

import click

from tracker.cli.consent import ask_update
from tracker.cli.display import end_study, observer, print_started
from tracker.cli.more_money import say_more_money
from tracker.cli.options import (
    STUDY_NAME,
    budget_option,
    detach_option,
    engine_options,
    home_option,
    storage_option,
    trials_option,
    wall_option,
    workers_option,
)
from tracker.engine.forkserver import Forkserver
from tracker.runner.detached import start_resume
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home


@click.command(short_help="Resume a study, with its budget or a new one.")
@click.argument("name", type=STUDY_NAME)
@budget_option
@trials_option
@wall_option
@workers_option
@engine_options
@click.option("--update", is_flag=True, help="Apply edits of the study's file since the start.")
@click.option("--yes", is_flag=True, help="With --update, use a cluster that the file newly names without asking.")
@detach_option
@home_option
@storage_option
def resume(
    name: str,
    budget_usd: float | None,
    trials: int | None,
    wall_seconds: float | None,
    workers: int | None,
    update: bool,
    engine: dict[str, object],
    yes: bool,
    detach: bool,
    home: Home,
    storage: str | None,
) -> None:
    """Resume study NAME. Earlier spend stays counted against the budget.

    What MLflow or Optuna lack of it is restored from its event logs. With --update, edits of the study's file to
    [budget], [pricing], [tags], [engine], and of [search] sampler, options, disk_limit_gb and least_growth are applied;
    other edits are refused. Where they name another cluster, an open one, or another place for states, you are asked
    first.
    """
    if update:
        ask_update(folder_of(home, name).document(), home, yes=yes)
    if detach:
        print_started(
            start_resume(
                name,
                home=home.path,
                storage=storage,
                budget_usd=budget_usd,
                trials=trials,
                wall_seconds=wall_seconds,
                update=update,
                engine=engine,
                workers=workers,
            )
        )
        return
    Forkserver(folder_of(home, name).document().workload or "").warm_up()
    from tracker.runner.session import Places
    from tracker.runner.studies import resume_study  # MLflow and Optuna, while the forkserver imports torch

    with observer() as shown:
        state = resume_study(
            name,
            Places(home, storage),
            budget_usd=budget_usd,
            trials=trials,
            wall_seconds=wall_seconds,
            update=update,
            engine=engine,
            workers=workers,
            observer=shown,
        )
    say_more_money(home, name, state)
    end_study(name, state)
