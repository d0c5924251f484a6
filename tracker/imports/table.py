"""Runs of any csv or parquet in long form, a row a logged step, as a source of past runs.

Of the columns that no option names, those with one value in every row of a run, for each run, are settings; other
columns of numbers are metrics; what is neither is left out. The quality is a metric always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracker.errors import RequestError
from tracker.imports import table_file
from tracker.imports.past_runs import RUN_COLUMNS
from tracker.imports.read_runs import COMPLETED, LoggedRows, ReadRuns, counted, run_starts
from tracker.records import Settings, SettingValue
from tracker.report.words import several

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns of a table that say what a row is of; "" for one that it does not have.

    ``run`` names the run (without it, all rows are of one), ``time`` is a timestamp, ``seconds`` the time since the
    run's start, ``step`` a whole number that rises within a run (without it, rows are counted).
    """

    run: str = ""
    time: str = ""
    seconds: str = ""
    step: str = ""

    def named(self) -> list[str]:
        """Those that it has."""
        return [name for name in (self.run, self.time, self.seconds, self.step) if name]


def table_runs(path: Path, quality: str, columns: TableColumns) -> ReadRuns:
    """The runs of a table. Raises RequestError where it is none, or not as ``columns`` say."""
    return _Table(path, quality, columns).runs()


class _Table:
    """A table while it is read: its columns, then its rows by run and time."""

    def __init__(self, path: Path, quality: str, columns: TableColumns) -> None:
        if not columns.time and not columns.seconds:
            raise RequestError(
                f"'{path}' has no timestamps as far as is known: name the column that has them with --time, or that of "
                "the seconds since a run's start with --seconds"
            )
        self.path, self.quality, self.columns = path, quality, columns
        self.table = table_file.read_table_file(path)
        self.remarks: list[str] = []
        if quality in columns.named():
            raise RequestError(f"column '{quality}' cannot be the quality and what else an option says")
        if quality in self.table.column_names:
            table_file.needed_numbers(path, quality, self.table[quality], "--quality")
        self.run, self.names = self._run_names()
        self.seconds = self._seconds()
        self.times = self._times()
        self.steps = self._steps()
        self.rows = self._in_order()

    def runs(self) -> ReadRuns:
        """What the table holds."""
        kept, run = np.unique(self.run[self.rows], return_inverse=True)
        times = self.times[self.rows]
        seconds = None if self.seconds is None else self.seconds[self.rows]
        names = [self.names[at] for at in kept]
        steps = counted(run) if self.steps is None else self.steps[self.rows].astype(np.int64)
        settings, metrics = self._settings_and_metrics(run)
        rows = LoggedRows(run, times, steps, metrics)
        self._refuse_falling(rows, names)
        state, reason, message = COMPLETED
        heads = {
            "id": names,
            "name": names,
            "state": state,
            "reason": reason,
            "message": message,
            "started_at": run_starts(run, times, seconds),
            "ended_at": np.nan,
            "user": "",
        }
        return ReadRuns(
            f"table {self.path.resolve()}",
            pd.DataFrame(heads)[list(RUN_COLUMNS)],
            rows,
            settings,
            remarks=self.remarks,
        )

    def _run_names(self) -> tuple[Integers, list[str]]:
        """The run that each row is of, as a number, and the names of all."""
        if not self.columns.run:
            return np.zeros(len(self.table), np.int64), [self.path.name.partition(".")[0]]
        names = table_file.texts(self._column(self.columns.run, "--run"))
        if names is None:
            raise RequestError(f"'{self.path}': column '{self.columns.run}' (--run) does not hold names")
        if names.null_count:
            row = int(np.argmax(names.is_null().to_numpy())) + 1
            raise RequestError(f"'{self.path}': row {row} has no '{self.columns.run}' (--run)")
        encoded = names.combine_chunks().dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()

    def _seconds(self) -> Floats | None:
        name = self.columns.seconds
        if not name:
            return None
        found = table_file.needed_numbers(self.path, name, self._column(name, "--seconds"), "--seconds")
        if (found < 0).any():
            row = int(np.nanargmin(found))
            raise RequestError(
                f"'{self.path}': column '{name}' (--seconds) is below 0 in row {row + 1}: {found[row]:g}; "
                "allowed: seconds since the run's start"
            )
        return found

    def _times(self) -> Floats:
        """When each row was logged. Seconds alone do not say: a run ended when the file was last written to."""
        name = self.columns.time
        if name:
            return table_file.times(self.path, name, self._column(name, "--time"))
        assert self.seconds is not None
        written_at = self.path.stat().st_mtime
        ends = pd.Series(self.seconds).groupby(self.run).transform("max").to_numpy(dtype=np.float64)
        self.remarks.append("the table does not say when its runs were: they are dated to when the file was written")
        return written_at - ends + self.seconds

    def _steps(self) -> Floats | None:
        name = self.columns.step
        if not name:
            return None
        found = table_file.needed_numbers(self.path, name, self._column(name, "--step"), "--step")
        wrong = np.flatnonzero(found != np.floor(found))  # NaN too
        if len(wrong):
            shown = self.table[name][int(wrong[0])].as_py()
            raise RequestError(
                f"'{self.path}': row {wrong[0] + 1} has {'no step' if shown is None else f'step {shown}'} "
                f"('{name}', --step); allowed: whole numbers"
            )
        return found

    def _column(self, name: str, option: str) -> pa.ChunkedArray:
        return table_file.column(self.path, self.table, name, option)

    def _in_order(self) -> Integers:
        """The rows that count, by run, time and step: those with a time, each once."""
        steps = np.zeros(len(self.run)) if self.steps is None else self.steps
        order = np.lexsort((steps, self.times, self.run))
        order = order[~np.isnan(self.times[order])]
        if not len(order):
            raise RequestError(
                f"'{self.path}' has no timestamps: '{self.columns.time or self.columns.seconds}' is empty"
            )
        if missing := len(self.run) - len(order):
            self.remarks.append(f"{several(missing, 'row')} without a timestamp: left out")
        run, times, steps = self.run[order], self.times[order], steps[order]
        same = (np.diff(run) == 0) & (np.diff(times) == 0) & (np.diff(steps) == 0)
        alike = np.flatnonzero(np.append(False, same) | np.append(same, False))
        if len(alike):
            twice = self.table.take(order[alike]).to_pandas().astype(str).duplicated().to_numpy()
            if twice.any():
                self.remarks.append(f"{several(int(twice.sum()), 'repeated row')}: counted once")
                order = np.delete(order, alike[twice])
        return order

    def _refuse_falling(self, rows: LoggedRows, names: Sequence[str]) -> None:
        at = rows.first_fall()
        if at is not None:
            raise RequestError(
                f"'{self.path}': the steps of run '{names[rows.run[at]]}' fall from {rows.steps[at - 1]} to "
                f"{rows.steps[at]} in row {self.rows[at] + 1}; is '{self.columns.step}' (--step) the step, and "
                f"'{self.columns.time or self.columns.seconds}' the time?"
            )

    def _settings_and_metrics(self, run: Integers) -> tuple[list[Settings], dict[str, Floats]]:
        """The settings of the runs that have rows, and the metrics by row; ``run`` is that of each row."""
        inside = np.diff(run) == 0
        firsts = pa.array(self.rows[np.append(True, ~inside)])
        constant: dict[str, list[Any]] = {}
        metrics: dict[str, Floats] = {}
        neither = []
        for name in self.table.column_names:
            if name in self.columns.named():
                continue
            values, found = self.table[name], table_file.numbers(self.table[name])
            in_order = None if found is None else found[self.rows]
            if name != self.quality and not _changes(values, in_order, self.rows, inside).any():
                constant[name] = values.take(firsts).to_pylist()
            elif in_order is not None:
                metrics[name] = in_order
            else:
                neither.append(name)
        if neither:
            self.remarks.append(
                f"{several(len(neither), 'column')} not of numbers that change within a run: left out "
                f"({', '.join(neither[:3])}{', …' if len(neither) > 3 else ''})"
            )
        return _settings(constant, len(firsts)), metrics


def _changes(values: pa.ChunkedArray, in_order: Floats | None, rows: Integers, inside: NDArray[np.bool_]) -> Any:
    """Where a column changes from a row to the next one of the same run."""
    if in_order is None:
        if pa.types.is_nested(values.type):
            return np.ones(1, dtype=bool)
        plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
        encoded = pc.dictionary_encode(plain.combine_chunks(), null_encoding="encode")
        return (np.diff(encoded.indices.to_numpy()[rows]) != 0) & inside
    same = (in_order[1:] == in_order[:-1]) | (np.isnan(in_order[1:]) & np.isnan(in_order[:-1]))
    return ~same & inside


def _settings(columns: dict[str, list[Any]], runs: int) -> list[Settings]:
    """The settings of each run; what is empty is none."""
    found: list[dict[str, SettingValue]] = [{} for _ in range(runs)]
    for name, values in columns.items():
        for settings, value in zip(found, values, strict=True):
            if value is not None and value == value and value != "":
                settings[name] = _setting(value)
    return list(found)


def _setting(value: Any) -> SettingValue:
    if isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)
