"""tracker report: a study as a page and as CSV files."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.options import home_option, scenario_options
from tracker.pricing.scenario import Scenario
from tracker.report.html import report_folder, write_report
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import price_remarks
from tracker.store.home import Home


@click.command(short_help="Write a study's report: an HTML page and CSV files.")
@click.argument("name")
@scenario_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: reports/NAME in the home; below it, one folder a scenario]",
)
@home_option
def report(name: str, scenario: Scenario, currency: str, out: Path | None, home: Home) -> None:
    """Write the report of study NAME: report.html (self-contained), runs.csv and frontier.csv."""
    table = priced_study_table(home, name, scenario, currency)
    for path in write_report(table, out or report_folder(home, table)):
        click.echo(path)
    for remark in price_remarks(table):
        click.echo(remark, err=True)
