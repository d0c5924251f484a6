"""tracker run: a study from its TOML file."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.consent import ask, ask_above, confirm_above_option, yes_option
from tracker.cli.display import end_study, observer, print_started
from tracker.cli.more_money import say_more_money
from tracker.cli.options import (
    budget_option,
    detach_option,
    engine_options,
    home_option,
    storage_option,
    trials_option,
    wall_option,
    workers_option,
)
from tracker.cli.output import say
from tracker.engine.forkserver import Forkserver
from tracker.errors import TrackerError
from tracker.runner.detached import start_study
from tracker.store.home import Home
from tracker.study.document import StudyDocument, parse_assignments
from tracker.study.tags import parse_tags


@click.command(short_help="Run a study from its TOML file.")
@click.argument("study_file", metavar="STUDY.toml", type=click.Path(path_type=Path))
@budget_option
@trials_option
@wall_option
@workers_option
@engine_options
@click.option(
    "--from",
    "warm_start",
    multiple=True,
    metavar="STUDY",
    help="Warm start from an earlier study of the same space; repeatable.",
)
@click.option("--name", help="The study's name, instead of the file's.")
@click.option("--seed", type=int, help="The seed, instead of the file's.")
@click.option("--smoke", is_flag=True, help="Use the file's [smoke] table: seconds instead of hours.")
@click.option("--set", "settings", multiple=True, metavar="KNOB=VALUE", help="Fix a knob; repeatable.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of your own; may be given again.")
@detach_option
@confirm_above_option
@yes_option
@home_option
@storage_option
def run(
    study_file: Path,
    budget_usd: float | None,
    trials: int | None,
    wall_seconds: float | None,
    workers: int | None,
    warm_start: tuple[str, ...],
    name: str | None,
    seed: int | None,
    smoke: bool,
    settings: tuple[str, ...],
    tags: tuple[str, ...],
    engine: dict[str, object],
    detach: bool,
    confirm_above: float | None,
    yes: bool,
    home: Home,
    storage: str | None,
) -> None:
    """Search, train, measure, price and log, until the budget is spent. Ctrl-C stops cleanly."""
    document = StudyDocument.read(study_file)
    document = document.smoke() if smoke else document
    ask(document, study_file, home, yes=yes)
    overridden = document.override(
        parse_assignments(settings),
        name=name,
        seed=seed,
        budget_usd=budget_usd,
        trials=trials,
        wall_seconds=wall_seconds,
        tags=parse_tags(tags),
        engine=engine,
    )
    if not detach:
        Forkserver(overridden.workload or "").warm_up()  # it imports torch meanwhile
    ask_above(_say_cost(overridden, home, workers), confirm_above, yes=yes)
    if detach:
        print_started(
            start_study(
                study_file,
                home=home.path,
                storage=storage,
                name=name,
                seed=seed,
                budget_usd=budget_usd,
                trials=trials,
                wall_seconds=wall_seconds,
                smoke=smoke,
                settings=parse_assignments(settings),
                tags=parse_tags(tags),
                engine=engine,
                workers=workers,
                warm_start=warm_start,
            )
        )
        return
    from tracker.runner.session import Places
    from tracker.runner.studies import run_study  # MLflow and Optuna, while the forkserver imports torch

    with observer() as shown:
        state = run_study(overridden, Places(home, storage), workers=workers, warm_start=warm_start, observer=shown)
    say_more_money(home, str(overridden.content["name"]), state)
    end_study(str(overridden.content["name"]), state)


def _say_cost(document: StudyDocument, home: Home, workers: int | None) -> float | None:
    """Print what the study will cost, and return the most that is known in USD; None where nobody knows.

    Nothing that goes wrong here keeps a study from starting: what is wrong with its file is said when it starts.
    """
    from tracker.report.estimate.estimate import estimate_cost  # while the forkserver imports torch
    from tracker.report.estimate.sentences import two_lines

    try:
        found = estimate_cost(document, home, workers=workers)
    except TrackerError:
        return None
    except Exception as error:  # noqa: BLE001 - past studies may be damaged in any way
        say(f"what it will cost is not known: {type(error).__name__}: {error}", err=True)
        return None
    for line in two_lines(found):
        say(line, err=True)
    return found.most_usd
