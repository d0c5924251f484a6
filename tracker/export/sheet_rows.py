"""The rows of large sheets, put into a workbook as columns make them: a tenth of the time that a cell at a time takes.

XlsxWriter makes the workbook with the headers, formats and widths of these sheets; their rows are written here in
SpreadsheetML (ECMA-376, part 1, 18.3.1), every cell in the style that its column has.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc
from xlsxwriter.utility import xl_col_to_name

_ROWS_AT_ONCE = 16_384
_EXACT = 2**53  # what a sheet, whose numbers are doubles, keeps exactly
_COLUMN = re.compile(rb'<col min="(\d+)" max="(\d+)"[^>]*? style="(\d+)"')
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")


def add_rows(
    book: IO[bytes], rows: Mapping[str, pa.Table], cell_text: Callable[[object], str], file: IO[bytes]
) -> None:
    """Write the workbook ``book`` into ``file``, with rows below the first one of sheets.

    ``rows`` are by the file's name of the sheet in the workbook; ``cell_text`` makes a cell's text of a text.
    """
    with zipfile.ZipFile(book) as made, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as whole:
        for name in made.namelist():
            if name not in rows:
                whole.writestr(name, made.read(name))
                continue
            table = rows[name]
            head, end, tail = made.read(name).partition(b"</sheetData>")
            corner = f"{xl_col_to_name(max(table.num_columns - 1, 0))}{len(table) + 1}"
            head = re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="A1:{corner}"'.encode(), head, count=1)
            with whole.open(name, "w", force_zip64=True) as sheet:
                sheet.write(head)
                for part in _rows(table, _styles(head), cell_text):
                    sheet.write(part)
                sheet.write(end + tail)


def _styles(head: bytes) -> dict[int, str]:
    """The attribute that gives a cell the style of its column, by column."""
    return {
        at: f' s="{style.decode()}"'
        for first, last, style in _COLUMN.findall(head)
        for at in range(int(first) - 1, int(last))
    }


def _rows(table: pa.Table, styles: Mapping[int, str], cell_text: Callable[[object], str]) -> Iterator[bytes]:
    for begin in range(0, len(table), _ROWS_AT_ONCE):
        part = table.slice(begin, _ROWS_AT_ONCE).combine_chunks()
        cells = [_cells(values, styles.get(at, ""), cell_text) for at, values in enumerate(part.columns)]
        joined = pc.binary_join_element_wise("<row>", *cells, "</row>", "")
        yield "".join(joined.to_pylist()).encode("utf-8")


def _cells(values: pa.ChunkedArray, style: str, cell_text: Callable[[object], str]) -> pa.ChunkedArray:
    """A column's cells as XML; an empty one where there is no value."""
    kind = values.type
    if pa.types.is_boolean(kind):
        shown, opening, closing = values.cast(pa.int8()).cast(pa.string()), f'<c{style} t="b"><v>', "</v></c>"
    elif pa.types.is_floating(kind) or (pa.types.is_integer(kind) and _is_exact(values)):
        finite = pc.is_finite(values) if pa.types.is_floating(kind) else pc.is_valid(values)
        shown = pc.if_else(finite, values, None).cast(pa.string())
        opening, closing = f"<c{style}><v>", "</v></c>"
    else:
        shown = _texts(values, cell_text)
        opening, closing = '<c t="inlineStr"><is><t xml:space="preserve">', "</t></is></c>"
    return pc.fill_null(pc.binary_join_element_wise(opening, shown, closing, ""), "<c/>")


def _is_exact(values: pa.ChunkedArray) -> bool:
    limits = pc.min_max(values).as_py()
    return all(limit is None or abs(limit) <= _EXACT for limit in limits.values())


def _texts(values: pa.ChunkedArray, cell_text: Callable[[object], str]) -> pa.ChunkedArray:
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    whole = coded.combine_chunks()
    array = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    escaped = pa.array([_escaped(cell_text(value)) for value in array.dictionary.to_pylist()], pa.string())
    return escaped.take(array.indices)


def _escaped(text: str) -> str | None:
    if not text:
        return None
    return escape(_CONTROL.sub(lambda found: f"_x{ord(found[0]):04X}_", text))
