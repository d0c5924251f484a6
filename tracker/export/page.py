"""The report of a study as one self-contained page: the answer first, then what it rests on.

The page carries its charts, as pictures and as data, and the library that draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import IO, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tracker.export import reproduction
from tracker.export.embedding import embedded, library
from tracker.export.formats import ReportFile, as_text
from tracker.export.templates import page
from tracker.records import CostPart
from tracker.report import words
from tracker.report.assumptions import assumptions_table, rates_table
from tracker.report.confirmation import confirmation_sentences
from tracker.report.energy import energy_sentences
from tracker.report.figures import hypervolume_figure, spend_figure
from tracker.report.frontier_chart import plane_figure
from tracker.report.headlines import headlines
from tracker.report.levers import levers_table
from tracker.report.machines import LINES, machines_by_sku, machines_table
from tracker.report.plane import Plane, study_plane
from tracker.report.plane_caption import plane_caption
from tracker.report.prediction_chart import prediction_figure
from tracker.report.prediction_words import prediction_sentences
from tracker.report.predictions import wanted_predictions
from tracker.report.recommendation import Recommendation, recommendations
from tracker.report.scenarios import report_remarks
from tracker.report.sensitivity import DECLINE_PER_YEAR, DECLINE_SOURCE, PricedCase, sensitivity
from tracker.report.tables import (
    confirmed_frontier_table,
    searched_settings,
    spend_by_part,
    spend_by_state,
)
from tracker.report.trials import ends_table
from tracker.store.run_table import StudyTable

PART_MEANINGS: Mapping[str, str] = {
    CostPart.DATA: "acquiring, cleaning and labelling the data, once",
    CostPart.COMPUTE: "device time at the share of the machine; the electricity of own hardware",
    CostPart.STORAGE: "data, checkpoints and models on disk, in GB-months",
    CostPart.MAINTENANCE: "upkeep and upgrades",
}
MOST_POINTS, MOST_ENDS = 40, 12
"""So many points of the frontier, and so many reasons why runs ended early, does the page list."""
MOST_PREDICTED = 60
FRONTIER_HEIGHT = 480
"""In pixels: on paper, the chart is on the first page, below the answer."""


def report_page(table: StudyTable) -> str:
    """The page itself, as text."""
    searched, advice = searched_settings(table), recommendations(table)
    trials = table.runs.index[table.runs["role"] == "trial"]
    settings = table.settings_of(trials[0]) if len(trials) else {}
    frontier, ends = confirmed_frontier_table(table), ends_table(table)
    usd, plane = partial(words.money, unit=table.unit), study_plane(table)
    return page(
        "page.html.jinja",
        table=table,
        usd=usd,
        usd_change=partial(words.change, in_words=usd),
        quality_change=partial(words.change, in_words=words.figure),
        percent_change=words.percent_change,
        remarks=report_remarks(table),
        advice=[(each, _settings_of(table, each, searched)) for each in advice],
        headlines=headlines(table),
        searched=searched,
        fixed={name: value for name, value in settings.items() if name not in searched},
        frontier=_listed(frontier).to_dict("records"),
        points=len(frontier),
        skus=sorted(frontier["sku"].unique()),
        confirmation=confirmation_sentences(table),
        limits=[limit.words for limit in table.limits],
        parts=_parts(table),
        states=spend_by_state(table).to_dict("records"),
        ends=ends.head(MOST_ENDS).to_dict("records"),
        more_ends=_rest(ends),
        energy=energy_sentences(table),
        machines=machines_by_sku(machines_table(table)).to_dict("records"),
        machine_lines=[_line(column, meaning) for column, meaning in LINES.items()],
        usd_per_hour=words.usd,
        levers=levers_table(table).to_dict("records"),
        cases=[
            _case(each, usd) for each in sensitivity(table, "billed" if table.scenario is None else "as in this report")
        ],
        decline=f"A year of decline: compute {words.percent(DECLINE_PER_YEAR)} cheaper, {DECLINE_SOURCE}.",
        predicted=_predicted(table, usd),
        rates=rates_table(table).to_dict("records"),
        assumptions=assumptions_table(table).to_dict("records"),
        facts=reproduction.facts(table),
        commands=reproduction.commands(table, advice[0].answer.run if advice else None),
        caption=plane_caption(plane),
        figures={name: embedded(*chart) for name, chart in _figures(table, plane).items()},
        library=library(),
        has_points=bool(len(table.checkpoints)),
    )


def _line(column: str, meaning: str) -> dict[str, str]:
    return {"column": column, "name": column.removesuffix("_usd"), "meaning": meaning}


def _figures(table: StudyTable, plane: Plane) -> dict[str, tuple[go.Figure, str, str]]:
    """The charts of the page: each figure, its name, and what a person reads who sees none."""
    metric = table.quality.name
    return {
        "frontier": (
            plane_figure(plane, FRONTIER_HEIGHT),
            "frontier",
            f"Chart: {metric} against price; the table below has the line",
        ),
        "spend": (spend_figure(table), "spend", "Chart: spend by state; the table below has the figures"),
        **_prediction_chart(table),
        "hypervolume": (hypervolume_figure(table), "hypervolume", "Chart: hypervolume against dollars spent"),
    }


def _prediction_chart(table: StudyTable) -> dict[str, tuple[go.Figure, str, str]]:
    _, found = wanted_predictions(table)
    alt = "Chart: predicted prices of the frontier on other hardware, as bars; the table below has them"
    return {} if found.empty else {"predictions": (prediction_figure(table, found), "predictions", alt)}


def _settings_of(table: StudyTable, advice: Recommendation, searched: list[str]) -> str:
    """The settings of the run that an answer names, in a line: those that differ between trials."""
    settings = table.settings_of(advice.answer.run)
    return " · ".join(f"{name} {words.setting(settings[name])}" for name in searched if name in settings)


def _predicted(table: StudyTable, usd: Callable[[float], str]) -> dict[str, Any]:
    """The frontier on the hardware that was asked for: rows in words, sentences, and the chart's name."""
    targets, found = wanted_predictions(table)
    known = found[found["refused"] == ""]
    rows = [
        {
            **{name: row[name] for name in ("trial", "epoch", "quality", "on", "sku", "market", "rests_on")},
            "price": usd(row["price_usd"]),
            "price_range": f"{usd(row['price_usd_low'])} to {usd(row['price_usd_high'])}",
            "time": words.duration(row["wall_seconds"]),
            "time_range": f"{words.duration(row['wall_seconds_low'])} to {words.duration(row['wall_seconds_high'])}",
        }
        for row in known.head(MOST_PREDICTED).to_dict("records")
    ]
    sentences = prediction_sentences(table, found, targets) if targets else []
    return {"rows": rows, "sentences": sentences, "more": max(0, len(known) - MOST_PREDICTED)}


def _listed(frontier: pd.DataFrame) -> pd.DataFrame:
    """The points that the page lists: all, or of many some from the first to the last."""
    if len(frontier) <= MOST_POINTS:
        return frontier
    return frontier.iloc[np.unique(np.linspace(0, len(frontier) - 1, MOST_POINTS).round().astype(np.int64))]


def _rest(ends: pd.DataFrame) -> dict[str, Any] | None:
    """What the reasons that are not listed come to."""
    rest = ends.iloc[MOST_ENDS:]
    return (
        {"reasons": len(rest), "runs": int(rest["runs"].sum()), "usd": float(rest["price_usd"].sum())}
        if len(rest)
        else None
    )


def _case(case: PricedCase, usd: Any) -> dict[str, str]:
    """A row of the sensitivity table, in words."""
    moved = [f"+#{trial}" for trial in case.entered] + [f"−#{trial}" for trial in case.left]
    more = f" and {len(moved) - 8} more" if len(moved) > 8 else ""
    return {
        "name": case.name,
        "problem": case.problem,
        "spend": usd(case.spend_usd),
        "price": usd(case.price_usd),
        "change": words.percent_change(case.ratio),
        "point": f"#{case.trial} e{case.epoch}" if math.isfinite(case.price_usd) else words.NOTHING,
        "moved": (", ".join(moved[:8]) + more) or "the same trials",
    }


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


def _write(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(report_page(table)))


FILES = (ReportFile("report.html", "the page, with everything inside: opens anywhere, without a network", _write),)
