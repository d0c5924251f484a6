"""tracker why: the decisions about a trial, with their numbers."""

from __future__ import annotations

import click

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.report.decisions import decision_sentences, decisions_document
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home


@click.command(short_help="Why a trial was started, paused, resumed or stopped.")
@click.argument("name", type=STUDY_NAME)
@click.argument("trial", type=click.IntRange(min=0))
@json_option
@home_option
def why(name: str, trial: int, as_json: bool, home: Home) -> None:
    """Show what the search decided about TRIAL of study NAME, with the numbers of each moment."""
    document = decisions_document(home, name, trial)
    if as_json:
        print_json(document)
        return
    for sentence in decision_sentences(document, table_of(home, name).unit):
        say(sentence)
