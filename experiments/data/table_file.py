"""The one place that reads the user's own tables: csv, tsv, json and jsonl, as columns of text.

Labels and texts are what the file says, character by character: no type is guessed, and unused columns are not
read. Imported only where a study names a table (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.data.corpus import SPLITS
from experiments.data.csv_file import read_csv
from experiments.data.json_file import read_json
from experiments.data.table_reading import Reading
from tracker.errors import DataError, did_you_mean

Columns = Mapping[str, list[str]]

READERS: Mapping[str, Callable[[Path, Reading], tuple[Columns, tuple[str, ...]]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
}
"""By the ending of a file's name, in lower case: what gives its columns and what had to be found out about it."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Columns of texts, all of one length, as their source has them; "" where there is nothing.

    ``place`` is what messages call it; ``remarks`` are what had to be found out to read it, in words.
    """

    place: str
    columns: Columns
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def filled(self, column: str) -> list[str]:
        """The texts of a column without white space around them. Raises DataError where one is empty."""
        texts = [text.strip() for text in self.columns[column]]
        if not all(texts):
            empty = [row for row, text in enumerate(texts, start=1) if not text]
            more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
            raise DataError(
                f"{self.place}: column '{column}' is empty in row {empty[0]}{more}; every row needs a value"
            )
        return texts

    def splits(self, column: str) -> list[str]:
        """The split of each row, by a column. Raises DataError for what is none of SPLITS."""
        splits = self.filled(column)
        if unknown := set(splits) - set(SPLITS):
            row, value = next((row, value) for row, value in enumerate(splits, start=1) if value in unknown)
            raise DataError(
                f"{self.place}: column '{column}' holds {value!r} in row {row}; {did_you_mean(value, SPLITS)}"
            )
        return splits

    def take(self, rows: Sequence[int]) -> TextTable:
        """The table of these rows."""
        columns = {name: [texts[row] for row in rows] for name, texts in self.columns.items()}
        return TextTable(self.place, columns, self.remarks)


def read_table(path: Path, reading: Reading, own: str) -> TextTable:
    """The table in the file at ``path``; ``own`` is the source that needs no file, for messages.

    Raises DataError for: a name that ends in none of READERS, no such file, one that cannot be read, a column that is
    missing or there twice. It names the file, the row, the reason and the remedy.
    """
    if path.suffix.lower() not in READERS:
        raise DataError(f"data source '{path}' is neither '{own}' nor a file; allowed endings: {', '.join(READERS)}")
    if not path.is_file():
        raise DataError(f"data file '{path}' was not found (looked for {path.resolve()})")
    try:
        columns, remarks = READERS[path.suffix.lower()](path, reading)
    except OSError as error:
        raise DataError(f"data file '{path}' cannot be read: {error.strerror}") from None
    return TextTable(str(path), columns, remarks)


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
    return TextTable(first.place, columns, tuple(remarks))


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
