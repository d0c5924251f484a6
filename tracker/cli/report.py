"""tracker report: a study as a page and as files, or what all studies cost."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import date
from pathlib import Path

import click

from tracker.cli.options import STUDY_NAME, day_option, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.errors import RequestError
from tracker.export.formats import DEFAULT, FORMATS, parse_formats, report_folder, write_report
from tracker.pricing.scenario import Scenario
from tracker.report.predictions import wanted_predictions
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import price_remarks
from tracker.report.spend_across import BY
from tracker.store.home import Home


def _formats(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    del ctx, parameter
    return None if value is None else parse_formats(value)


@click.command(short_help="Write a study's report, or with --all what all studies cost.")
@click.argument("name", type=STUDY_NAME, required=False)
@click.option("--all", "everything", is_flag=True, help="All studies: who spent what on what.")
@click.option(
    "--by",
    metavar="NAMES",
    help=f"With --all, group by {', '.join(BY)} or tag:NAME; several with commas.  [default: study]",
)
@day_option("--since", "With --all, only what was spent from that day on (UTC).")
@scenario_options
@click.option(
    "--format",
    "formats",
    callback=_formats,
    metavar="NAMES",
    help=f"Any of {', '.join(FORMATS)}, with commas.  [default: {','.join(DEFAULT)}; with --all, a table here]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: reports/NAME in the home; below it, one folder a scenario]",
)
@click.option(
    "--on",
    "hardware",
    multiple=True,
    metavar="NAME",
    help="Predict the frontier's price on this accelerator or SKU, or on 'all', as tracker predict does; repeatable.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@json_option
@home_option
def report(
    name: str | None,
    everything: bool,
    by: str | None,
    since: date | None,
    scenario: Scenario,
    currency: str,
    formats: tuple[str, ...] | None,
    out: Path | None,
    hardware: tuple[str, ...],
    force: bool,
    as_json: bool,
    home: Home,
) -> None:
    """Write the report of study NAME: report.html (self-contained) and its tables, or other formats.

    With --all, in place of NAME: who spent what on what over all studies of the home. Prints a table; with --format it
    writes html, csv, xlsx or FOCUS.
    """
    if everything is (name is not None):
        raise RequestError("report takes the NAME of a study, or --all for all of them; give one of the two")
    if everything and hardware:
        raise RequestError("--on is for the report of one study, not for --all")
    if everything:
        from tracker.cli.spend import report_spend  # a terminal's tables, which a study's report does without

        spend = report_spend(home, by, since, scenario, currency, formats, out, force=force, as_json=as_json)
        if as_json:
            print_json(spend.document)
        return
    for option, given in (("--by", by), ("--since", since), ("--json", as_json)):
        if given:
            by_json = option == "--json"
            quoted = shlex.quote(str(name))
            instead = f"tracker report {quoted} --format json" if by_json else f"tracker runs {quoted}"
            raise RequestError(f"{option} goes with --all; for a single study, see `{instead}`")
    table = replace(priced_study_table(home, str(name), scenario, currency), hardware=hardware)
    wanted_predictions(table)  # a name that is wrong is said before anything is written
    for path in write_report(table, out or report_folder(home, table), formats or DEFAULT, force=force):
        say(path)
    for remark in price_remarks(table):
        say(remark, err=True)
