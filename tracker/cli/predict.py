"""tracker predict: a study's runs on hardware that nobody has rented yet."""

from __future__ import annotations

from typing import Any

import click
import pandas as pd

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.errors import RequestError
from tracker.pricing.scenario import Scenario
from tracker.report import words
from tracker.report.prediction_pull import pulls
from tracker.report.prediction_targets import ALL, targets_of
from tracker.report.prediction_words import prediction_sentences
from tracker.report.predictions import frontier_predictions, predictions_document
from tracker.report.repricing import priced_study_table
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

SHOWN = 6
"""Of ALL, so many of the cheapest are listed for each checkpoint; --json has all."""


@click.command(short_help="Time and price of a study's runs on hardware that you have not rented.")
@click.argument("name", type=STUDY_NAME)
@click.option(
    "--on",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"An accelerator such as H100, a SKU, or '{ALL}' accelerators on sale; repeatable.  [default: {ALL}]",
)
@click.option("--trial", type=int, help="Predict this trial's last checkpoint.  [default: the frontier's points]")
@click.option("--frontier", "of_frontier", is_flag=True, help="Predict the frontier's points, as without --trial.")
@scenario_options
@json_option
@home_option
def predict(
    name: str,
    names: tuple[str, ...],
    trial: int | None,
    of_frontier: bool,
    scenario: Scenario,
    currency: str,
    as_json: bool,
    home: Home,
) -> None:
    """Predict what runs of study NAME would take and cost on other accelerators, each with its 90 % range."""
    if of_frontier and trial is not None:
        raise RequestError("--frontier and --trial: choose one")
    table = priced_study_table(home, name, scenario, currency)
    targets = targets_of(table, home, names or (ALL,))
    learnt = pulls(table, targets)
    predictions = frontier_predictions(table, targets, trial, learnt)
    if predictions.empty:
        raise RequestError(f"study '{name}' has no checkpoint on the frontier: there is nothing to predict")
    if as_json:
        print_json(predictions_document(table, predictions, targets, learnt))
        return
    for _, rows in predictions.groupby(["trial", "epoch"], sort=False):
        _print_checkpoint(table, rows, None if names and ALL not in names else SHOWN)
    for sentence in prediction_sentences(table, predictions, targets):
        say(sentence, err=True)


def _print_checkpoint(table: StudyTable, rows: pd.DataFrame, most: int | None) -> None:
    known = rows[rows["refused"] == ""]
    first = rows.iloc[0]
    reached = f"{table.quality.name} {words.quality(first['quality'])}"
    shares = {"utilisation": "peak", "bandwidth_use": "bandwidth"}
    known_shares = (
        f", {words.percent(first[name])} of its {of}" for name, of in shares.items() if pd.notna(first[name])
    )
    share = "".join(known_shares)
    say(
        f"trial {first['trial']}, epoch {first['epoch']}: {reached}; measured on {first['measured_on']}{share}: "
        f"{words.duration(first['measured_seconds'])}, {words.money(first['measured_usd'], table.unit)}"
    )
    if known.empty:
        return
    body = [_cells(table, row) for row in known.head(most or len(known)).to_dict("records")]
    print_table(["on ", "SKU ", "price", "from", "to", "time", "from ", "to ", "rests on "], body)
    if most is not None and len(known) > most:
        say(f"and {len(known) - most} more: --on NAME, or --json", err=True)


def _cells(table: StudyTable, row: dict[Any, Any]) -> tuple[str, ...]:
    prices = (words.money(row[f"price_usd{end}"], table.unit) for end in ("", "_low", "_high"))
    times = (words.duration(row[f"wall_seconds{end}"]) for end in ("", "_low", "_high"))
    return (row["on"], f"{row['sku']} {row['market']}", *prices, *times, row["rests_on"])
