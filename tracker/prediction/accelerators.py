"""Accelerators by their published specifications: what a time on one is predicted from for another.

``data/accelerators.csv`` has one a row, with its source. Peaks are dense: without structured sparsity.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import PredictionError, did_you_mean

_TABLE = Path(__file__).with_name("data") / "accelerators.csv"
GENERATIONS = {
    "Kepler": 0, "Maxwell": 1, "Pascal": 2, "Volta": 3, "Turing": 4, "Ampere": 5, "Ada": 6, "Hopper": 6, "Blackwell": 7,
    "CDNA": 5, "CDNA2": 6, "CDNA3": 7,
}  # fmt: skip
"""The order of generations; two that came at the same time have one number."""
OLDEST = "Pascal"
"""The oldest generation that the method holds for."""
_HALF = ("fp16", "bf16")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One accelerator: ``name`` as its maker sells it, ``book_name`` as the price book calls it, "" where it does not.

    Peaks are in FLOP/s, NaN where unknown; ``bandwidth`` in bytes/s, ``power`` in watts, ``memory_gb`` in GiB.
    """

    name: str
    book_name: str
    maker: str
    generation: str
    chip: str
    fp32: float
    tf32: float
    half: float
    bandwidth: float
    power: float
    memory_gb: float
    source: str

    def peak(self, precision: str) -> float:
        """The dense peak in FLOP/s of matrix products in a precision: fp32, tf32, bf16 or fp16; NaN where unknown.

        A chip without TF32 computes fp32 where TF32 is asked for.
        """
        if precision in _HALF:
            return self.half
        return self.fp32 if precision == "fp32" or math.isnan(self.tf32) else self.tf32

    @property
    def is_too_old(self) -> bool:
        """Whether it is older than what the method holds for."""
        return GENERATIONS[self.generation] < GENERATIONS[OLDEST]

    def has(self, precision: str) -> bool:
        """Whether its matrix units compute in this precision: bfloat16 came with Ampere."""
        return precision != "bf16" or self.maker != "NVIDIA" or GENERATIONS[self.generation] >= GENERATIONS["Ampere"]


@dataclass(frozen=True, slots=True)
class AcceleratorColumns:
    """What the method reads of n accelerators, or of one: arrays of shape [n], or scalars.

    ``generation`` is the number in GENERATIONS; ``chip`` and ``maker`` are numbers that are equal for equal ones.
    """

    peak: NDArray[np.float64]
    bandwidth: NDArray[np.float64]
    power: NDArray[np.float64]
    generation: NDArray[np.int64]
    chip: NDArray[np.int64]
    maker: NDArray[np.int64]

    @classmethod
    def of(cls, accelerators: Sequence[Accelerator], precisions: Sequence[str]) -> AcceleratorColumns:
        """Those of n accelerators, each at the peak of its precision."""
        chips, makers = (_numbers(getattr(each, name) for each in known_accelerators()) for name in ("chip", "maker"))
        return cls(
            peak=np.array([each.peak(precision) for each, precision in zip(accelerators, precisions, strict=True)]),
            bandwidth=np.array([each.bandwidth for each in accelerators]),
            power=np.array([each.power for each in accelerators]),
            generation=np.array([GENERATIONS[each.generation] for each in accelerators], dtype=np.int64),
            chip=np.array([chips[each.chip] for each in accelerators], dtype=np.int64),
            maker=np.array([makers[each.maker] for each in accelerators], dtype=np.int64),
        )

    def take(self, at: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> AcceleratorColumns:
        """Those at these places, or where ``at`` is true."""
        return AcceleratorColumns(*(getattr(self, name)[at] for name in self.__slots__))


@cache
def known_accelerators() -> tuple[Accelerator, ...]:
    """Every accelerator of the table, in its order."""
    with _TABLE.open(newline="") as file:
        return tuple(_accelerator(row) for row in csv.DictReader(file))


def accelerator(name: str) -> Accelerator:
    """The accelerator of this name, the maker's or the price book's. Raises PredictionError, naming the nearest."""
    known = _by_name()
    found = known.get(_folded(name))
    if found is None:
        names = [each.book_name or each.name for each in known_accelerators()]
        raise PredictionError(f"the table of accelerators has no {name!r}; {did_you_mean(name, names)}")
    return found


def is_known(name: str) -> bool:
    """Whether the table has an accelerator of this name."""
    return _folded(name) in _by_name()


@cache
def _by_name() -> dict[str, Accelerator]:
    rows = known_accelerators()
    return {
        **{_folded(each.name.partition(" (")[0]): each for each in rows},
        **{_folded(each.name): each for each in rows},
        **{_folded(each.book_name): each for each in rows if each.book_name},
    }


def _folded(name: str) -> str:
    return "".join(name.lower().split()).replace("-", "")


def _numbers(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _accelerator(row: dict[str, str]) -> Accelerator:
    def figure(column: str, unit: float = 1.0) -> float:
        return float(row[column]) * unit if row[column] else math.nan

    return Accelerator(
        name=row["name"],
        book_name=row["book_name"],
        maker=row["maker"],
        generation=row["generation"],
        chip=row["chip"],
        fp32=figure("fp32_tflops", 1e12),
        tf32=figure("tf32_tflops", 1e12),
        half=figure("half_tflops", 1e12),
        bandwidth=figure("bandwidth_gb_s", 1e9),
        power=figure("tdp_watts"),
        memory_gb=figure("memory_gb"),
        source=row["source"],
    )
