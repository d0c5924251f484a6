"""A table of the user's own, a csv or jsonl file, and its columns, read by Hugging Face datasets.

Imported only where a study names one (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import datasets

from experiments.data.corpus import SPLITS
from tracker.errors import DataError, did_you_mean

READERS = (".csv", ".json", ".jsonl")


def read_table(path: Path, cache: Path, own: str) -> datasets.Dataset:
    """The rows of the file at ``path``; ``own`` is the source that needs no file, for messages.

    Raises DataError for: a name that ends in none of READERS, no such file, a file that cannot be read.
    """
    if path.suffix not in READERS:
        raise DataError(f"data source '{path}' is neither '{own}' nor a file; allowed endings: {', '.join(READERS)}")
    if not path.is_file():
        raise DataError(f"data file '{path}' was not found (looked for {path.resolve()})")
    datasets.disable_progress_bars()
    folder = str(cache / "datasets")
    try:
        if path.suffix == ".csv":
            # Without the defaults, the text "None" or "NA" stays a text.
            return datasets.Dataset.from_csv(str(path), cache_dir=folder, keep_default_na=False)
        return datasets.Dataset.from_json(str(path), cache_dir=folder)
    except Exception as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise DataError(f"data file '{path}' cannot be read as {path.suffix[1:]}: {reason}") from error


def filled_column(table: datasets.Dataset, column: str, place: object) -> list[str]:
    """The texts of a column, without white space around them; ``place`` is where it is from, for messages.

    Raises DataError for a missing column and for an empty text.
    """
    if column not in table.column_names:
        raise DataError(f"{place}: no column '{column}'; {did_you_mean(column, table.column_names)}")
    values: Iterable[object] = table[column]
    texts = ["" if value is None else str(value).strip() for value in values]
    if empty := [row for row, text in enumerate(texts, start=1) if not text]:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise DataError(f"{place}: column '{column}' is empty in row {empty[0]}{more}; every row needs a value")
    return texts


def split_column_of(table: datasets.Dataset, column: str, place: object) -> list[str]:
    """The split of each row, by a column of the table. Raises DataError for what is none of SPLITS."""
    splits = filled_column(table, column, place)
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise DataError(f"{place}: column '{column}' holds '{unknown[0]}'; {did_you_mean(unknown[0], SPLITS)}")
    return splits
