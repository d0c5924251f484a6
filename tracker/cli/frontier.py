"""tracker frontier: the best quality for the money, point by point."""

from __future__ import annotations

import click

from tracker.cli.options import home_option, json_option, print_json
from tracker.cli.tables import print_table
from tracker.report import words
from tracker.report.tables import frontier_document, frontier_table, references_table, searched_settings
from tracker.store.home import Home
from tracker.store.run_table import read_study_table


@click.command(short_help="The best quality for the money, point by point.")
@click.argument("name")
@json_option
@home_option
def frontier(name: str, as_json: bool, home: Home) -> None:
    """List the frontier of study NAME: the checkpoints that no other beats in both quality and price."""
    table = read_study_table(home.tracking_uri, name)
    if as_json:
        print_json(frontier_document(table))
        return
    knobs = searched_settings(table)
    rows = [
        (
            words.usd(row["price_usd"]),
            words.quality(row["quality"]),
            words.usd(row["usd_per_point"]),
            words.duration(row["wall_seconds"]),
            f"#{row['trial']}",
            str(row["epoch"]),
            *(words.setting(row["settings"].get(knob)) for knob in knobs),
        )
        for row in frontier_table(table).to_dict("records")
    ]
    print_table(["price", table.quality.name, "$ a point", "time", "trial", "epoch", *knobs], rows)
    for row in references_table(table).to_dict("records"):
        reached = f"{words.quality(row['quality'])} for {words.usd(row['price_usd'])}"
        dominates = f"{row['dominates']} of {len(rows)} frontier points cost at least as much and are no better"
        click.echo(f"reference: {row['name']}, {reached}; {dominates}", err=True)
    if not rows:
        click.echo(f"study '{name}' has no checkpoint yet", err=True)
