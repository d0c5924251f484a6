"""tracker report: a study as a page and as CSV files."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.options import home_option, scenario_options
from tracker.export.formats import DEFAULT, FORMATS, parse_formats, report_folder, write_report
from tracker.pricing.scenario import Scenario
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import price_remarks
from tracker.store.home import Home


def _formats(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    del ctx, parameter
    return parse_formats(value)


@click.command(short_help="Write a study's report: an HTML page, tables, and more formats.")
@click.argument("name")
@scenario_options
@click.option(
    "--format",
    "formats",
    callback=_formats,
    default=",".join(DEFAULT),
    show_default=True,
    metavar="NAMES",
    help=f"Any of {', '.join(FORMATS)}, with commas.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: reports/NAME in the home; below it, one folder a scenario]",
)
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@home_option
def report(
    name: str, scenario: Scenario, currency: str, formats: tuple[str, ...], out: Path | None, force: bool, home: Home
) -> None:
    """Write the report of study NAME: report.html (self-contained) and its tables, or other formats."""
    table = priced_study_table(home, name, scenario, currency)
    for path in write_report(table, out or report_folder(home, table), formats, force=force):
        click.echo(path)
    for remark in price_remarks(table):
        click.echo(remark, err=True)
