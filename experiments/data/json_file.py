"""Columns of text from a json file, a list of objects, or a jsonl file, an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from experiments.data.table_reading import BadRows, Reading
from experiments.data.text_encoding import UNDECODABLE, encoding_of, open_text, undecodable
from tracker.errors import DataError, did_you_mean

Row = dict[str, Any]

SHOWN = 60


def read_json(path: Path, reading: Reading, bad: BadRows) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The columns of the file, and what had to be found out to read it; rows of ``bad`` are empty.

    Numbers are what the file says (1.10 is "1.10"), true and false are "true" and "false"; null and a missing name are
    "". Dots in a column's name lead into objects in objects. Raises DataError.
    """
    if reading.delimiter:
        raise DataError(f"{path}: delimiter is {reading.delimiter!r}; it is for csv and tsv files, leave it out")
    encoding = encoding_of(path, reading.encoding)
    columns: dict[str, list[str]] = {name: [] for name in reading.named}
    known = dict[str, None]()
    with open_text(path, encoding) as file:
        for number, row in enumerate(_rows(file, path, encoding, reading, bad), start=1):
            if row.keys() - known.keys():
                known |= dict.fromkeys(row)
                if reading.others:
                    columns |= {name: [""] * (number - 1) for name in row if _is_new(name, columns, reading)}
            for name, column in columns.items():
                value = row.get(name)
                if value is None and "." in name and name not in row:
                    value = _within(row, name)
                    known |= dict.fromkeys([name] if value is not None else [])
                if type(value) is not str:
                    value = as_text(value, f"{path}: column '{name}'", number, bad)
                elif not value.isascii() and UNDECODABLE.search(value):
                    bad.add(number, str(undecodable(f"{path}: row {number}, column '{name}',", value, encoding)))
                column.append(value)
    for name in (*reading.named, *reading.dropped):
        if name not in known:
            if not known and bad.reasons:
                first = bad.reasons[min(bad.reasons)]
                raise DataError(f"{path}: none of its {len(bad.reasons):,} rows can be used, the first: {first}")
            hint = did_you_mean(name, known) if known else "it has no rows"
            raise DataError(f"{path}: no column '{name}'; {hint}")
    return columns, () if encoding == "utf-8-sig" else (f"encoding {encoding}",)


def as_text(value: object, place: str, row: int, bad: BadRows) -> str:
    """A value as a table's text; ``place`` is the column's, for messages.

    A list and the like makes a bad row, and is empty; raises DataError.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple | bytes):
        shown = str(value)[:SHOWN].encode("utf-8", "backslashreplace").decode()
        bad.add(row, f"{place} is {shown} in row {row}; allowed: a text, a number, true, false or nothing")
        return ""
    return str(value)


def _rows(file: TextIO, path: Path, encoding: str, reading: Reading, bad: BadRows) -> Iterator[Row]:
    """The objects of a list, or of each line that is not blank; an empty one where a row is none."""
    used = {*reading.named}

    def checked(pairs: list[tuple[str, Any]]) -> Row:
        row = dict(pairs)
        if len(row) != len(pairs):
            names = [name for name, _ in pairs]
            if twice := next((each for each in row if names.count(each) > 1 and (reading.others or each in used)), ""):
                raise ValueError(f"two of its names are '{twice}'; each that is used needs a name of its own")
        return row

    decoder = json.JSONDecoder(
        object_pairs_hook=checked, parse_float=str, parse_int=str, parse_constant=str, strict=False
    )
    numbers, line = count(1), 0
    first = _first_sign(file)
    if first == "[":
        try:
            listed = decoder.decode(file.read())
        except (ValueError, RecursionError) as error:
            raise _broken(path, "", error) from None
        for number, row in enumerate(listed, start=1):
            yield _object(row, f"{path}: row {number}", number, bad)
        return
    for line, text in enumerate(file, start=1):
        if not text.isspace():
            number = next(numbers)
            place = f"{path}: row {number} (line {line})"
            try:
                row = decoder.decode(text.removeprefix("\ufeff"))
            except (ValueError, RecursionError) as error:
                foreign = undecodable(place, text, encoding) if UNDECODABLE.search(text) else None
                bad.add(number, str(foreign or _broken(path, f"row {number} (line {line}) ", error)))
                row = {}
            yield _object(row, place, number, bad)


def _first_sign(file: TextIO) -> str:
    begin = file.read(1)
    while begin and (begin.isspace() or begin == "\ufeff"):
        begin = file.read(1)
    file.seek(0)
    return begin


def _object(row: object, place: str, number: int, bad: BadRows) -> Row:
    if isinstance(row, dict):
        return row
    bad.add(number, f'{place} is {str(row)[:SHOWN]!r}; allowed: an object, such as {{"text": …, "label": …}}')
    return {}


def _broken(path: Path, row: str, error: ValueError | RecursionError) -> DataError:
    remedy = "" if row == "" else "; each line is an object of its own, or the whole file is a list of them"
    return DataError(f"data file '{path}' cannot be read as {path.suffix[1:].lower()}: {row}{error}{remedy}")


def _is_new(name: str, columns: dict[str, list[str]], reading: Reading) -> bool:
    return name not in columns and name not in reading.dropped


def _within(row: Row, name: str) -> object:
    """The value that a name with dots leads to; None where there is none."""
    value: object = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
