"""tracker runs: every run of a study."""

from __future__ import annotations

import click

from tracker.cli.options import home_option, json_option, print_json
from tracker.cli.tables import print_table
from tracker.report import words
from tracker.report.tables import runs_document, searched_settings
from tracker.store.home import Home
from tracker.store.run_table import read_study_table


@click.command(short_help="Every run of a study, with its spend.")
@click.argument("name")
@json_option
@home_option
def runs(name: str, as_json: bool, home: Home) -> None:
    """List every run of study NAME, the preparation and the baselines among them: all that was paid for."""
    table = read_study_table(home.tracking_uri, name)
    if as_json:
        print_json(runs_document(table))
        return
    knobs = searched_settings(table)
    rows = [
        (
            row["label"],
            " ".join(filter(None, [row["state"], row["reason"], "busy" if row["busy"] else ""])),
            words.quality(row["quality"]),
            words.usd(row["price_usd"]),
            words.duration(row["wall_seconds"]),
            row["sku"],
            *(words.setting(row["settings"].get(knob)) if row["role"] == "trial" else "" for knob in knobs),
        )
        for row in table.runs.to_dict("records")
    ]
    print_table(["run ", "state ", table.quality.name, "price", "time", "billed as ", *knobs], rows)
    click.echo(f"spent: {words.usd(table.spend_usd)}", err=True)
    if table.runs["busy"].any():
        click.echo("busy: measured while something else used the cores, so the price is too high", err=True)
