"""Tables of numbers and categories with a label, made the arrays that experiments.data.table_arrays describes.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.data.array_data import ArrayCard, Arrays
from experiments.data.corpus import SPLITS, few, split_for_share, stable_hash
from experiments.data.table_arrays import MISSING, UNKNOWN, Columns
from experiments.data.table_sources import TableSource, table_source
from tracker.errors import DataError, did_you_mean

MOST_CATEGORIES = 1000
MOST_CLASSES = 1000
MOSTLY = 0.5
"""A column with a larger share of numbers than this is said to be mostly numbers where a text makes it categories."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """A table whose columns have their roles; rows in stable-hash order, so that the first ones are a fair sample."""

    features: pd.DataFrame
    labels: pd.Series[str]
    splits: pd.Series[str]
    slices: pd.Series[str] | None
    remarks: tuple[str, ...]


def table_arrays(source: TableSource) -> tuple[ArrayCard, Mapping[str, Arrays]]:
    """The card and the arrays of a table, as experiments.data.table_arrays describes them.

    Raises DataError for: a missing column, a row without a label or with an unknown split, labels that are all the
    same or too many, a column that is empty, infinite somewhere or of too many categories, no features at all.
    """
    rows = _rows(source)
    in_split = {split: np.asarray(rows.splits == split) for split in SPLITS}
    columns, numbers, notes = _columns(source, rows.features, in_split["train"])
    coded = columns.coded()
    codes = [rows.features[name].map(coded[name]).fillna(UNKNOWN).to_numpy(np.float64) for name in columns.categories]
    inputs = np.column_stack([*numbers, *codes])
    classes, labels = np.unique(rows.labels.to_numpy(str), return_inverse=True)
    arrays = {"inputs": inputs, "labels": labels.astype(np.int64)}
    extra: dict[str, Any] = asdict(columns)
    if rows.slices is not None:
        names, slices = np.unique(rows.slices.to_numpy(str), return_inverse=True)
        arrays["slices"], extra["slices"] = slices.astype(np.int64), names.tolist()
    extra["counts"] = {
        split: np.bincount(labels[of], minlength=len(classes)).tolist() for split, of in in_split.items()
    }
    kinds = {"numbers": columns.numbers, "categories": tuple(columns.categories)}
    kinds_text = ", ".join(f"{len(of)} of {kind}" + (f" ({few(of)})" if of else "") for kind, of in kinds.items())
    what = f"{len(labels):,} rows; columns: {kinds_text}"
    card = ArrayCard(
        name=source.name,
        fingerprint=source.fingerprint,
        classes=tuple(classes.tolist()),
        rows={split: int(of.sum()) for split, of in in_split.items()},
        description="; ".join([f"'{source.options.label_column}' of {source.name}, {what}", *rows.remarks, *notes]),
        extra=extra,
    )
    return card, {split: {name: array[of] for name, array in arrays.items()} for split, of in in_split.items()}


def prediction_rows(
    data: Mapping[str, Any], cache: Path, columns: Columns, limit: int
) -> list[dict[str, float | str | None]]:
    """The features of the first ``limit`` rows of the test split by column name; None where one is missing."""
    rows = _rows(table_source(data, cache))
    features = rows.features[np.asarray(rows.splits == "test")].head(limit)
    extra = []
    for row in features.to_dict("records"):
        numbers = {name: None if row[name].lower() in MISSING else float(row[name]) for name in columns.numbers}
        extra.append({**numbers, **{name: row[name] or None for name in columns.categories}})
    return extra


def _rows(source: TableSource) -> _Rows:
    """The table with its columns checked, and its rows ordered."""
    options = source.options
    frame, splits, remarks = source.read()
    frame = frame.apply(lambda column: column.str.strip())
    features = frame.drop(columns=list(options.not_features & {*frame.columns}))
    if not len(features.columns):
        raise DataError(f"{source.place}: no column is left to predict '{options.label_column}' from; one is needed")
    labels = frame[options.label_column]
    _check_labels(source, labels)
    hashes = [stable_hash("\x1f".join(cells)) for cells in zip(*(features[name] for name in features), strict=True)]
    if options.split_column:
        _check_splits(source, frame[options.split_column])
        splits = frame[options.split_column].tolist()
    divided = pd.Series(splits or [split_for_share(each / 2**64) for each in hashes])
    order = np.argsort(np.array(hashes, dtype=np.uint64), kind="stable")
    return _Rows(
        features.iloc[order],
        labels.iloc[order],
        divided.iloc[order],
        frame[options.slice_column].iloc[order] if options.slice_column else None,
        remarks,
    )


def _columns(
    source: TableSource, features: pd.DataFrame, train: np.ndarray
) -> tuple[Columns, list[np.ndarray], list[str]]:
    """The columns by kind, the values of the numbers, and what there is to say about it.

    A column is numbers where all of its values that are not missing are, and is not named as categorical. What is
    known of categories is what the training split has of them.
    """
    numbers, categories, notes = dict[str, np.ndarray](), dict[str, tuple[str, ...]](), list[str]()
    for name in map(str, features.columns):
        texts = features[name]
        missing = texts.str.lower().isin(MISSING)
        if missing.all() or (train.any() and missing[train].all()):
            where = "every row" if missing.all() else "every training row"
            raise DataError(f"{source.place}: column '{name}' is empty in {where}; leave it out with drop_columns")
        values = pd.to_numeric(texts.mask(missing), errors="coerce").astype(float)
        words = values.isna() & ~missing
        if not words.any() and name not in source.options.categorical_columns:
            if (infinite := values.abs() == np.inf).any():
                row = _row(infinite)
                raise DataError(f"{source.place}: column '{name}' is {texts[row - 1]!r} in row {row}; allowed: finite")
            numbers[name] = values.to_numpy()
            continue
        mostly = words.any() and values.notna().mean() > MOSTLY
        odd = f"{texts[_row(words) - 1][:40]!r} in row {_row(words)}" if mostly else ""
        if odd:
            notes.append(f"'{name}' is read as categories, for it is {odd}")
        categories[name] = _categories(source, name, texts[train], odd)
    return Columns(tuple(numbers), categories), list(numbers.values()), notes


def _categories(source: TableSource, name: str, texts: pd.Series[str], odd: str) -> tuple[str, ...]:
    """The categories of a column; ``odd`` is the text, if any, for which it is not numbers."""
    found = tuple(sorted(texts.unique()))
    if len(found) > MOST_CATEGORIES:
        hint = f"it would be numbers but for {odd}" if odd else "leave it out with drop_columns"
        raise DataError(
            f"{source.place}: column '{name}' has {len(found):,} categories, such as {found[-1][:40]!r}; at most "
            f"{MOST_CATEGORIES:,} are allowed; {hint}"
        )
    return found


def _check_labels(source: TableSource, labels: pd.Series[str]) -> None:
    column = source.options.label_column
    empty = labels == ""
    if empty.any():
        more = f" and {empty.sum() - 1:,} more" if empty.sum() > 1 else ""
        raise DataError(f"{source.place}: label '{column}' is missing in row {_row(empty)}{more}; every row needs one")
    classes = labels.unique()
    if len(classes) < 2:
        extra = f"every label is {classes[0]!r}" if len(classes) else "no rows"
        raise DataError(f"{source.place}: {extra}; two classes are needed")
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"{source.place}: label '{column}' has {len(classes):,} values, such as {classes[0][:40]!r}; at most "
            f"{MOST_CLASSES:,} classes are allowed"
        )


def _check_splits(source: TableSource, splits: pd.Series[str]) -> None:
    unknown = ~splits.isin(SPLITS)
    if unknown.any():
        row, column = _row(unknown), source.options.split_column
        value = splits[row - 1]
        raise DataError(f"{source.place}: column '{column}' is {value!r} in row {row}; {did_you_mean(value, SPLITS)}")


def _row(where: pd.Series[bool]) -> int:
    """The number, from 1, of the first row of the source that is so; rows, but not their index, may be reordered."""
    return int(where.index[where].min()) + 1
