"""The one place that reads the user's own tables: csv, tsv, json and jsonl, as columns of text.

Labels and texts are what the file says, character by character: no type is guessed, and unused columns are not
read. Imported only where a study names a table (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from experiments.data.corpus import SPLITS
from experiments.data.csv_file import read_csv
from experiments.data.json_file import read_json
from experiments.data.left_out import say_left_out
from experiments.data.table_reading import BadRows, Reading
from tracker.errors import DataError, did_you_mean

Columns = Mapping[str, list[str]]
Row = TypeVar("Row")

READERS: Mapping[str, Callable[[Path, Reading, BadRows], tuple[Columns, tuple[str, ...]]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
}
"""By the ending of a file's name, in lower case: what gives its columns and what had to be found out about it.

A row that cannot be used is noted, and is empty in the columns."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Columns of texts, all of one length, as their source has them; "" where there is nothing.

    ``place`` is what messages call it; ``remarks`` are what had to be found out to read it, in words; ``bad`` are the
    rows that are to be left out.
    """

    place: str
    columns: Columns
    remarks: tuple[str, ...] = ()
    bad: BadRows = field(default_factory=BadRows)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def filled(self, column: str) -> list[str]:
        """The texts of a column without white space around them. An empty one is a bad row; raises DataError."""
        texts = [text.strip() for text in self.columns[column]]
        if not all(texts):
            known = self.bad.reasons
            empty = [row for row, text in enumerate(texts, start=1) if not text and row not in known]
            if empty:
                more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
                where = f"{self.place}: column '{column}' is empty in row"
                self.bad.refuse(f"{where} {empty[0]}{more}; every row needs a value")
                known.update((row, f"{where} {row}") for row in empty)
        return texts

    def good(self, rows: Iterable[Row]) -> list[Row]:
        """Of one item for each row, those of rows that can be used."""
        return [row for number, row in enumerate(rows, start=1) if number not in self.bad.reasons]

    def splits(self, column: str) -> list[str]:
        """The split of each row, by a column. One that is none of SPLITS is a bad row; raises DataError."""
        splits = self.filled(column)
        if unknown := set(splits) - set(SPLITS):
            for row, value in enumerate(splits, start=1):
                if value in unknown and row not in self.bad.reasons:
                    where = f"{self.place}: column '{column}' holds {value!r} in row {row}"
                    self.bad.add(row, f"{where}; {did_you_mean(value, SPLITS)}")
        return splits

    def take(self, rows: Sequence[int]) -> TextTable:
        """The table of these rows."""
        columns = {name: [texts[row] for row in rows] for name, texts in self.columns.items()}
        known = self.bad.reasons
        bad = {number: known[row + 1] for number, row in enumerate(rows, start=1) if row + 1 in known}
        return TextTable(self.place, columns, self.remarks, BadRows(self.bad.corrupt, bad))


def read_table(path: Path, reading: Reading, own: str) -> TextTable:
    """The table in the file at ``path``; ``own`` is the source that needs no file, for messages.

    Raises DataError for: a name that ends in none of READERS, no such file, one that cannot be read, a column that is
    missing or there twice, a row that cannot be used unless those are skipped. It names the file, the row, the reason
    and the remedy.
    """
    if path.suffix.lower() not in READERS:
        raise DataError(f"data source '{path}' is neither '{own}' nor a file; allowed endings: {', '.join(READERS)}")
    if not path.is_file():
        raise DataError(f"data file '{path}' was not found (looked for {path.resolve()})")
    bad = BadRows(reading.corrupt)
    try:
        columns, remarks = READERS[path.suffix.lower()](path, reading, bad)
    except OSError as error:
        raise DataError(f"data file '{path}' cannot be read: {error.strerror}") from None
    return TextTable(str(path), columns, remarks, bad)


def joined(tables: Sequence[TextTable]) -> TextTable:
    """Tables of the same columns, one below the other. Raises DataError where their columns differ."""
    first = tables[0]
    for other in tables[1:]:
        if differing := sorted(first.columns.keys() ^ other.columns.keys()):
            raise DataError(
                f"{other.place}: its columns are not those of {first.place}; only one of them has '{differing[0]}'"
            )
    columns = {name: [text for table in tables for text in table.columns[name]] for name in first.columns}
    remarks = dict.fromkeys(remark for table in tables for remark in table.remarks)
    bad, above = BadRows(first.bad.corrupt), 0
    for table in tables:
        bad.reasons.update((above + row, reason) for row, reason in table.bad.reasons.items())
        above += len(table)
    return TextTable(first.place, columns, tuple(remarks), bad)


def left_out(tables: Iterable[TextTable], progress: Callable[[str], None]) -> list[str]:
    """Say which rows of tables are left out, and why; what a description says of them, if there are any."""
    reasons = [reason for table in tables for _, reason in sorted(table.bad.reasons.items())]
    say_left_out(reasons, progress)
    return [f"{len(reasons):,} {'row' if len(reasons) == 1 else 'rows'} that cannot be used left out"] * bool(reasons)


def file_fingerprint(path: Path, digest: str) -> str:
    """16 hexadecimal digits that follow from a file's content and from ``digest``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha256(digest.encode())).hexdigest()[:16]


def columns_fingerprint(splits: Mapping[str, TextTable]) -> str:
    """16 hexadecimal digits that follow from the columns and rows of every split, wherever they lie."""
    digest = hashlib.sha256()
    for split, table in sorted(splits.items()):
        for name, texts in sorted(table.columns.items()):
            digest.update(f"{split}, {name}: {len(texts)} rows\n".encode())
            digest.update(_framed(texts))
    return digest.hexdigest()[:16]


def _framed(texts: Iterable[str]) -> bytes:
    """Texts so that no two lists of them are alike."""
    return "".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass")
