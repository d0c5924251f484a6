"""The user's own labelled text: a csv or jsonl file with a text and a label column, read by Hugging Face datasets."""

from __future__ import annotations

import hashlib
from pathlib import Path

from experiments.data.corpus import SPLITS, Corpus, gather, split_for_share, stable_hash
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


def _split_of(text: str) -> str:
    return split_for_share(stable_hash(text) / 2**64)


def _check(path: Path, labels: list[str], splits: list[str]) -> None:
    if len(set(labels)) < 2:
        raise DataError(f"{path}: {f'every label is {labels[0]!r}' if labels else 'no rows'}; two classes are needed")
    for split in SPLITS:
        if split not in splits:
            raise DataError(f"{path}: the {split} split is empty ({len(splits)} rows in all); each split needs a text")


def _fingerprint(path: Path, columns: list[str]) -> str:
    told = f"rule {RULE_VERSION}, columns {columns}\n".encode()
    return hashlib.sha256(told + path.read_bytes()).hexdigest()[:16]
