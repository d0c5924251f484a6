"""The user's own labelled text: a csv or jsonl file, or a data set by name, with a text and a label column."""

from __future__ import annotations

import hashlib
from pathlib import Path

import datasets

from experiments.data.corpus import SPLITS, Corpus, gather, split_for_share, stable_hash
from experiments.data.hub import PREFIX, hub_fingerprint, hub_splits
from experiments.data.table_file import filled_column, read_table, split_column_of
from tracker.errors import DataError

RULE_VERSION = 1


def load_labelled_text(
    path: Path, cache: Path, *, text_column: str = "text", label_column: str = "label", split_column: str = ""
) -> Corpus:
    """The corpus in the file at ``path``.

    Rows are split by ``split_column``, whose values are train, validation and test; without one, by a hash
    of the text (70 / 15 / 15 %), so that equal texts are always in the same split.

    Raises DataError for: no such file, a name that ends in none of READERS, a file that cannot be read, a missing
    column, an empty text or label, an unknown split, a single class, an empty split.
    """
    table = read_table(path, cache, "docstrings")
    texts, labels = filled_column(table, text_column, path), filled_column(table, label_column, path)
    splits = split_column_of(table, split_column, path) if split_column else [_split_of(text) for text in texts]
    _check(path, labels, splits)
    classes = tuple(sorted(set(labels)))
    return Corpus(
        name=path.stem,
        fingerprint=_fingerprint(path, [text_column, label_column, *([split_column] if split_column else [])]),
        classes=classes,
        splits=gather(list(zip(texts, labels, splits, strict=True)), classes),
        description=f"{path.name}: '{text_column}' to '{label_column}', {len(texts):,} texts in {len(classes)} classes",
    )


def load_hub_text(source: str, cache: Path, *, text_column: str = "text", label_column: str = "label") -> Corpus:
    """The corpus of a data set that hub_splits reads ("datasets:NAME"), with its own splits.

    Classes that a data set numbers and names go by their names. Raises DataError as ``load_labelled_text`` and
    ``hub_splits`` do.
    """
    found, rows = hub_splits(source, cache), list[tuple[str, str, str]]()
    for split, table in found.items():
        place = f"{source}, split {split}"
        texts, labels = filled_column(table, text_column, place), filled_column(table, label_column, place)
        if isinstance(named := table.features[label_column], datasets.ClassLabel):
            labels = [named.int2str(int(label)) if int(label) >= 0 else "" for label in labels]
            if "" in labels:
                raise DataError(f"{place}: row {labels.index('') + 1} has no label (-1); each text needs one")
        rows += zip(texts, labels, [split] * len(texts), strict=True)
    _check(source, [label for _, label, _ in rows], [split for _, _, split in rows])
    classes = tuple(sorted({label for _, label, _ in rows}))
    told = f"rule {RULE_VERSION}, columns {[text_column, label_column]}, {hub_fingerprint(found)}"
    return Corpus(
        name=source.removeprefix(PREFIX),
        fingerprint=hashlib.sha256(told.encode()).hexdigest()[:16],
        classes=classes,
        splits=gather(rows, classes),
        description=f"{source}: '{text_column}' to '{label_column}', {len(rows):,} texts in {len(classes)} classes",
    )


def _split_of(text: str) -> str:
    return split_for_share(stable_hash(text) / 2**64)


def _check(place: object, labels: list[str], splits: list[str]) -> None:
    if len(set(labels)) < 2:
        raise DataError(f"{place}: {f'every label is {labels[0]!r}' if labels else 'no rows'}; two classes are needed")
    for split in SPLITS:
        if split not in splits:
            raise DataError(f"{place}: the {split} split is empty ({len(splits)} rows in all); each split needs a text")


def _fingerprint(path: Path, columns: list[str]) -> str:
    told = f"rule {RULE_VERSION}, columns {columns}\n".encode()
    return hashlib.sha256(told + path.read_bytes()).hexdigest()[:16]
