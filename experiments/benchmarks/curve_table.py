"""Tables of learning curves, to replay a search on: what many settings had reached, at what price, after each epoch.

An .npz file holds ``setting_names`` [d] and, for each task, ``TASK/settings`` [n, d], ``TASK/seconds`` [n, epochs],
which add up from the first epoch on, and ``TASK/accuracy`` [n, epochs], of which more is better. A curve that ends
early is filled up with NaN in both. Other arrays are left alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import RequestError, did_you_mean
from tracker.frontier.pareto import hypervolume
from tracker.records import Direction, Settings, SettingValue
from tracker.study.domains import Choices, Domain, Range
from tracker.study.space import SearchSpace

Numbers = NDArray[np.float64]

USD_PER_SECOND = 0.10 / 3600
"""What a second costs here. Figures are shares of a budget in the same dollars: any rate gives the same."""

QUALITY = "accuracy"
TABLE_ENDING = ".npz"
_ARRAYS = ("settings", "seconds", QUALITY)
_TAKEN = ("epochs", "device")
_MOST_CHOICES = 6
_LOG_RATIO = 30.0
_FEWEST_EPOCHS = 2


@dataclass(frozen=True)
class CurveTable:
    """The curves of one task.

    ``settings`` [n, d] has a row for each training; ``price_usd`` and ``quality`` [n, epochs] are what it had cost
    until each epoch and what it then reached, NaN after its last one.
    """

    task: str
    setting_names: tuple[str, ...]
    settings: Numbers
    price_usd: Numbers
    quality: Numbers

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """How many epochs each curve has, [n]."""
        lengths: NDArray[np.int64] = np.isfinite(self.price_usd).sum(axis=1)
        return lengths

    @cached_property
    def full_price_usd(self) -> Numbers:
        """What each training cost to its end, [n]."""
        full: Numbers = self.price_usd[np.arange(len(self.lengths)), self.lengths - 1]
        return full

    @cached_property
    def space(self) -> SearchSpace:
        """What the table's settings span: a domain for each that varies, and the last epoch as ``epochs``.

        A setting is a range, of whole numbers where all are whole, or the choice of its values where those are at most
        six and not whole numbers in a row. A range is logarithmic where its ends are 30 times apart and the median is
        nearer to the middle that way.
        """
        fixed: dict[str, SettingValue] = {"epochs": int(self.price_usd.shape[1])}
        domains: dict[str, Domain] = {}
        for name, column in zip(self.setting_names, self.settings.T, strict=True):
            values = np.unique(column)
            if len(values) == 1:
                fixed[name] = _plain(values[0], whole=bool(values[0].is_integer()))
            else:
                domains[name] = _domain(column, values)
        return SearchSpace(fixed, {"cpu": domains})

    def nearest(self, settings: Settings) -> int:
        """The row whose settings are nearest: by distance in the cube that the space's domains are scaled to."""
        place = np.array([settings[name] for name in self._domains], dtype=np.float64)
        return int(((self._cube - self._scaled(place)) ** 2).sum(axis=1).argmin())

    def share_of_frontier(self, quality: Numbers, price_usd: Numbers) -> float:
        """The hypervolume of these points over that of the whole table, all rows and epochs: from 0 to 1.

        Both are measured from the price of the most expensive full training and the lowest quality after a first epoch.
        """
        return self._hypervolume(quality, price_usd) / self._whole

    @cached_property
    def _whole(self) -> float:
        had = np.isfinite(self.price_usd)
        return self._hypervolume(self.quality[had], self.price_usd[had])

    def _hypervolume(self, quality: Numbers, price_usd: Numbers) -> float:
        floor, most_usd = float(self.quality[:, 0].min()), float(self.full_price_usd.max())
        return hypervolume(quality, price_usd, Direction.MAXIMIZE, floor, most_usd)

    @cached_property
    def _domains(self) -> Mapping[str, Domain]:
        return self.space.by_device["cpu"]

    @cached_property
    def _cube(self) -> Numbers:
        columns = [self.setting_names.index(name) for name in self._domains]
        return self._scaled(self.settings[:, columns])

    def _scaled(self, places: Numbers) -> Numbers:
        """Settings [..., d] that vary to [0, 1] in each dimension."""
        scaled = np.empty_like(places)
        for number, domain in enumerate(self._domains.values()):
            low, high, log = _ends(domain)
            value = places[..., number]
            if log:
                low, high, value = np.log(low), np.log(high), np.log(value)
            scaled[..., number] = (value - low) / (high - low)
        return scaled


def load_tables(path: Path, tasks: Sequence[str] = ()) -> tuple[CurveTable, ...]:
    """The tables of a file: of all its tasks, or of these in this order.

    Raises RequestError for a file that cannot be read, a task that is not there, and arrays that are no such table; its
    message names the task and, where one is wrong, the row, counted from 0.
    """
    arrays = _read(path)
    names = arrays.get("setting_names")
    if names is None or names.ndim != 1 or names.dtype.kind not in "US" or len(set(names.tolist())) < len(names):
        raise RequestError(f"{path}: setting_names must be an array [d] of different texts")
    setting_names = tuple(str(name) for name in names.astype(str))
    if taken := [name for name in setting_names if name in _TAKEN]:
        raise RequestError(f"{path}: a setting is named {taken[0]}, a name that searches use themselves; rename it")
    there = _tasks_among(path, arrays)
    if unknown := [task for task in tasks if task not in there]:
        raise RequestError(f"{path}: there is no task '{unknown[0]}'; {did_you_mean(unknown[0], there)}")
    return tuple(_table(path, task, setting_names, arrays) for task in tasks or there)


def tasks_of(path: Path) -> list[str]:
    """The tasks of a file, in its order. Raises RequestError for a file that cannot be read or has none."""
    with _opened(path) as archive:
        return _tasks_among(path, archive.files)


def _tasks_among(path: Path, arrays: Iterable[str]) -> list[str]:
    there = [name.removesuffix("/settings") for name in arrays if name.endswith("/settings")]
    if not there:
        raise RequestError(f"{path}: there is no task in it, that is, no array TASK/settings")
    return there


def _read(path: Path) -> Mapping[str, NDArray[np.generic]]:
    with _opened(path) as archive:
        return {name: archive[name] for name in archive.files}


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("one array, not several by name")
            yield archive
    except FileNotFoundError:
        raise RequestError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise RequestError(f"{path} cannot be read as .npz: {error}") from None


def _table(path: Path, task: str, names: tuple[str, ...], arrays: Mapping[str, NDArray[np.generic]]) -> CurveTable:
    where = f"{path}, task {task}"
    if missing := [name for name in _ARRAYS if f"{task}/{name}" not in arrays]:
        raise RequestError(f"{where}: the array {task}/{missing[0]} is missing")
    try:
        settings, seconds, quality = (arrays[f"{task}/{name}"].astype(np.float64) for name in _ARRAYS)
    except ValueError:
        raise RequestError(f"{where}: every array must be of numbers") from None
    if settings.ndim != 2 or not len(settings) or settings.shape[1] != len(names):
        raise RequestError(f"{where}: settings {settings.shape} must be [n, {len(names)}], a column a setting name")
    if seconds.ndim != 2 or not seconds.size or seconds.shape != quality.shape or len(seconds) != len(settings):
        shapes = f"seconds {seconds.shape} and {QUALITY} {quality.shape}"
        raise RequestError(f"{where}: {shapes} must both be [{len(settings)}, epochs]")
    if problem := _problem(settings, seconds, quality):
        raise RequestError(f"{where}: {problem}")
    return CurveTable(task, names, settings, seconds * USD_PER_SECOND, quality)


def _problem(settings: Numbers, seconds: Numbers, quality: Numbers) -> str:
    """What is wrong with the numbers of a table, and in which row; "" where nothing is."""
    if (row := _first(~np.isfinite(settings))) is not None:
        return f"row {row}: settings must be finite"
    if len(settings) == 1:
        return "there is only row 0; allowed: two rows or more, each of other settings"
    if (np.ptp(settings, axis=0) == 0).all():
        return "no setting varies: there is nothing to search"
    if problem := _curve_problem(seconds, quality):
        return problem
    had = np.isfinite(seconds)
    if (longest := int(had.sum(axis=1).max())) < _FEWEST_EPOCHS:
        return f"row 0, as every row, has {longest} epoch; allowed: curves of {_FEWEST_EPOCHS} epochs or more"
    if np.ptp(quality[had]) == 0:
        return f"{QUALITY} is the same everywhere: there is no frontier"
    return ""


def _curve_problem(seconds: Numbers, quality: Numbers) -> str:
    """What is wrong with a curve, [n, epochs] of each, and in which row and epoch; "" where nothing is."""
    had = np.isfinite(seconds)
    filled_up = np.isnan(seconds) & np.isnan(quality)
    gap = ~(had & np.isfinite(quality)) & ~filled_up
    gap[:, :-1] |= filled_up[:, :-1] & ~filled_up[:, 1:]
    if (row := _first(gap)) is not None:
        epoch = int(gap[row].argmax())
        values = f"they are {seconds[row, epoch]:g} and {quality[row, epoch]:g} at epoch {epoch + 1}"
        return f"row {row}: seconds and {QUALITY} must be finite up to the same epoch, and NaN after it; {values}"
    if (row := _first(~had[:, :1])) is not None:
        return f"row {row} has no epoch"
    steps = np.diff(seconds, axis=1, prepend=0.0)
    wrong = steps < 0
    wrong[:, 0] = steps[:, 0] <= 0
    if (row := _first(wrong)) is not None:
        epoch = int(wrong[row].argmax())
        rule = "seconds must be above 0 and never fall: they add up from the first epoch on"
        before = f" after {seconds[row, epoch - 1]:g}" if epoch else ""
        return f"row {row}: {rule}; they are {seconds[row, epoch]:g} at epoch {epoch + 1}{before}"
    return ""


def _first(wrong: NDArray[np.bool_]) -> int | None:
    """The first row of [n, m] in which anything is wrong, from 0; None where nothing is."""
    rows = np.flatnonzero(wrong.any(axis=1))
    return int(rows[0]) if len(rows) else None


def _domain(column: Numbers, values: Numbers) -> Domain:
    low, high, whole = float(values[0]), float(values[-1]), bool((values == np.round(values)).all())
    in_a_row = whole and len(values) == high - low + 1
    if len(values) <= _MOST_CHOICES and not in_a_row:
        return Choices(tuple(_plain(value, whole) for value in values))
    median = float(np.median(column))
    log = (
        low > 0
        and high / low >= _LOG_RATIO
        and abs(np.log(median / low) / np.log(high / low) - 0.5) < abs((median - low) / (high - low) - 0.5)
    )
    return Range(_plain(low, whole), _plain(high, whole), log=bool(log), integer=whole)


def _plain(value: float, whole: bool) -> float:
    return int(value) if whole else float(value)


def _ends(domain: Domain) -> tuple[float, float, bool]:
    """A domain's least and greatest value, and whether it is logarithmic."""
    if isinstance(domain, Range):
        return domain.low, domain.high, domain.log
    values = [float(value) for value in domain.values]
    return min(values), max(values), False
