"""A study's report as one JSON document: the answers, and what they rest on; report.schema.json describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from typing import IO, Any

from tracker.export.formats import ReportFile, as_text
from tracker.export.reproduction import tracker_version
from tracker.report.assumptions import assumptions_table, rates_table
from tracker.report.decisions import decisions_about
from tracker.report.headlines import headlines
from tracker.report.levers import levers_table
from tracker.report.machines import machines_table
from tracker.report.plain import plain, plain_rows
from tracker.report.predictions import wanted_predictions
from tracker.report.progress import hypervolume_steps, reference_point
from tracker.report.recommendation import Recommendation, recommendations
from tracker.report.scenarios import report_remarks
from tracker.report.spending import spend_by_purpose
from tracker.report.tables import confirmed_frontier_table, frontier_document, spend_by_part, spend_by_state
from tracker.store.run_table import StudyTable

FORMAT_VERSION = 1
"""Grows when a key changes its meaning or goes; new keys come without."""
SCHEMA = "report.schema.json"


def report_document(table: StudyTable) -> dict[str, Any]:
    """The document. Amounts are in USD in full precision, and null where there is no figure."""
    frontier = frontier_document(table)
    points = confirmed_frontier_table(table)
    more = points[["usd_per_point", "test_accuracy"]]
    spent = table.runs["role"].value_counts()
    return {
        "$schema": f"./{SCHEMA}",
        "format_version": FORMAT_VERSION,
        "tracker_version": tracker_version(),
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: frontier[name] for name in ("study", "quality", "spend_usd", "currency", "limits")},
        "budget_usd": plain(table.budget_usd),
        "state": table.state,
        "scenario": frontier["scenario"],
        "price_book": table.price_book,
        "data": table.data,
        "tags": dict(table.tags),
        "user": table.user,
        "provenance": dict(table.provenance),
        "recommendations": [_recommended(table, each) for each in recommendations(table)],
        "headlines": [asdict(each) for each in headlines(table)],
        "frontier": [{**point, **rest} for point, rest in zip(frontier["points"], plain_rows(more), strict=True)],
        "references": frontier["references"],
        "confirmation": frontier.get("confirmation"),
        "runs": {
            "by_role": {str(role): int(count) for role, count in spent.items()},
            "checkpoints": len(table.checkpoints),
        },
        "spend": {
            "by_part_usd": plain(spend_by_part(table)),
            "by_state": plain_rows(spend_by_state(table)),
            "by_purpose": plain_rows(spend_by_purpose(table, decisions_about(table))),
        },
        "hypervolume": _hypervolume(table),
        "levers": plain_rows(levers_table(table)),
        "assumptions": [{**row, **_values(row)} for row in assumptions_table(table).to_dict("records")],
        "rates": plain_rows(rates_table(table)),
        "machines": plain_rows(machines_table(table)),
        "predictions": plain_rows(wanted_predictions(table)[1]),
        "remarks": list(report_remarks(table)),
    }


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the document."""
    text = resources.files("tracker.export").joinpath(SCHEMA).read_text("utf-8")
    known: dict[str, Any] = json.loads(text)
    return known


def _recommended(table: StudyTable, advice: Recommendation) -> dict[str, Any]:
    row = table.runs.iloc[advice.answer.run]
    return {
        "title": advice.title,
        "figure": advice.figure,
        "sentence": advice.answer.sentence,
        "sure": advice.answer.sure,
        "trial": int(row["trial"]),
        "epoch": advice.epoch,
    }


def _values(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: plain(row[name]) for name in ("value", "default")}


def _hypervolume(table: StudyTable) -> dict[str, Any] | None:
    corner, steps = reference_point(table), hypervolume_steps(table)
    if corner is None or steps.empty:
        return None
    return {"reference": plain(asdict(corner)), "steps": plain_rows(steps[["spend_usd", "hypervolume"]])}


def _write(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(json.dumps(report_document(table), indent=1, allow_nan=False, ensure_ascii=False) + "\n"))


def _write_schema(table: StudyTable, file: IO[bytes]) -> None:
    del table  # one schema for every study
    file.write(resources.files("tracker.export").joinpath(SCHEMA).read_bytes())


FILES = (
    ReportFile("report.json", "the answers and what they rest on, as one document", _write),
    ReportFile(SCHEMA, "the JSON Schema of report.json", _write_schema),
)
