"""What a study asks of a table: which columns, and how its file is written. Light to import."""

from __future__ import annotations

import codecs
import encodings.aliases
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tracker.errors import DataError, did_you_mean
from tracker.study.knobs import Knob

FILE_OPTIONS: Mapping[str, str] = {
    "encoding": "of a csv, tsv, json or jsonl file: default utf-8, or what its first bytes say",
    "delimiter": "of a csv or tsv file: the sign between its columns; default the one that gives the columns named",
}
"""The ``[data]`` keys about a file, each with a line of help."""

ROW_OPTIONS: Mapping[str, str] = {
    "corrupt": "what to do about a row that cannot be used: 'fail' (the default) or 'skip', which counts them",
}
"""The ``[data]`` keys about the rows of texts, each with a line of help."""
CORRUPT = Knob("str", "fail", "what to do about a row that cannot be used", choices=("fail", "skip"))

NOT_DELIMITERS = '"\r\n\0'


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns are read of a table, and how its file is written.

    ``named`` are read; with ``others`` all others are too, but for ``dropped``. ``encoding`` and ``delimiter`` are ""
    where the file decides. ``corrupt`` is what to do about rows that cannot be used, "" where there is no choice: they
    end the reading.
    """

    named: tuple[str, ...]
    others: bool = False
    dropped: tuple[str, ...] = ()
    encoding: str = ""
    delimiter: str = ""
    corrupt: str = ""

    @classmethod
    def of(
        cls, data: Mapping[str, Any], named: Iterable[str], *, others: bool = False, dropped: tuple[str, ...] = ()
    ) -> Reading:
        """As a study's ``[data]`` table says; "" among the named ones is none.

        Raises DataError for an encoding that Python does not know and a delimiter that is not one character.
        """
        chosen = tuple(dict.fromkeys(filter(None, named)))
        return cls(chosen, others, dropped, _encoding(data.get("encoding", "")), _delimiter(data.get("delimiter", "")))

    @classmethod
    def of_texts(cls, data: Mapping[str, Any], named: Iterable[str]) -> Reading:
        """The same of texts, where the table may say what to do about a row that cannot be used. Raises DataError."""
        corrupt = data.get("corrupt", CORRUPT.default)
        if problem := CORRUPT.problem(corrupt):
            raise DataError(f"data option 'corrupt': {problem}")
        return replace(cls.of(data, named), corrupt=str(corrupt))

    def chosen(self, place: object, names: Iterable[str]) -> list[str]:
        """The columns to read of those that there are. Raises DataError for one that is missing or there twice."""
        present = list(names)
        for name in (*self.named, *self.dropped):
            if name not in present:
                allowed = {printable(each) for each in present if each}
                raise DataError(f"{place}: no column '{name}'; {did_you_mean(name, allowed)}")
        used = [name for name in present if name not in self.dropped] if self.others else list(self.named)
        if twice := next((name for name in used if present.count(name) > 1), None):
            raise DataError(f"{place}: two columns are called '{twice}'; each that is used needs a name of its own")
        return used

    @property
    def summary(self) -> str:
        """What fingerprints hold of how the file is written."""
        return f"encoding {self.encoding!r}, delimiter {self.delimiter!r}"


@dataclass(frozen=True, slots=True)
class BadRows:
    """The rows of a table that cannot be used: why, by their number from 1. ``corrupt`` is that of Reading."""

    corrupt: str = ""
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, reason: str) -> None:
        """Note that a row cannot be used; the first reason counts. Raises DataError unless such rows are skipped."""
        self.refuse(reason)
        self.reasons.setdefault(row, reason)

    def refuse(self, reason: str) -> None:
        """Raises DataError unless rows that cannot be used are skipped."""
        if self.corrupt != "skip":
            raise DataError(f"{reason}; corrupt = 'skip' leaves such rows out" if self.corrupt else reason)


def printable(text: str) -> str:
    """The text with what cannot be printed as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _encoding(given: object) -> str:
    try:
        if isinstance(given, str):
            "".encode(given or "utf-8")  # refuses what Python has that is no encoding of text, such as base64
            return given and codecs.lookup(given).name
    except (LookupError, ValueError):
        pass
    near = did_you_mean(str(given), {name.replace("_", "-") for name in encodings.aliases.aliases.values()})
    raise DataError(
        f"encoding is {given!r}; {near.partition('allowed: ')[0]}allowed: an encoding of Python's, such as utf-8, "
        "cp1252, latin-1 or utf-16"
    )


def _delimiter(given: object) -> str:
    if isinstance(given, str) and (not given or (len(given) == 1 and given not in NOT_DELIMITERS)):
        return given
    raise DataError(f'delimiter is {given!r}; allowed: one character, such as ";", "|" or "\\t", and no quote')
