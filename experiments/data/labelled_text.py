"""The user's own labelled text: a file or a data set by name, with a text and a label column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.corpus import SPLITS, Corpus, gather, split_for_share, stable_hash
from experiments.data.table_file import TextTable, file_fingerprint, left_out, read_table
from experiments.data.table_reading import Reading
from experiments.data.token_arrays import digest
from tracker.errors import DataError

RULE_VERSION = 2
"""Raise it whenever the result for the same file changes."""

HUB = "datasets:"


def load_labelled_text(data: Mapping[str, Any], cache: Path, progress: Callable[[str], None]) -> Corpus:
    """The corpus that a study's ``[data]`` table names: that of a file, or of a data set ("datasets:NAME").

    Rows of a file are split by ``split_column``, whose values are train, validation and test; without one, by a hash
    of the text (70 / 15 / 15 %), so that equal texts are always in the same split. A data set has its own splits.

    Raises DataError for: no such file or data set, one that cannot be read, a missing column, an empty text or label,
    an unknown split, a class without a text to learn from, a single class, an empty split. With ``corrupt = "skip"``
    rows that cannot be used are left out.
    """
    source = str(data["source"])
    text, label = str(data.get("text_column", "text")), str(data.get("label_column", "label"))
    if source.startswith(HUB):
        found, fingerprint = lazy.call(
            "experiments.data.hub_tables:hub_tables", source, cache, Reading.of_texts(data, (text, label))
        )
        tables = [(table, [split] * len(table)) for split, table in found.items()]
        fingerprint = digest({"rule": RULE_VERSION, "columns": [text, label], "content": fingerprint})
        return _corpus(source.removeprefix(HUB), source, fingerprint, (text, label), tables, progress)
    path, split = Path(source), str(data.get("split_column", ""))
    reading = Reading.of_texts(data, (text, label, split))
    table = read_table(path, reading, "docstrings")
    splits = table.splits(split) if split else [_split_of(each) for each in table.filled(text)]
    fingerprint = file_fingerprint(path, f"rule {RULE_VERSION}, columns {[text, label, split]}, {reading.summary}\n")
    return _corpus(path.stem, path.name, fingerprint, (text, label), [(table, splits)], progress)


def _corpus(
    name: str,
    place: str,
    fingerprint: str,
    columns: tuple[str, str],
    tables: Sequence[tuple[TextTable, list[str]]],
    progress: Callable[[str], None],
) -> Corpus:
    """The corpus in tables, each with the split of its rows."""
    parts = [(table, list(zip(*(table.filled(column) for column in columns), of, strict=True))) for table, of in tables]
    rows = _good(parts, place)
    learnt = {label for _, label, split in rows if split == "train"}
    for table, of_table in parts:
        for number, (_, label, _) in enumerate(of_table, start=1):
            if label not in learnt and number not in table.bad.reasons:
                lacking = f"class {label!r} has no text in the training split; each class needs one"
                table.bad.add(number, f"{table.place}: row {number}: its {lacking}")
    rows = _good(parts, place)
    without = left_out([table for table, _ in tables], progress)
    classes = tuple(sorted({row[1] for row in rows}))
    remarks = dict.fromkeys(remark for table, _ in tables for remark in table.remarks)
    return Corpus(
        name=name,
        fingerprint=fingerprint,
        classes=classes,
        splits=gather(rows, classes),
        description="; ".join([f"{place}: '{columns[0]}' to '{columns[1]}', {len(rows):,} texts", *remarks, *without]),
    )


def _good(parts: Sequence[tuple[TextTable, list[tuple[str, str, str]]]], place: object) -> list[tuple[str, str, str]]:
    """The rows of tables that can be used. Raises DataError where they are no corpus."""
    rows = [row for table, of_table in parts for row in table.good(of_table)]
    _check(place, [row[1] for row in rows], [row[2] for row in rows])
    return rows


def _split_of(text: str) -> str:
    return split_for_share(stable_hash(text) / 2**64)


def _check(place: object, labels: list[str], splits: list[str]) -> None:
    if len(set(labels)) < 2:
        raise DataError(f"{place}: {f'every label is {labels[0]!r}' if labels else 'no rows'}; two classes are needed")
    for split in SPLITS:
        if split not in splits:
            raise DataError(f"{place}: the {split} split is empty ({len(splits)} rows in all); each split needs a text")
