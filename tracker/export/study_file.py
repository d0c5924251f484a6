"""``study.json`` beside exported tables: what they do not say of the study, and what their columns are."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import IO, Any

import pyarrow as pa

from tracker.export.arrow_tables import TABLES, price_points
from tracker.export.columns import column
from tracker.export.formats import ReportFile, as_text
from tracker.export.reproduction import tracker_version
from tracker.report.plain import plain
from tracker.report.tables import study_head
from tracker.store.run_table import StudyTable

FORMAT = "cost-quality-tracker study"
FORMAT_VERSION = 1
"""Grows when an older tracker could not read what a newer one exports."""
NAME = "study.json"


def study_file(table: StudyTable) -> dict[str, Any]:
    """The document: format, study, and for each table its rows and columns with type, unit and meaning."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "tracker_version": tracker_version(),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **study_head(table),
        "state": table.state,
        "budget_usd": plain(table.budget_usd),
        "price_book": table.price_book,
        "country": table.country,
        "data": table.data,
        "provenance": dict(table.provenance),
        "tags": dict(table.tags),
        "user": table.user,
        "costs": plain(asdict(table.terms)),
        "scenario": None if table.scenario is None else plain(table.scenario.document),
        "price_points": price_points(table),
        "tables": {name: _table(make(table)) for name, (_, make) in TABLES.items()},
    }


def _table(exported: pa.Table) -> dict[str, Any]:
    columns = {field.name: {"type": str(_plain_type(field.type)), **_meaning(field.name)} for field in exported.schema}
    return {"rows": len(exported), "columns": columns}


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, however they are coded."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _meaning(name: str) -> dict[str, str]:
    known = column(name)
    return {key: text for key, text in (("unit", known.unit), ("description", known.meaning)) if text}


def _write(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(json.dumps(study_file(table), indent=1, allow_nan=False, ensure_ascii=False) + "\n"))


STUDY_FILE = ReportFile(NAME, "what the tables do not say: the study, its terms, their columns", _write)
