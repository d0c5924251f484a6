"""tracker report: a study as a page and as CSV files."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.options import home_option
from tracker.report.html import write_report
from tracker.store.home import Home, folder_name
from tracker.store.run_table import read_study_table


@click.command(short_help="Write a study's report: an HTML page and CSV files.")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write.  [default: reports/NAME in the home]")
@home_option
def report(name: str, out: Path | None, home: Home) -> None:
    """Write the report of study NAME: report.html (self-contained), runs.csv and frontier.csv."""
    table = read_study_table(home.tracking_uri, name)
    for path in write_report(table, out or home.reports / folder_name(name)):
        click.echo(path)
