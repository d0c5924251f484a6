"""A study's report as an Excel workbook: the answers and charts first, then a sheet for each table."""

from __future__ import annotations

import tempfile
from typing import IO

import pandas as pd
import pyarrow as pa
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from tracker.export import arrow_tables
from tracker.export.formats import ReportFile
from tracker.export.sheet_rows import add_rows
from tracker.export.sheets import MOST_ROWS, Styles, add_large_sheet, add_sheet, put_table, text
from tracker.export.workbook_charts import frontier_chart, hypervolume_chart, spend_chart
from tracker.records import BOOKED_METRICS, CostPart
from tracker.report import words
from tracker.report.assumptions import assumptions_table, rates_table
from tracker.report.decisions import decisions_about
from tracker.report.headlines import headlines
from tracker.report.progress import hypervolume_steps
from tracker.report.recommendation import recommendations
from tracker.report.scenarios import report_remarks
from tracker.report.spending import spend_by_purpose
from tracker.report.tables import references_table, spend_by_part, spend_by_state
from tracker.store.run_table import StudyTable

FIRST_ANSWER = 3
"""The row of the summary that the answers begin in, below the study's name."""
_AT_CHECKPOINT = ("run_id", "role", "timestamp")
"""Columns of checkpoints.csv that the sheet leaves out, as it does what the tracker booked beside price and time."""


def write_workbook(table: StudyTable, file: IO[bytes]) -> None:
    """The workbook. Amounts are numbers in USD; the summary says what Excel's limit of rows leaves out of a sheet."""
    with tempfile.TemporaryFile() as made:
        with xlsxwriter.Workbook(made) as book:
            book.set_properties({"title": text(table.study), "comments": "written by cost-quality-tracker"})
            rows = _fill(book, table)
        add_rows(made, rows, text, file)


def _fill(book: xlsxwriter.Workbook, table: StudyTable) -> dict[str, pa.Table]:
    """All but the rows of the large sheets; these, by the files of the sheets in the workbook."""
    styles, summary = Styles(book), book.add_worksheet("Summary")
    frontier = arrow_tables.frontier(table)
    add_sheet(book, styles, "Frontier", frontier, 2)
    large = {
        "Runs": _ordered(arrow_tables.runs(table)),
        "Checkpoints": _checkpoints(table),
        "Attempts": _ordered(arrow_tables.attempts(table)),
    }
    rows, left_out = {}, {}
    for name, each in large.items():
        shown = add_large_sheet(book, styles, name, each, 3)
        rows[f"xl/worksheets/sheet{len(book.worksheets())}.xml"] = shown
        left_out[name] = len(each) - len(shown)
    blocks = _spend_sheet(book, styles, table)
    add_sheet(book, styles, "Levers", arrow_tables.levers(table), 1)
    _assumptions_sheet(book, styles, table)
    _summary(summary, styles, table, left_out)
    _charts(book, summary, table, frontier, blocks)
    summary.activate()
    return rows


def _ordered(table: pa.Table) -> pa.Table:
    """The columns that a person reads first in front, those that join tables at the end."""
    first = [name for name in ("label", "role", "trial", "attempt", "state", "reason") if name in table.column_names]
    last = [name for name in ("run", "run_id", "price_point") if name in table.column_names]
    return table.select([*first, *(name for name in table.column_names if name not in (*first, *last)), *last])


def _checkpoints(table: StudyTable) -> pa.Table:
    steps = arrow_tables.checkpoints(table)
    booked = {f"metrics.{name}" for name in BOOKED_METRICS}
    names = [name for name in steps.column_names if name not in (*_AT_CHECKPOINT, *booked)]
    return steps.select(["label", *(name for name in names if name != "label")])


def _summary(sheet: Worksheet, styles: Styles, table: StudyTable, left_out: dict[str, int]) -> None:
    sheet.hide_gridlines(2)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 1)
    sheet.set_column(0, 0, 40)
    sheet.set_column(1, 1, 16)
    sheet.set_column(2, 2, 100)
    sheet.write_string(0, 0, text(table.study), styles.of(bold=True, font_size=18))
    better = "higher" if table.quality.direction == "maximize" else "lower"
    line = f"{table.state} · quality: {table.quality.name}, {better} is better · written {words.now()}"
    sheet.write_string(1, 0, text(line), styles.of(font_color="#5B6573"))
    row = FIRST_ANSWER
    for title, figure, sentence in _answers(table):
        sheet.write_string(row, 0, text(title), styles.of(bold=True, text_wrap=True, valign="top"))
        sheet.write_string(row, 1, text(figure), styles.of(bold=True, align="right", valign="top"))
        sheet.write_string(row, 2, text(sentence), styles.of(indent=1, text_wrap=True, valign="top"))
        row += 1
    notes = [*report_remarks(table), *(_left_out(name, rows) for name, rows in left_out.items() if rows)]
    for note in notes:
        sheet.write_string(row, 0, text(note), styles.of(italic=True))
        row += 1


def _answers(table: StudyTable) -> list[tuple[str, str, str]]:
    """What to buy and how sure that is, then the headlines: title, figure and sentence of each."""
    bought = [
        (each.title, each.figure, f"{each.answer.sentence} {each.answer.sure}") for each in recommendations(table)
    ]
    return [*bought, *((each.title, each.figure, each.sentence) for each in headlines(table))]


def _left_out(name: str, rows: int) -> str:
    return (
        f"Sheet {name} has the first {MOST_ROWS - 1:,} rows, as many as Excel takes; "
        f"{rows:,} more are in {name.lower()}.csv and .parquet"
    )


def _charts(
    book: xlsxwriter.Workbook, sheet: Worksheet, table: StudyTable, frontier: pa.Table, blocks: dict[str, int]
) -> None:
    """Below the answers, side by side; each draws what a sheet has."""
    row = FIRST_ANSWER + len(_answers(table)) + len(report_remarks(table)) + 3
    if len(frontier):
        columns = {name: frontier.column_names.index(name) for name in ("price_usd", "quality")}
        sheet.insert_chart(row, 0, frontier_chart(book, table, len(frontier), columns, blocks["references"]))
    if states := blocks["states"]:
        sheet.insert_chart(row, 2, spend_chart(book, states), {"x_offset": 370})
    if steps := blocks["hypervolume"]:
        sheet.insert_chart(row + 22, 0, hypervolume_chart(book, steps))


def _spend_sheet(book: xlsxwriter.Workbook, styles: Styles, table: StudyTable) -> dict[str, int]:
    """Where the money went, a block each; how many rows the blocks have that charts draw."""
    sheet = book.add_worksheet("Spend")
    states, parts = spend_by_state(table), spend_by_part(table)
    whole = sum(parts.values())
    by_part = pd.DataFrame(
        {
            "part": [str(part) for part in CostPart],
            "spend_usd": list(parts.values()),
            "share": [usd / whole if whole else 0.0 for usd in parts.values()],
        }
    )
    row = _block(sheet, styles, "By state", states[["state", "runs", "spend_usd", "share"]], 0, 0)
    row = _block(sheet, styles, "By part of the price", by_part, row, 0)
    purposes = spend_by_purpose(table, decisions_about(table))
    _block(sheet, styles, "By purpose", purposes[["purpose", "runs", "spend_usd", "share", "meaning"]], row, 0)
    references = references_table(table)[["name", "price_usd", "quality", "dominates"]]
    steps = hypervolume_steps(table)[["spend_usd", "hypervolume"]].head(MOST_ROWS - 2)
    _block(sheet, styles, "Hypervolume", steps, 0, 6)
    _block(sheet, styles, "Baselines", references, 0, 9)
    for at, width in enumerate((22, 16, 16, 12, 48)):
        sheet.set_column(at, at, width)
    return {"states": len(states), "hypervolume": len(steps), "references": len(references)}


def _assumptions_sheet(book: xlsxwriter.Workbook, styles: Styles, table: StudyTable) -> None:
    sheet = book.add_worksheet("Assumptions")
    known = assumptions_table(table)
    row = _block(sheet, styles, f"Assumptions about costs; price book {table.price_book}", known, 0, 0)
    _block(sheet, styles, "Rates that runs are priced at", rates_table(table), row, 0)
    for at, width in enumerate((30, 16, 14, 70, 60, 12, 10, 14)):
        sheet.set_column(at, at, width)


def _block(sheet: Worksheet, styles: Styles, title: str, frame: pd.DataFrame, row: int, left: int) -> int:
    """A titled table within a sheet; the row that the next one may begin in."""
    sheet.write_string(row, left, text(title), styles.title)
    return put_table(sheet, styles, arrow_tables.arrow_table(frame), row + 1, left) + 2


FILES = (ReportFile("report.xlsx", "a workbook: a sheet for each table, with charts", write_workbook),)
