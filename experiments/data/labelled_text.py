"""The user's own labelled text: a csv or jsonl file with a text and a label column, read by Hugging Face datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import datasets

from experiments.data.corpus import SPLITS, Corpus, gather, split_for_share, stable_hash
from tracker.errors import DataError, did_you_mean

RULE_VERSION = 1
READERS = (".csv", ".json", ".jsonl")


def load_labelled_text(
    path: Path, cache: Path, *, text_column: str = "text", label_column: str = "label", split_column: str = ""
) -> Corpus:
    """The corpus in the file at ``path``.

    Rows are split by ``split_column``, whose values are train, validation and test; without one, by a hash
    of the text (70 / 15 / 15 %), so that equal texts are always in the same split.

    Raises DataError for: no such file, a name that ends in none of READERS, a file that cannot be read, a missing
    column, an empty text or label, an unknown split, a single class, an empty split.
    """
    table = _read(path, cache)
    columns = [text_column, label_column, *([split_column] if split_column else [])]
    for column in columns:
        if column not in table.column_names:
            raise DataError(f"{path}: no column '{column}'; {did_you_mean(column, table.column_names)}")
    texts = _filled(path, text_column, table[text_column])
    labels = _filled(path, label_column, table[label_column])
    splits = _filled(path, split_column, table[split_column]) if split_column else [_split_of(text) for text in texts]
    _check(path, split_column, labels, splits)
    classes = tuple(sorted(set(labels)))
    return Corpus(
        name=path.stem,
        fingerprint=_fingerprint(path, columns),
        classes=classes,
        splits=gather(list(zip(texts, labels, splits, strict=True)), classes),
        description=f"{path.name}: '{text_column}' to '{label_column}', {len(texts):,} texts in {len(classes)} classes",
    )


def _read(path: Path, cache: Path) -> datasets.Dataset:
    if path.suffix not in READERS:
        raise DataError(
            f"data source '{path}' is neither 'docstrings' nor a file; allowed endings: {', '.join(READERS)}"
        )
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


def _filled(path: Path, column: str, values: Iterable[object]) -> list[str]:
    texts = ["" if value is None else str(value).strip() for value in values]
    empty = [row for row, text in enumerate(texts, start=1) if not text]
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise DataError(f"{path}: column '{column}' is empty in row {empty[0]}{more}; every row needs a value")
    return texts


def _split_of(text: str) -> str:
    return split_for_share(stable_hash(text) / 2**64)


def _check(path: Path, split_column: str, labels: list[str], splits: list[str]) -> None:
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise DataError(f"{path}: column '{split_column}' holds '{unknown[0]}'; {did_you_mean(unknown[0], SPLITS)}")
    if len(set(labels)) < 2:
        raise DataError(f"{path}: {f'every label is {labels[0]!r}' if labels else 'no rows'}; two classes are needed")
    for split in SPLITS:
        if split not in splits:
            raise DataError(f"{path}: the {split} split is empty ({len(splits)} rows in all); each split needs a text")


def _fingerprint(path: Path, columns: list[str]) -> str:
    told = f"rule {RULE_VERSION}, columns {columns}\n".encode()
    return hashlib.sha256(told + path.read_bytes()).hexdigest()[:16]
