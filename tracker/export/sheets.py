"""A table as a sheet of a workbook: a header that stays, a filter, formats by unit, widths by content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from tracker.export.cells import harmless
from tracker.export.columns import UNIX_SECONDS, column
from tracker.report.words import decimals_for

MOST_ROWS = 1_048_576
"""Of a sheet, its header among them (Excel's limit)."""
_MOST_CHARACTERS = 32_767
_EXACT = 2**53  # what a sheet, whose numbers are doubles, keeps exactly
_SHARES = ("share", "machine_share", "probability_on_frontier")
_WIDEST, _MEASURED = 48, 200  # characters; rows that the width is measured by
_MOST_DECIMALS = 10
_EPOCH_DAYS = 25_569  # from 1899-12-30, where Excel counts days from, to 1970-01-01


@dataclass
class Styles:
    """The formats of a workbook, each made once."""

    book: xlsxwriter.Workbook
    _made: dict[tuple[tuple[str, Any], ...], Format] = field(default_factory=dict)

    def of(self, **properties: Any) -> Format:
        """The format with these properties of XlsxWriter's."""
        key = tuple(sorted(properties.items()))
        if key not in self._made:
            self._made[key] = self.book.add_format({"font_name": "Calibri", "font_size": 11, **properties})
        return self._made[key]

    @property
    def header(self) -> Format:
        """That of a line of column names."""
        return self.of(bold=True, bottom=1, bg_color="#EEF1F5", text_wrap=True, valign="vcenter")

    @property
    def title(self) -> Format:
        """That of a title within a sheet."""
        return self.of(bold=True, font_size=13)


def add_sheet(book: xlsxwriter.Workbook, styles: Styles, name: str, table: pa.Table, frozen: int = 0) -> None:
    """A sheet with a table, its first ``frozen`` columns in view."""
    sheet = book.add_worksheet(name)
    put_table(sheet, styles, table, 0, 0)
    _set_up(sheet, len(table), table.num_columns, frozen)


def add_large_sheet(book: xlsxwriter.Workbook, styles: Styles, name: str, table: pa.Table, frozen: int = 0) -> pa.Table:
    """A sheet with the header of a table; its rows, as many as find room, for sheet_rows.add_rows."""
    sheet = book.add_worksheet(name)
    shown = table.slice(0, MOST_ROWS - 1)
    for at, (column_name, values) in enumerate(zip(shown.column_names, shown.columns, strict=True)):
        _put_header(sheet, styles, column_name, values, 0, at)
    _set_up(sheet, len(shown), shown.num_columns, frozen)
    columns = [_days(values) if column(each).unit == UNIX_SECONDS else values for each, values in _columns(shown)]
    return pa.table(columns, names=shown.column_names)


def _columns(table: pa.Table) -> list[tuple[str, pa.ChunkedArray]]:
    return list(zip(table.column_names, table.columns, strict=True))


def _set_up(sheet: Worksheet, rows: int, columns: int, frozen: int) -> None:
    sheet.freeze_panes(1, frozen)
    sheet.set_row(0, 30)
    if columns:
        sheet.autofilter(0, 0, rows, columns - 1)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def put_table(sheet: Worksheet, styles: Styles, table: pa.Table, row: int, left: int) -> int:
    """A table below a line of its column names at a place; the row below it. Widths are those of the last one there."""
    for at, (name, values) in enumerate(_columns(table), left):
        style = _put_header(sheet, styles, name, values, row, at)
        _put_column(sheet, _cells(name, values), row + 1, at, style)
    return row + 1 + len(table)


def _put_header(
    sheet: Worksheet, styles: Styles, name: str, values: pa.ChunkedArray, row: int, at: int
) -> Format | None:
    """A column's name, its width and its format, which is returned."""
    sheet.write_string(row, at, text(name), styles.header)
    number_format = _number_format(name, values)
    style = styles.of(num_format=number_format) if number_format else None
    sheet.set_column(at, at, _width(name, _cells(name, values.slice(0, _MEASURED)), number_format), style)
    return style


def text(value: object) -> str:
    """A text as a cell may have it."""
    plain = harmless(str(value))[:_MOST_CHARACTERS]
    return plain.encode("utf-8", "backslashreplace").decode("utf-8")


def _put_column(sheet: Worksheet, cells: Sequence[Any], row: int, at: int, style: Format | None) -> None:
    for below, value in enumerate(cells, row):
        if value is None:
            continue
        if isinstance(value, bool):
            sheet.write_boolean(below, at, value, style)
        elif (isinstance(value, float) and math.isfinite(value)) or (isinstance(value, int) and abs(value) <= _EXACT):
            sheet.write_number(below, at, value, style)
        else:
            sheet.write_string(below, at, text(value))


def _cells(name: str, values: pa.ChunkedArray) -> list[Any]:
    cells: list[Any] = (_days(values) if column(name).unit == UNIX_SECONDS else values).to_pylist()
    return [None if cell == "" else cell for cell in cells] if _is_text(values.type) else cells


def _days(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Seconds since 1970 as Excel has times."""
    return pc.add(pc.divide(values.cast(pa.float64()), 86_400.0), float(_EPOCH_DAYS))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _number_format(name: str, values: pa.ChunkedArray) -> str:
    """The format of a column's numbers; "" for texts and whole numbers."""
    if not pa.types.is_floating(values.type):
        return ""
    unit = column(name).unit
    if unit == UNIX_SECONDS:
        return "yyyy-mm-dd hh:mm:ss"
    if name in _SHARES:
        return "0.0%"
    if unit in ("USD", "USD/h"):
        zeros = "0" * _decimals(values)
        return f'"$"#,##0.{zeros};[Red]-"$"#,##0.{zeros}'
    if unit in ("B", "J"):
        return "#,##0"
    if unit == "s":
        return "#,##0.00"
    if name.startswith(("quality", "test_accuracy")):
        return "0.0000"
    return ""


def _decimals(values: pa.ChunkedArray) -> int:
    """How many decimals show a usual value of a column with three significant digits."""
    sizes = pc.abs(values)
    sizes = sizes.filter(pc.and_kleene(pc.greater(sizes, 0), pc.is_finite(sizes)))
    usual = pc.quantile(sizes, 0.25)[0].as_py() if len(sizes) else None
    return min(_MOST_DECIMALS, decimals_for(usual)) if usual else 2


def _width(name: str, cells: Sequence[Any], number_format: str) -> float:
    """In characters: what the header and the first rows take."""
    if number_format.startswith("yyyy"):
        return 19.0
    header = min(len(name) + 4, 26)  # with room for the filter's button; longer ones are wrapped
    widest = max((len(_shown(cell, number_format)) for cell in cells if cell is not None), default=0)
    return float(min(_WIDEST, max(header, widest + 2)))


def _shown(cell: Any, number_format: str) -> str:
    if isinstance(cell, float):
        decimals = number_format.split(";")[0].partition(".")[2].count("0")
        return f"{cell:,.{decimals}f} " if number_format else f"{cell:.6g}"
    return str(cell)
