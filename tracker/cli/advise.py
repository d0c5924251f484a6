"""tracker advise: which run to take for a quality, an amount of money or a time, and what more money would bring."""

from __future__ import annotations

import click

from tracker.cli.options import STUDY_NAME, deadline_option, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.pricing.scenario import Scenario
from tracker.report.advice import advice_document, advice_sentences, candidates
from tracker.report.advice import advise as advise_on
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
@scenario_options
@json_option
@home_option
def advise(
    name: str,
    min_quality: float | None,
    max_usd: float | None,
    predictions: float | None,
    deadline: float | None,
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
    advice = advise_on(candidates(table, predictions), wish)
    if as_json:
        print_json(advice_document(advice, predictions))
        return
    for sentence in advice_sentences(advice):
        say(sentence)
    for remark in price_remarks(table):
        say(remark, err=True)
