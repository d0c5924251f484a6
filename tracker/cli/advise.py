"""tracker advise: which run to take for a quality, an amount of money or a time, and what more money would bring."""

from __future__ import annotations

import click

from tracker.cli.options import STUDY_NAME, deadline_option, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.pricing.scenario import Scenario
from tracker.report.advice import advise as advise_on
from tracker.report.advice import candidates
from tracker.report.advice_document import advice_document
from tracker.report.advice_words import advice_sentences
from tracker.report.predicted_candidates import predicted_candidates
from tracker.report.prediction_targets import ALL, targets_of
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import price_remarks
from tracker.report.wish import Wish
from tracker.store.home import Home


@click.command(short_help="Which run to take for a quality, a sum or a deadline.")
@click.argument("name", type=STUDY_NAME)
@click.option("--min-quality", type=float, metavar="Q", help="The cheapest run that is at least as good as Q.")
@click.option("--max-usd", type=float, metavar="X", help="Only what costs X dollars or less; alone, the best of it.")
@click.option(
    "--predictions", type=float, metavar="N", help="Compare prices including N predictions, not of training alone."
)
@deadline_option
@click.option(
    "--on",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"On hardware not rented yet: an accelerator such as H100, a SKU, or '{ALL}'; predicted; repeatable.",
)
@scenario_options
@json_option
@home_option
def advise(
    name: str,
    min_quality: float | None,
    max_usd: float | None,
    predictions: float | None,
    deadline: float | None,
    names: tuple[str, ...],
    scenario: Scenario,
    currency: str,
    as_json: bool,
    home: Home,
) -> None:
    """Say which run of study NAME to take, how sure that is, and the command that trains it again.

    Without a quality, a sum or a deadline: the frontier in words, with what each step up costs and where it stops
    paying. It says what the search expects of more money too, and how far such forecasts came true.
    """
    wish = Wish(quality=min_quality, cost=max_usd, wall_seconds=deadline)
    wish.check()
    table = priced_study_table(home, name, scenario, currency)
    found = candidates(table, predictions)
    if names:
        found = predicted_candidates(found, targets_of(table, home, names))
    advice = advise_on(found, wish)
    if as_json:
        print_json(advice_document(advice, predictions))
        return
    for sentence in advice_sentences(advice):
        say(sentence)
    for remark in price_remarks(table):
        say(remark, err=True)
