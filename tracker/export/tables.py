"""A report's tables as files."""

from __future__ import annotations

from typing import IO

from tracker.export.formats import ReportFile, as_text
from tracker.report.levers import levers_table
from tracker.report.tables import frontier_csv, runs_csv
from tracker.store.run_table import StudyTable


def _runs(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(runs_csv(table)))


def _frontier(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(frontier_csv(table)))


def _levers(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(levers_table(table).to_csv(index=False, lineterminator="\n")))


CSV_FILES = (
    ReportFile("runs.csv", "every run, one row each", _runs),
    ReportFile("frontier.csv", "the points of the frontier", _frontier),
    ReportFile("levers.csv", "what each lever saved", _levers),
)
