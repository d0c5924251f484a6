"""tracker estimate: what a study will cost, before it is run."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.consent import ask, yes_option
from tracker.cli.options import (
    budget_option,
    home_option,
    json_option,
    print_json,
    scenario_options,
    storage_option,
    trials_option,
    wall_option,
    workers_option,
)
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.pricing.scenario import Scenario
from tracker.report import words
from tracker.report.estimate.estimate import Estimate, Trained, check_known, estimate_cost
from tracker.report.estimate.sentences import (
    TRAINING_COLUMNS,
    at_most,
    confidence_sentence,
    money,
    training_rows,
    trials_and_time,
)
from tracker.store.home import Home
from tracker.study.document import StudyDocument, parse_assignments


@click.command(short_help="What a study will cost, before it is run.")
@click.argument("study_file", metavar="STUDY.toml", type=click.Path(path_type=Path))
@click.option(
    "--on", multiple=True, metavar="NAME", help="Estimate it on this SKU, or accelerator such as H100, too; repeatable."
)
@click.option("--probe", is_flag=True, help="Train two short trials first, as the study NAME-probe; their cost counts.")
@budget_option
@trials_option
@wall_option
@workers_option
@click.option("--name", help="The study's name, instead of the file's.")
@click.option("--smoke", is_flag=True, help="Use the file's [smoke] table: seconds instead of hours.")
@click.option("--set", "settings", multiple=True, metavar="KNOB=VALUE", help="Fix a knob; repeatable.")
@scenario_options
@yes_option
@json_option
@home_option
@storage_option
def estimate(
    study_file: Path,
    on: tuple[str, ...],
    probe: bool,
    budget_usd: float | None,
    trials: int | None,
    wall_seconds: float | None,
    workers: int | None,
    name: str | None,
    smoke: bool,
    settings: tuple[str, ...],
    scenario: Scenario,
    currency: str,
    yes: bool,
    as_json: bool,
    home: Home,
    storage: str | None,
) -> None:
    """Say what a study will cost at most and is likely to cost, how many trials that buys, and how long it takes.

    Likely is what past runs of the same training code in this home let expect. With --probe two short trials are
    trained first; they are a study of their own, and what they cost is counted.
    """
    document = StudyDocument.read(study_file)
    document = document.smoke() if smoke else document
    document = document.override(
        parse_assignments(settings), name=name, budget_usd=budget_usd, trials=trials, wall_seconds=wall_seconds
    )
    probed = ""
    if probe:
        ask(document, study_file, home, yes=yes)
        probed = _probe(document, home, storage, workers)
    found = estimate_cost(document, home, scenario=scenario, currency=currency, on=on, workers=workers, probe=probed)
    check_known(found)
    if as_json:
        print_json(found.document)
        return
    _print(found)


def _probe(document: StudyDocument, home: Home, storage: str | None, workers: int | None) -> str:
    from tracker.cli.display import observer
    from tracker.engine.forkserver import Forkserver

    Forkserver(document.workload or "").warm_up()
    from tracker.runner.probe import run_probe  # MLflow and Optuna, while the forkserver imports torch
    from tracker.runner.session import Places

    with observer() as shown:
        return run_probe(document, Places(home, storage), workers=workers, observer=shown)


def _print(found: Estimate) -> None:
    likely = found.likely
    say(f"at most  {at_most(found).removeprefix('at most ')}")
    if likely is None:
        say(f"likely   not known: {found.grounds.sentence}")
    else:
        say(f"likely   {money(likely.outlay.spend_usd, found.unit)}, {found.grounds.sentence}")
        say(f"buys     {trials_and_time(found, likely)}")
        if found.fixed.usd or found.fixed.data_usd:
            before = words.money(found.fixed.usd + found.fixed.data_usd, found.unit)
            say(f"before   {before} of it for the data and the baselines")
        say("")
        _print_trainings(found, likely)
        if likely.offers:
            say("")
            _print_offers(found, likely)
        say(confidence_sentence(), err=True)
    for remark in found.remarks:
        say(remark, err=True)


def _print_trainings(found: Estimate, likely: Trained) -> None:
    knobs = list(dict.fromkeys(name for each in likely.trainings for name in each.settings))
    rows = [
        (*row, *(words.setting(each.settings.get(knob)) for knob in knobs if len(knobs) > 1))
        for row, each in zip(training_rows(found, likely), likely.trainings, strict=True)
    ]
    first, *others = TRAINING_COLUMNS
    print_table([f"{first} ", *others, *(knobs if len(knobs) > 1 else ())], rows)


def _print_offers(found: Estimate, likely: Trained) -> None:
    rows = [
        (
            offer.name,
            offer.sku,
            offer.market,
            f"${offer.usd_per_hour:g}",
            words.money(offer.outlay.spend_usd.likely, found.unit) if offer.outlay else words.NOTHING,
            f"{words.money(offer.outlay.spend_usd.low, found.unit)} to "
            f"{words.money(offer.outlay.spend_usd.high, found.unit)}"
            if offer.outlay
            else words.NOTHING,
            f"{round(offer.outlay.trials.likely):,}" if offer.outlay else words.NOTHING,
            words.duration(offer.outlay.seconds.likely) if offer.outlay else words.NOTHING,
            offer.problem or offer.rests_on,
        )
        for offer in likely.offers
    ]
    print_table(["on ", "SKU ", "market ", "an hour", "likely", "range", "trainings", "time", "rests on "], rows)
