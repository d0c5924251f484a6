"""Columns of text from a csv or tsv file; no row is silently dropped, merged or cut.

Python's csv module, in strict mode, decides how a file reads. Where every line is a row, as in most files, PyArrow
reads the same three times as fast (see experiments.data.plain_csv).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from experiments.data.plain_csv import read_plain
from experiments.data.table_reading import BadRows, Reading, printable
from experiments.data.text_encoding import UNDECODABLE, encoding_of, open_text, undecodable
from tracker.errors import DataError

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
ROWS_AT_ONCE = 2000
SHOWN = 60
REMEDY = 'write a quote inside a value as "" and put such a value in quotes'
REASONS = {
    "unexpected end of data": "opens a quote that nothing closes",
    "expected after": "continues after a closing quote",
}
"""What the csv module says of a broken row, in part, and in words."""

csv.field_size_limit(sys.maxsize)  # a text may be longer than its 128 KiB

Columns = dict[str, list[str]]
Row = list[str]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a file is written. The first ``lines`` lines hold the header, whose names have no white space around."""

    path: Path
    encoding: str
    delimiter: str
    header: Row
    lines: int

    @property
    def remarks(self) -> list[str]:
        """What differs from a usual csv file."""
        notes = [] if self.encoding == "utf-8-sig" else [f"encoding {self.encoding}"]
        return notes if self.delimiter == "," else [*notes, f"delimiter {self.delimiter!r}"]


def read_csv(path: Path, reading: Reading, bad: BadRows) -> tuple[Columns, tuple[str, ...]]:
    """The columns of the file, and what had to be found out to read it; rows of ``bad`` are empty. Raises DataError."""
    layout = _layout(path, encoding_of(path, reading.encoding), reading)
    used = reading.chosen(path, layout.header)
    if foreign := next((name for name in used if UNDECODABLE.search(name)), None):
        raise undecodable(f"{path}: the header", foreign, layout.encoding)
    positions = [layout.header.index(name) for name in used]
    if layout.encoding == "utf-8-sig" and layout.delimiter.isascii():
        plain = read_plain(path, layout.delimiter, len(layout.header), layout.lines, positions)
        if plain is not None:
            return dict(zip(used, plain, strict=True)), tuple(layout.remarks)
    columns, long_rows, suspects = _read(layout, used, positions, bad)
    _check_encoding(layout, columns, bad)
    _check_swallowed(layout, suspects, columns)
    several = f"{long_rows:,} {'row spans' if long_rows == 1 else 'rows span'} several lines"
    return columns, (*layout.remarks, *([several] if long_rows else []))


def _layout(path: Path, encoding: str, reading: Reading) -> _Layout:
    """With the delimiter that the study names, or that for which the header has the columns that it names."""
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    candidates = [reading.delimiter] if reading.delimiter else sorted(DELIMITERS, key=lambda each: each != usual)
    found = [layout for each in candidates if (layout := _header(path, encoding, each))]
    if not found:
        raise DataError(f"data file '{path}' cannot be read as csv: its header opens a quote that nothing closes")
    if not any(layout.header for layout in found):
        raise DataError(f"data file '{path}' cannot be read as csv: it is empty; a first line with names is needed")
    wanted = {*reading.named, *reading.dropped}

    def fit(layout: _Layout) -> tuple[int, int]:
        named = len(wanted & {*layout.header})
        return named, 0 if named == len(wanted) else len(layout.header)

    best = max(found, key=fit)
    missing = wanted - {*best.header}
    if missing and (foreign := next((name for name in best.header if UNDECODABLE.search(name)), None)):
        raise undecodable(f"{path}: the header", foreign, encoding)
    if missing and len(best.header) == 1:
        raise DataError(
            f"{path}: no column '{min(missing)}': its first line is {printable(best.header[0])[:SHOWN]!r}; name the "
            'sign between its columns in [data], such as delimiter = ";", or give it a first line with names'
        )
    return best


def _header(path: Path, encoding: str, delimiter: str) -> _Layout | None:
    with open_text(path, encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            row = next((row for row in reader if not _is_blank(row)), [])
        except csv.Error:
            return None
        names = [name.removeprefix("\ufeff").strip() for name in row]
        return _Layout(path, encoding, delimiter, names, reader.line_num)


def _read(
    layout: _Layout, used: list[str], positions: list[int], bad: BadRows
) -> tuple[Columns, int, dict[int, list[Row]]]:
    """The columns, how many rows span several lines, and the lines of those that may be rows themselves, by number."""
    try:
        return _gathered(layout, used, positions, _whole_rows(layout))
    except (csv.Error, _UnevenError):
        return _gathered(layout, used, positions, _checked_rows(layout, bad))


class _UnevenError(Exception):
    """A row has another number of fields than the header."""


def _gathered(
    layout: _Layout, used: list[str], positions: list[int], parts: Iterator[tuple[list[Row], bool]]
) -> tuple[Columns, int, dict[int, list[Row]]]:
    columns: Columns = {name: [] for name in used}
    done, long_rows, suspects = 0, 0, dict[int, list[Row]]()
    for rows, span_lines in parts:
        for number, row in enumerate(rows, start=done + 1) if span_lines else ():
            if "\n" in (text := layout.delimiter.join(row)):
                long_rows += 1
                if within := _rows_within(text, layout):
                    suspects[number] = within
        for name, position in zip(used, positions, strict=True):
            columns[name].extend(map(itemgetter(position), rows))
        done += len(rows)
    return columns, long_rows, suspects


def _whole_rows(layout: _Layout) -> Iterator[tuple[list[Row], bool]]:
    """Rows that are not blank, many at once, and whether one may span several lines.

    Raises csv.Error and _UnevenError where one cannot be used.
    """
    width = len(layout.header)
    with open_text(layout.path, layout.encoding) as file:
        reader = _after_header(file, layout)
        lines = reader.line_num
        while rows := list(islice(reader, ROWS_AT_ONCE)):
            spanned, lines, count = reader.line_num - lines, reader.line_num, len(rows)
            if {*map(len, rows)} != {width}:
                rows = [row for row in rows if not _is_blank(row)]
                if {*map(len, rows)} - {width}:
                    raise _UnevenError
            yield rows, spanned != count


def _checked_rows(layout: _Layout, bad: BadRows) -> Iterator[tuple[list[Row], bool]]:
    """The same, one by one: each that cannot be read is a bad row, with its first line, and empty.

    Raises DataError, also where rows are skipped, for a bad row of several lines, and for one that leaves a quote open:
    it may have swallowed the rows after it.
    """
    width, number = len(layout.header), 0
    with open_text(layout.path, layout.encoding) as file:
        lines: list[str] = []
        reader = _after_header(_noted(file, lines), layout)
        while True:
            line = reader.line_num + 1
            place = f"{layout.path}: row {number + 1} (line {line})"
            lines.clear()
            try:
                row = next(reader)
                problem, open_quote = _uneven(row, layout, lines), False
            except StopIteration:
                return
            except csv.Error as error:
                row = [""] * width
                reason = next((words for notes, words in REASONS.items() if notes in str(error)), str(error))
                problem, open_quote = f"{reason}: {_shown(lines)}; {REMEDY}", lines[0].count('"') % 2 == 1
            if not problem and _is_blank(row):
                continue
            number += 1
            if problem:
                if open_quote or len(lines) > 1:
                    remedy = "" if problem.endswith(REMEDY) else f"; is a quote not closed? {REMEDY}"
                    raise DataError(f"{place} {problem}{remedy}")
                bad.add(number, f"{place} {problem}")
                row = [""] * width
            yield [row], True


def _noted(file: Iterable[str], lines: list[str]) -> Iterator[str]:
    """The lines of a file, each noted before it is read."""
    for line in file:
        lines.append(line)
        yield line


def _uneven(row: Row, layout: _Layout, lines: Sequence[str]) -> str:
    """What is wrong with the number of a row's fields, which stands in ``lines``; "" for none, and for a blank row."""
    width, delimiter = len(layout.header), layout.delimiter
    if len(row) == width or _is_blank(row):
        return ""
    has = f"has {len(row)} {'field' if len(row) == 1 else 'fields'} where the header has {width}"
    remedy = (
        f"put a value with {delimiter!r} in it in double quotes, or name another delimiter in [data]"
        if len(row) > width
        else "every row needs a value, if an empty one, for each column"
    )
    return f"{has}: {_shown(lines)}; {remedy}"


def _check_encoding(layout: _Layout, columns: Columns, bad: BadRows) -> None:
    for name, texts in columns.items():
        for row, text in enumerate(texts, start=1):
            if not text.isascii() and UNDECODABLE.search(text):
                bad.add(row, str(undecodable(f"{layout.path}: row {row}, column '{name}',", text, layout.encoding)))


def _rows_within(text: str, layout: _Layout) -> list[Row]:
    """The lines of a row as rows of their own; none where one has another number of fields, or a blank as in prose."""
    width, delimiter = len(layout.header), layout.delimiter
    if text.count(delimiter) != (width - 1) * (text.count("\n") + 1) or delimiter + " " in text:
        return []
    lines = [line.removesuffix("\r").split(delimiter) for line in text.split("\n")]
    return lines if all(len(line) == width for line in lines) else []


def _check_swallowed(layout: _Layout, suspects: dict[int, list[Row]], columns: Columns) -> None:
    """Refuse a quoted value whose lines are rows of their own: a lone quote that a later one happens to close.

    They are where a column of a few values, such as that of the labels, has one that it has elsewhere in each line.
    """
    for name, texts in columns.items() if suspects else ():
        position = layout.header.index(name)
        known = {text for row, text in enumerate(texts, start=1) if row not in suspects}
        for number, lines in suspects.items() if 2 * len(known) <= len(texts) else ():
            if {line[position] for line in lines} <= known | {texts[number - 1]}:
                raise DataError(
                    f"{layout.path}: row {number} holds a quoted value of {len(lines)} lines, which read as rows of "
                    f"their own, such as {layout.delimiter.join(lines[1])[:SHOWN]!r}: a quote is not closed; {REMEDY}"
                )


def _after_header(file: Iterator[str], layout: _Layout) -> Any:  # the class of csv's readers has no public name
    reader = csv.reader(file, delimiter=layout.delimiter, strict=True)
    next(row for row in reader if not _is_blank(row))
    return reader


def _shown(lines: Sequence[str]) -> str:
    line = lines[0].rstrip("\r\n")
    shown = line if len(line) <= SHOWN else line[:SHOWN] + "…"
    return printable(f"{shown!r}")


def _is_blank(row: Row) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())
