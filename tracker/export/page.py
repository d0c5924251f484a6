"""The report of a study as one self-contained page.

The page carries plotly.js and every figure inside it, so it opens anywhere without a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

import jinja2
import pandas as pd

from tracker.export.embedding import embedded, library
from tracker.export.formats import ReportFile, as_text
from tracker.records import CostPart, Role
from tracker.report import words
from tracker.report.confirmation import confirmation_sentences
from tracker.report.energy import energy_sentences
from tracker.report.figures import hypervolume_figure, spend_figure
from tracker.report.frontier_chart import frontier_caption, frontier_figure
from tracker.report.headlines import headlines
from tracker.report.levers import levers_table
from tracker.report.scenarios import price_remarks
from tracker.report.tables import (
    confirmed_frontier_table,
    searched_settings,
    spend_by_part,
    with_dictionaries,
)
from tracker.store.run_table import StudyTable
from tracker.study.costs import ASSUMPTIONS, CostTerms

PART_MEANINGS: Mapping[str, str] = {
    CostPart.DATA: "acquiring, cleaning and labelling the data, once",
    CostPart.COMPUTE: "device time at the share of the machine; the electricity of own hardware",
    CostPart.STORAGE: "data, checkpoints and models on disk, in GB-months",
    CostPart.MAINTENANCE: "upkeep and upgrades",
}
MOST_RUNS = 200
"""How many runs the page lists; runs.csv has all."""
_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("tracker.export", "."),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= {name: getattr(words, name) for name in ("quality", "duration", "percent", "setting")}


def report_page(table: StudyTable) -> str:
    """The page itself, as text."""
    searched, told = searched_settings(table), _told_runs(table)
    trials = table.runs.index[table.runs["role"] == "trial"]
    settings = table.settings_of(trials[0]) if len(trials) else {}
    return _PAGES.get_template("page.html.jinja").render(
        table=table,
        usd=partial(words.money, unit=table.unit),
        usd_change=partial(words.change, in_words=partial(words.money, unit=table.unit)),
        quality_change=partial(words.change, in_words=words.figure),
        percent_change=words.percent_change,
        remarks=price_remarks(table),
        parts=_parts(table),
        energy=energy_sentences(table),
        assumptions=_assumptions(table.terms),
        searched=searched,
        fixed={name: value for name, value in settings.items() if name not in searched},
        headlines=headlines(table),
        frontier=confirmed_frontier_table(table).to_dict("records"),
        confirmation=confirmation_sentences(table),
        levers=levers_table(table).to_dict("records"),
        limits=[limit.words for limit in table.limits],
        runs=with_dictionaries(table, told.index).to_dict("records"),
        left_out=len(table.runs) - len(told),
        left_out_usd=table.spend_usd - float(told["price_usd"].sum()),
        rates=_rates(table.runs),
        caption=frontier_caption(table),
        figures={
            "frontier": embedded(frontier_figure(table), "frontier", "Quality against price, with the frontier"),
            "spend": embedded(spend_figure(table), "spend", "Spend by state"),
            "hypervolume": embedded(hypervolume_figure(table), "hypervolume", "Hypervolume against dollars spent"),
        },
        library=library(),
        written_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        has_points=bool(len(table.checkpoints)),
    )


def _told_runs(table: StudyTable) -> pd.DataFrame:
    """The rows of ``table.runs`` that the page lists: all of a small study; of a large one, what matters most.

    Baselines, preparation, the frontier's trials and their repeats first, then the dearest ones.
    """
    runs = table.runs
    if len(runs) <= MOST_RUNS:
        return runs
    trials = set(confirmed_frontier_table(table)["trial"])
    matters = (runs["role"] != Role.TRIAL) | runs["trial"].isin(trials)
    order = runs.assign(_matters=matters).sort_values(["_matters", "price_usd"], ascending=False, kind="stable")
    return runs.loc[order.index[:MOST_RUNS].sort_values()]


def _rates(runs: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rates that runs were billed at, each once, with what was spent at it."""
    by = ["sku", "market", "usd_per_hour", "price_source", "price_date"]
    rates = runs.groupby(by, dropna=False, sort=True)["price_usd"].agg(runs="size", spend_usd="sum")
    return rates.reset_index().to_dict("records")


def _parts(table: StudyTable) -> list[dict[str, Any]]:
    """The four parts of what was spent."""
    spent = spend_by_part(table)
    whole = sum(spent.values())
    return [
        {
            "name": part,
            "amount": words.money_part(usd, table.unit),
            "share": words.percent(usd / whole if whole else 0.0),
            "meaning": PART_MEANINGS[part],
        }
        for part, usd in spent.items()
    ]


def _assumptions(terms: CostTerms) -> list[dict[str, str]]:
    """Every assumption about costs, with the source of its default or that the study set it."""
    return [
        {
            "name": name,
            "value": words.setting(getattr(terms, name)),
            "help": assumption.knob.help,
            "source": "set by the study or the scenario" if name in terms.changed else assumption.source,
        }
        for name, assumption in ASSUMPTIONS.items()
    ]


def _write(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(report_page(table)))


FILES = (ReportFile("report.html", "the page, with everything inside: opens anywhere, without a network", _write),)
