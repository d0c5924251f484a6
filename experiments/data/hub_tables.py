"""Data sets that the user names ("datasets:NAME") as tables of text, in their splits.

A local folder of csv, tsv, json or jsonl files is read as such files always are (see experiments.data.table_file);
anything else is read by Hugging Face datasets. Imported only where a study asks for such a source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets

from experiments.data.corpus import SPLITS
from experiments.data.hub import PREFIX, cut_rows, hub_fingerprint, hub_splits, named_splits, text_files
from experiments.data.json_file import as_text
from experiments.data.table_file import TextTable, columns_fingerprint, joined, read_table
from experiments.data.table_reading import BadRows, Reading
from tracker.errors import DataError


def hub_tables(name: str, cache: Path, reading: Reading) -> tuple[Mapping[str, TextTable], str]:
    """The splits train, validation and test of ``name``, and a fingerprint of what was read.

    Splits are as hub_splits says. Values are texts, "" where there is nothing; classes that a data set numbers and
    names go by their names. Raises DataError as hub_splits and read_table do, and for
    an encoding or a delimiter where there is no file to use them on.
    """
    files = text_files(name, cache)
    if files is None:
        for option in ("encoding", "delimiter"):
            if value := getattr(reading, option):
                raise DataError(f"{option} is {value!r}, but '{name}' is no folder of csv, tsv, json or jsonl files")
        splits = hub_splits(name, cache)
        tables = {split: _table(f"{name}, split {split}", rows, reading) for split, rows in splits.items()}
        return tables, hub_fingerprint(splits)
    found = {split: _below(paths, reading) for split, paths in named_splits(name, files).items()}
    joined([table.take([]) for table in found.values()])  # for its check that they have the same columns
    train = found["train"]
    found |= {split: train.take(rows) for split, rows in cut_rows(len(train), found).items()}
    return {split: found[split] for split in SPLITS}, columns_fingerprint(found)


def _below(paths: Sequence[Path], reading: Reading) -> TextTable:
    return joined([read_table(path, reading, PREFIX + "FOLDER") for path in paths])


def _table(place: str, rows: datasets.Dataset, reading: Reading) -> TextTable:
    """A split that datasets has read. Columns with dots in their names are looked for in nested ones too."""
    if not {*reading.named} <= {*rows.column_names}:
        rows = rows.flatten()
    columns, bad = {}, BadRows(reading.corrupt)
    for name in reading.chosen(place, rows.column_names):
        values = rows.with_format("arrow")[:][name].to_pylist()
        if (classes := getattr(rows.features[name], "names", None)) is None:
            where = f"{place}: column '{name}'"
            columns[name] = [as_text(value, where, row, bad) for row, value in enumerate(values, start=1)]
        else:  # -1 and the like are no class
            columns[name] = [classes[each] if each is not None and 0 <= each < len(classes) else "" for each in values]
    return TextTable(place, columns, bad=bad)
