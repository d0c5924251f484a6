"""A TOML file as it was read, with the lines that its values stand in, for messages that say where."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tracker.errors import RequestError, did_you_mean, listed_problems
from tracker.study.knobs import Knob


def read_toml(path: Path, what: str, malformed: Callable[[str], RequestError]) -> tuple[Mapping[str, Any], str]:
    """The content of a TOML file, and its text.

    ``what`` is what such a file is called. Raises RequestError where it cannot be read, what ``malformed`` makes
    of the reason where it is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{what} '{path}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RequestError(f"{what} '{path}' is not UTF-8 text") from None
    return parse_toml(text, malformed), text


def parse_toml(text: str, malformed: Callable[[str], RequestError]) -> Mapping[str, Any]:
    """The content of a text. Raises what ``malformed`` makes of the reason where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise malformed(f"not valid TOML: {error}") from None
    except RecursionError:
        raise malformed("not valid TOML: it is nested too deeply") from None


def line_of(text: str, path: str, entry: int = 0) -> int | None:
    """The line (from 1) of the value at ``path`` ("table.key"), or failing that of its table; None for neither.

    ``entry`` tells which of the tables is meant where there are several of one name ([[table]]), from 0.
    """
    table, _, key = path.rpartition(".")
    here, table_line, seen = "", None, dict[str, int]()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[{1,2}([^\[\]]+)\]{1,2}", line):
            here = header[1].strip()
            seen[here] = seen.get(here, -1) + 1
            if here == path and seen[here] == entry:
                return number
            table_line = number if here == table and seen[here] == entry else table_line
        elif here == table and seen.get(here, 0) == entry and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return table_line


class TomlProblems:
    """Collects the problems of one file, each with its line, to report all at once."""

    def __init__(self, source: str, text: str) -> None:
        self._source = source
        self._text = text
        self._found: list[str] = []

    @property
    def found(self) -> tuple[str, ...]:
        """All problems so far, a line each."""
        return tuple(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        return listed_problems(self._source, self._found)

    def add(self, place: str, message: str, entry: int = 0) -> None:
        """A problem at ``place`` ("table.key"); ``entry`` as in ``line_of``."""
        line = line_of(self._text, place, entry)
        self._found.append(f"{f'line {line}, ' if line else ''}{place}: {message}")

    def entries(self, content: Mapping[str, Any], table: str) -> Sequence[Mapping[str, Any]]:
        """The tables under [[table]]; none, and a problem, where it is something else."""
        entries = content.get(table, [])
        if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
            return entries
        self.add(table, f"not a list of tables; write [[{table}]] and its keys below it")
        return []

    def check_entry(
        self, table: str, entry: Mapping[str, Any], knobs: Mapping[str, Knob], days: Sequence[str], index: int
    ) -> bool:
        """Whether every key of an entry is one of ``knobs`` or ``days`` (dates), with a value that it may have."""
        before = len(self)
        for key, value in entry.items():
            if key not in days and key not in knobs:
                message: str | None = f"unknown key; {did_you_mean(key, (*knobs, *days))}"
            else:
                message = day_problem(value) if key in days else knobs[key].problem(value)
            if message:
                self.add(f"{table}.{key}", message, index)
        return len(self) == before


def day_problem(value: object) -> str | None:
    """What is wrong with ``value`` as a date without a time; None where nothing is."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return None
    return f"{value!r} is not a date like 2026-07-20 (without quotes)"
