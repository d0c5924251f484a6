"""tracker status: a study's state, trials and spend."""

from __future__ import annotations

import shlex
from functools import partial

import click

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.report import words
from tracker.report.status import INTERRUPTED, standing, status_document
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home


@click.command(short_help="A study's state, trials and spend.")
@click.argument("name", type=STUDY_NAME)
@json_option
@home_option
def status(name: str, as_json: bool, home: Home) -> None:
    """Tell the state of study NAME, its trials by state, its spend against its budget, its best quality."""
    table = table_of(home, name)
    document = {**status_document(table), "state": standing(table, home)}
    if as_json:
        print_json(document)
        return
    say(f"{name}: {document['state']}")
    if document["user"]:
        say(f"run by     {document['user']}")
    if document["tags"]:
        say(f"tags       {words.tags(document['tags'])}")
    say("trials     " + (", ".join(f"{count} {state}" for state, count in document["trials"].items()) or "none"))
    usd = partial(words.money, unit=table.unit)
    budget = f" of {usd(document['budget_usd'])}" if document["budget_usd"] is not None else ""
    say(f"spent      {usd(document['spend_usd'])}{budget}")
    if "repeats" in document:
        say(f"repeats    {document['repeats']} for {usd(document['repeats_usd'])} of what was spent")
    if best := document["best"]:
        quality = f"{document['quality']['name']} {words.quality(best['quality'])}"
        say(f"best       {quality} for {usd(best['price_usd'])} (trial {best['trial']}, epoch {best['epoch']})")
    if document["state"] in ("stopped", INTERRUPTED) and StudyFolder(home.study(name)).is_there:
        say(f"resume it: tracker resume {shlex.quote(name)}", err=True)
