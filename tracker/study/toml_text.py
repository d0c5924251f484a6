"""Study files as text: values in TOML, a whole file from its content, and one value changed in a text that stays.

Python reads TOML and does not write it.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from typing import Any

Place = tuple[str, ...]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")


def toml_value(value: object) -> str:
    """A value as TOML writes it, on one line.

    >>> print(toml_value({"low": 1e-3, "values": [True, "a\\n"]}))
    { low = 0.001, values = [true, "a\\n"] }
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(str(key))} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value)


def toml_key(key: str) -> str:
    """A key, in quotes where it needs them."""
    return key if _BARE.fullmatch(key) else toml_value(key)


def to_toml(content: Mapping[str, Any]) -> str:
    """A file of this content: its own values first, then each table below its header; tables in tables on one line."""
    tables = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    lines = [_line(key, value) for key, value in content.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{toml_key(key)}]", *(_line(each, value) for each, value in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def edited(text: str, place: Place, value: object | None) -> str:
    """``text`` with the value at ``place`` ("budget", "usd") put there or, being None, taken away.

    Everything else stays as it is, comments too, where the value stands on lines of its own; a text that writes it in
    another way is rewritten without its comments. Raises tomllib.TOMLDecodeError where it is not TOML.
    """
    wanted = _with(tomllib.loads(text), place, value)
    changed = _in_place(text, place, value)
    try:
        if tomllib.loads(changed) == wanted:
            return changed
    except tomllib.TOMLDecodeError:
        pass
    return to_toml(wanted)


def _line(key: str, value: object) -> str:
    return f"{toml_key(key)} = {toml_value(value)}"


def _with(content: dict[str, Any], place: Place, value: object | None) -> dict[str, Any]:
    """A content with the value at a place of one key, or of a table and its key; a table left empty goes."""
    *tables, key = place
    table = content
    for name in tables:
        table = table.setdefault(name, {}) if isinstance(table.get(name, {}), dict) else table
    if value is not None:
        table[key] = value
        return content
    table.pop(key, None)
    return content


def _in_place(text: str, place: Place, value: object | None) -> str:
    """The edit made on the lines of the value, else at the end of its table, else in a new table at the end."""
    lines = text.splitlines()
    table, key = ".".join(place[:-1]), place[-1]
    begin, end = _table_lines(lines, table)
    for first in range(begin, end):
        if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", lines[first]):
            last = _value_end(lines, first, end)
            new = [] if value is None else [_line(key, value) + _comment(lines[first : last + 1])]
            return "\n".join([*lines[:first], *new, *lines[last + 1 :]]) + "\n"
    if value is None:
        return text
    if begin == end == len(lines) and table:
        return "\n".join([*lines, "", f"[{toml_key(table)}]", _line(key, value)]).lstrip("\n") + "\n"
    while end > begin and not lines[end - 1].strip():
        end -= 1
    return "\n".join([*lines[:end], _line(key, value), *lines[end:]]) + "\n"


def _table_lines(lines: Sequence[str], table: str) -> tuple[int, int]:
    """The first line of a table's own values and the one after its last; the end of the text where it is not there."""
    begin = 0 if not table else len(lines)
    for number, header in _headers(lines):
        if begin <= number:
            return begin, number
        if header == table:
            begin = number + 1
    return begin, len(lines)


def _headers(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines):
        if header := _HEADER.match(line):
            yield number, header[1].strip("\"'")


def _value_end(lines: Sequence[str], first: int, end: int) -> int:
    """The line that a value which begins on line ``first`` ends on."""
    for last in range(first, end):
        try:
            tomllib.loads("\n".join(lines[first : last + 1]))
            return last
        except tomllib.TOMLDecodeError:
            continue
    return first


def _comment(lines: Sequence[str]) -> str:
    """The comment behind a value of one line, with the spaces before it."""
    if len(lines) != 1:
        return ""
    for mark in re.finditer(r"\s*#", lines[0]):
        try:
            if tomllib.loads(lines[0][: mark.start()]) == tomllib.loads(lines[0]):
                return lines[0][mark.start() :]
        except tomllib.TOMLDecodeError:
            continue
    return ""
