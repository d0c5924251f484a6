"""tracker frontier: the best quality for the money, point by point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.errors import RequestError
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario
from tracker.report import words
from tracker.report.confirmation import confirmation_sentences
from tracker.report.repeats import CERTAINTY_COLUMNS
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import compare_scenarios, price_remarks
from tracker.report.tables import confirmed_frontier_table, frontier_document, references_table, searched_settings
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

BILLED = "billed"
CERTAINTY_TITLES = ("repeats", "mean", "95 %", "on it", "tied with ")
"""Columns of a frontier whose trials were repeated."""


@click.command(short_help="The best quality for the money, point by point.")
@click.argument("name", type=STUDY_NAME)
@scenario_options
@click.option(
    "--compare-scenarios",
    "compared",
    metavar="A,B",
    help=f"Compare two scenario files; '{BILLED}' stands for the billed prices.",
)
@json_option
@home_option
def frontier(name: str, scenario: Scenario, currency: str, compared: str | None, as_json: bool, home: Home) -> None:
    """List the frontier of study NAME: the checkpoints that no other beats in both quality and price."""
    if compared is not None:
        _compare(name, scenario, currency, compared, as_json, home)
        return
    table = priced_study_table(home, name, scenario, currency)
    if as_json:
        print_json(frontier_document(table))
        return
    knobs, points = searched_settings(table), confirmed_frontier_table(table)
    confirmed = CERTAINTY_TITLES if set(CERTAINTY_COLUMNS) <= set(points) else ()
    rows = [
        (
            words.money(row["price_usd"], table.unit),
            words.quality(row["quality"]),
            words.money(row["usd_per_point"], table.unit),
            words.duration(row["wall_seconds"]),
            f"#{row['trial']}",
            str(row["epoch"]),
            *(_certainty(row) if confirmed else ()),
            *(words.setting(row["settings"].get(knob)) for knob in knobs),
        )
        for row in points.to_dict("records")
    ]
    per_point = f"{table.currency.symbol.strip()} a point"
    print_table(["price", table.quality.name, per_point, "time", "trial", "epoch", *confirmed, *knobs], rows)
    for row in references_table(table).to_dict("records"):
        reached = f"{words.quality(row['quality'])} for {words.money(row['price_usd'], table.unit)}"
        dominates = f"{row['dominates']} of {len(rows)} frontier points cost at least as much and are no better"
        say(f"reference: {row['name']}, {reached}; {dominates}", err=True)
    if not rows:
        say(f"study '{name}' has no checkpoint on the frontier: none was reached, or none keeps the limits", err=True)
    for remark in (*confirmation_sentences(table), *price_remarks(table)):
        say(remark, err=True)


def _certainty(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """The cells of CERTAINTY_TITLES."""
    return (
        str(row["repeats"]),
        words.quality(row["quality_mean"]),
        f"{words.quality(row['quality_low'])} to {words.quality(row['quality_high'])}",
        words.percent(row["probability_on_frontier"]),
        row["tied_with"] or "",
    )


def _compare(name: str, scenario: Scenario, currency: str, pair: str, as_json: bool, home: Home) -> None:
    names = [each.strip() for each in pair.split(",")]
    if len(names) != 2 or not all(names):
        raise RequestError(f"--compare-scenarios {pair!r} is not two scenario files with a comma between them")
    chosen = [scenario if each == BILLED else read_scenario(each).then(scenario) for each in names]
    first, second = (priced_study_table(home, name, each, currency) for each in chosen)
    labels = (_label(first), _label(second))
    document = compare_scenarios(first, second, labels)
    if as_json:
        print_json(document)
        return
    rows = [
        (words.quality(level["quality"]), *_side(level["first"], first), *_side(level["second"], second), _ratio(level))
        for level in document["levels"]
    ]
    print_table([first.quality.name, labels[0], "by", labels[1], "by", "ratio"], rows)
    for verb in ("entered", "left"):
        trials = ", ".join(f"#{trial}" for trial in document[verb]) or "none"
        say(f"{verb} the frontier under {labels[1]}: {trials}", err=True)
    for remark in dict.fromkeys((*price_remarks(first), *price_remarks(second))):
        say(remark, err=True)


def _label(table: StudyTable) -> str:
    return BILLED if table.scenario is None else table.scenario.label


def _side(point: dict[str, Any] | None, table: StudyTable) -> tuple[str, str]:
    if point is None:
        return words.NOTHING, ""
    return words.money(point["price_usd"], table.unit), f"#{point['trial']} e{point['epoch']}"


def _ratio(level: dict[str, Any]) -> str:
    return words.NOTHING if level["price_ratio"] is None else f"{level['price_ratio']:.3g} ×"
