"""tracker runs: every run of a study."""

from __future__ import annotations

from typing import Any

import click

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.pricing.scenario import Scenario
from tracker.records import CostPart
from tracker.report import words
from tracker.report.energy import energy_sentences
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import price_remarks
from tracker.report.tables import (
    confirmation_document,
    runs_document,
    searched_settings,
    spend_by_part,
    with_dictionaries,
)
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

PART_COLUMNS = (*CostPart, "Wh", "energy ", "g CO2")


@click.command(short_help="Every run of a study, with its spend.")
@click.argument("name", type=STUDY_NAME)
@scenario_options
@click.option("--parts", is_flag=True, help="Show cost parts and energy instead of settings.")
@json_option
@home_option
def runs(name: str, scenario: Scenario, currency: str, parts: bool, as_json: bool, home: Home) -> None:
    """List every run of study NAME, including preparation and baselines: everything that was paid for."""
    table = priced_study_table(home, name, scenario, currency)
    if as_json:
        print_json(runs_document(table))
        return
    knobs = [] if parts else searched_settings(table)
    extra = PART_COLUMNS if parts else ()
    rows = [
        (
            row["label"],
            " ".join(filter(None, [row["state"], row["reason"], "busy" if row["busy"] else ""])),
            words.quality(row["quality"]),
            words.money(row["price_usd"], table.unit),
            words.duration(row["wall_seconds"]),
            row["sku"],
            *(_part(row, column, table) for column in extra),
            *(words.setting(row["settings"].get(knob)) if row["role"] in ("trial", "repeat") else "" for knob in knobs),
        )
        for row in with_dictionaries(table).to_dict("records")
    ]
    print_table(["run ", "state ", table.quality.name, "price", "time", "billed as ", *extra, *knobs], rows)
    by_part = (f"{part} {words.money_part(usd, table.unit)}" for part, usd in spend_by_part(table).items() if usd)
    verb = "spent" if table.scenario is None else "would cost"
    say(f"{verb}: {words.money(table.spend_usd, table.unit)} ({', '.join(by_part) or 'nothing'})", err=True)
    if (repeats := confirmation_document(table)) is not None:
        cost = words.money(repeats["spend_usd"], table.unit)
        say(f"repeats: {cost} of it, by {words.several(repeats['repeats'], 'run')}", err=True)
    if table.tags:
        say(f"tags: {words.tags(table.tags)}", err=True)
    if table.data:
        say(f"data: {table.data}", err=True)
    for sentence in energy_sentences(table):
        say(sentence, err=True)
    if table.runs["busy"].any():
        say("busy: measured while something else used the cores, so the price is too high", err=True)
    for remark in price_remarks(table):
        say(remark, err=True)


def _part(row: dict[Any, Any], column: str, table: StudyTable) -> str:
    """A cell of PART_COLUMNS; energy has its source, because different sources are never summed."""
    if column in list(CostPart):
        return words.money_part(row[f"{column}_usd"], table.unit)
    if column == "Wh":
        return words.figure(row["energy_kwh"] * 1000)
    return str(row["energy_source"]) if column == "energy " else words.figure(row["co2_grams"])
