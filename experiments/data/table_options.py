"""The keys that the ``[data]`` table of a study on tables may have, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.data.table_reading import FILE_OPTIONS
from experiments.ranking_scores import PRECISION_FLOOR
from tracker.errors import DataError, did_you_mean

DATA_OPTIONS: Mapping[str, str] = {
    "source": "'breast_cancer', of scikit-learn; a csv, tsv, json or jsonl file; or 'datasets:NAME[:CONFIG]'",
    "label_column": "the column of the classes; default 'label'",
    "split_column": "the column that says train, validation or test; default a split by hash of the row",
    "slice_column": "the column whose values are slices, and no feature; default the classes are slices",
    "slice_is_feature": "whether the slice column is a feature too; default false",
    "drop_columns": "a list of columns to leave out",
    "categorical_columns": "a list of columns of numbers that are categories, such as codes",
    "positive": "the class whose recall at a precision counts; default the rarer of two, all of several",
    "precision_floor": f"the precision that recall_at_precision asks for; default {PRECISION_FLOOR}",
    **FILE_OPTIONS,
}
"""Each key with a line of help."""

BREAST_CANCER = "breast_cancer"


@dataclass(frozen=True, slots=True)
class TableOptions:
    """A study's ``[data]`` table. Without a split or a slice column, its name is empty."""

    source: str
    label_column: str
    split_column: str
    slice_column: str
    slice_is_feature: bool
    drop_columns: tuple[str, ...]
    categorical_columns: tuple[str, ...]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> TableOptions:
        """As the table says. Raises DataError for values of another kind, and for a column with two roles."""
        options = cls(
            source=str(data.get("source", BREAST_CANCER)),
            label_column=str(data.get("label_column", "label")),
            split_column=str(data.get("split_column", "")),
            slice_column=str(data.get("slice_column", "")),
            slice_is_feature=_flag(data, "slice_is_feature"),
            drop_columns=_names(data, "drop_columns"),
            categorical_columns=_names(data, "categorical_columns"),
        )
        if options.slice_is_feature and not options.slice_column:
            raise DataError("slice_is_feature is true without a slice_column; name one, or leave it out")
        roles = [options.label_column, options.split_column, options.slice_column, *options.drop_columns]
        if twice := next((name for name in roles if name and roles.count(name) > 1), None):
            raise DataError(
                f"column '{twice}' has two roles; each column is one of label_column, split_column, slice_column and "
                "drop_columns, once"
            )
        return options

    @property
    def not_features(self) -> frozenset[str]:
        """The columns that a model does not read."""
        slices = () if self.slice_is_feature else (self.slice_column,)
        return frozenset({self.label_column, self.split_column, *slices, *self.drop_columns})


@dataclass(frozen=True, slots=True)
class Ranking:
    """What recall_at_precision is about: a class by index, or all where it is None, and the precision asked for."""

    positive: int | None
    precision_floor: float

    @classmethod
    def of(cls, data: Mapping[str, Any], classes: tuple[str, ...], counts: Mapping[str, list[int]]) -> Ranking:
        """As a study's ``[data]`` table says; ``counts`` are the rows of each class in each split.

        Raises DataError for no such class, one that a split has no row of, and a floor that is no share.
        """
        floor = data.get("precision_floor", PRECISION_FLOOR)
        if isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 < floor <= 1:
            raise DataError(f"precision_floor is {floor!r}; allowed: a number above 0, at most 1")
        named = data.get("positive")
        if named is None:
            positive = min((1, 0), key=counts["train"].__getitem__) if len(classes) == 2 else None
        elif str(named) in classes:
            positive = classes.index(str(named))
        else:
            raise DataError(f"positive is '{named}', which is no class; {did_you_mean(str(named), classes)}")
        for split, of_class in counts.items():
            if positive is not None and not of_class[positive]:
                raise DataError(f"the {split} split has no row of class '{classes[positive]}', whose recall counts")
            if sum(count > 0 for count in of_class) < 2:
                raise DataError(f"the rows of the {split} split are all of one class; two are needed to rank them")
        return cls(positive, float(floor))


def _flag(data: Mapping[str, Any], key: str) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise DataError(f"{key} is {value!r}; allowed: true or false")
    return value


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key, [])
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        raise DataError(f'{key} is {value!r}; allowed: a list of column names, such as ["id"]')
    return tuple(names)
