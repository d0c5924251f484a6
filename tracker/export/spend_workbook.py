"""Who spent what on what over all studies as an Excel workbook: the groups, and the charges that they are made of."""

from __future__ import annotations

import tempfile
from typing import IO

import pyarrow as pa
import xlsxwriter

from tracker.export.sheet_rows import add_rows
from tracker.export.sheets import Styles, add_large_sheet, add_sheet, text
from tracker.report import words
from tracker.report.spend_across import Spend


def write_spend_workbook(spend: Spend, groups: pa.Table, charges: pa.Table, file: IO[bytes]) -> None:
    """The workbook; amounts are numbers in USD, of each basis in a column of its own."""
    with tempfile.TemporaryFile() as made:
        with xlsxwriter.Workbook(made) as book:
            book.set_properties({"title": "What studies cost", "comments": "written by cost-quality-tracker"})
            styles = Styles(book)
            add_sheet(book, styles, "Spend", groups, len(spend.by))
            rows = add_large_sheet(book, styles, "Charges", charges, 1)
            notes = book.add_worksheet("Notes")
            remarks = [*spend.notices, *spend.remarks]
            lines = [spend.sentence, *remarks, f"written {words.now()}; amounts are estimates, not invoices"]
            for row, note in enumerate(lines):
                notes.write_string(row, 0, text(note))
        add_rows(made, {"xl/worksheets/sheet2.xml": rows}, text, file)
