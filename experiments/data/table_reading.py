"""What a study asks of a table: which columns, and how its file is written. Light to import."""

from __future__ import annotations

import codecs
import encodings.aliases
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tracker.errors import DataError, did_you_mean

FILE_OPTIONS: Mapping[str, str] = {
    "encoding": "of a csv, tsv, json or jsonl file: default utf-8, or what its first bytes say",
    "delimiter": "of a csv or tsv file: the sign between its columns; default the one that gives the columns named",
}
"""The ``[data]`` keys about a file, each with a line of help."""

NOT_DELIMITERS = '"\r\n\0'


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns are read of a table, and how its file is written.

    ``named`` are read; with ``others`` all others are too, but for ``dropped``. ``encoding`` and ``delimiter`` are ""
    where the file decides.
    """

    named: tuple[str, ...]
    others: bool = False
    dropped: tuple[str, ...] = ()
    encoding: str = ""
    delimiter: str = ""

    @classmethod
    def of(
        cls, data: Mapping[str, Any], named: Iterable[str], *, others: bool = False, dropped: tuple[str, ...] = ()
    ) -> Reading:
        """As a study's ``[data]`` table says; "" among the named ones is none.

        Raises DataError for an encoding that Python does not know and a delimiter that is not one character.
        """
        chosen = tuple(dict.fromkeys(filter(None, named)))
        return cls(chosen, others, dropped, _encoding(data.get("encoding", "")), _delimiter(data.get("delimiter", "")))

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
