"""Rows of a table as numbers that a model can read.

Light to import, for trials (see experiments.lazy). Inputs are float64: the numbers as they are, NaN where one is
missing, then a code for each column of categories, UNKNOWN where the training split has no such category.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracker.errors import DataError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""What stands for a missing number, in any case. Among categories, only the empty text does."""

UNKNOWN = 0
"""The code of a category that training has not seen."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The features of a table: the names of its numbers, and the categories of each other column.

    Codes count from 1 through the categories of all columns: the first column's take the first ones.
    """

    numbers: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Columns:
        """As the card of a prepared folder, or a kept model, has them."""
        return cls(tuple(columns["numbers"]), {name: tuple(values) for name, values in columns["categories"].items()})

    @property
    def codes(self) -> int:
        """How many codes there are, UNKNOWN included."""
        return 1 + sum(len(values) for values in self.categories.values())

    def coded(self) -> dict[str, dict[str, int]]:
        """The code of each category of each column."""
        code, found = UNKNOWN + 1, dict[str, dict[str, int]]()
        for name, values in self.categories.items():
            found[name] = dict(zip(values, range(code, code + len(values)), strict=True))
            code += len(values)
        return found

    def encoded(self, rows: Sequence[Any]) -> Tensor:
        """Rows by column name, as they come from outside, to inputs (rows, columns) in float64.

        A value that is not there, None or empty is missing; other names than those of the columns are left alone.
        Raises DataError for what is no such row, and for a text or an infinity where a number is expected.
        """
        coded, inputs = self.coded(), list[list[float]]()
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping) or not (row.keys() & {*self.numbers, *self.categories}):
                names = ", ".join([*self.numbers, *self.categories][:12])
                raise DataError(f"row {number} is {str(row)[:80]!r}; allowed: values by column name, such as {names}")
            numbers = [_number(row.get(name), name, number) for name in self.numbers]
            codes = [_code(row.get(name), coded[name]) for name in self.categories]
            inputs.append([*numbers, *map(float, codes)])
        columns = len(self.numbers) + len(self.categories)
        return torch.tensor(inputs, dtype=torch.float64).reshape(len(inputs), columns)


def _number(value: Any, column: str, row: int) -> float:
    if value is None or str(value).strip().lower() in MISSING:
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.inf
    if math.isinf(found):
        raise DataError(
            f"column '{column}' is {value!r} in row {row}; allowed: a finite number, or None for a missing one"
        )
    return found


def _code(value: Any, codes: Mapping[str, int]) -> int:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    text = "" if missing else str(value).strip()
    if text not in codes and isinstance(value, float) and value.is_integer():
        text = str(int(value))  # a file says 1 where other programs make it 1.0
    return codes.get(text, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is learnt of the numbers and codes of the rows that a model trains on, and of no other row.

    Attributes:
        medians: of each number; the lower one of two in the middle. It replaces a missing number.
        means: of each number, missing ones left out.
        deviations: the standard deviation of each number; 1 where it never changes.
        incomplete: the positions of the numbers that are missing somewhere.
        unseen: the codes that are in none of the rows.
    """

    medians: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    incomplete: tuple[int, ...]
    unseen: tuple[int, ...]

    @classmethod
    def of(cls, inputs: Tensor, columns: Columns) -> Statistics:
        """Of inputs (rows, columns). A number that is missing in all rows counts as 0."""
        numbers, codes = inputs[:, : len(columns.numbers)], inputs[:, len(columns.numbers) :].long()
        means = numbers.nanmean(dim=0)
        deviations = (numbers - means).square().nanmean(dim=0).sqrt()
        medians = numbers.nanmedian(dim=0).values if len(columns.numbers) else means
        seen = torch.bincount(codes.flatten(), minlength=columns.codes) > 0
        return cls(
            medians=tuple(medians.nan_to_num(0.0).tolist()),
            means=tuple(means.nan_to_num(0.0).tolist()),
            deviations=tuple(torch.where(deviations > 0, deviations, 1.0).tolist()),
            incomplete=tuple(numbers.isnan().any(dim=0).nonzero().flatten().tolist()),
            unseen=tuple((~seen[1:]).nonzero().add(1).flatten().tolist()),
        )

    def applied(self, inputs: Tensor) -> Tensor:
        """Inputs (rows, columns) to float32 (rows, columns + len(incomplete)), as models read them.

        First the numbers, standardised; then 1 for each of ``incomplete`` that is missing, and 0 where it is not;
        then the codes, UNKNOWN for those of ``unseen``.
        """
        count = len(self.medians)
        medians, means, deviations = (
            torch.tensor(each, dtype=torch.float64) for each in (self.medians, self.means, self.deviations)
        )
        missing, codes = inputs[:, :count].isnan(), inputs[:, count:]
        numbers = (torch.where(missing, medians, inputs[:, :count]) - means) / deviations
        codes = codes.masked_fill(torch.isin(codes, torch.tensor(self.unseen, dtype=torch.float64)), UNKNOWN)
        return torch.cat([numbers, missing[:, list(self.incomplete)].double(), codes], dim=1).float()
