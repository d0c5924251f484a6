"""A study's tables as Arrow tables, which csv and parquet are written from: typed columns that know their units."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tracker.export.columns import column
from tracker.records import BOOKED_METRICS
from tracker.report.attempts import attempts_table
from tracker.report.levers import levers_table
from tracker.report.remembered import remembered
from tracker.report.tables import confirmed_frontier_table, frontier_table
from tracker.store.run_table import CHECKPOINT_COLUMNS, RUN_COLUMNS, StudyTable
from tracker.store.setting_texts import setting_text

_AT_CHECKPOINT = ("price_usd", "wall_seconds")  # columns of their own


@remembered
def runs(table: StudyTable) -> pa.Table:
    """Every run, one row each: RUN_COLUMNS, price_point (its place in ``price_points``), settings.*, summary.*."""
    columns = {name: _array(table.runs[name]) for name in RUN_COLUMNS}
    columns["price_point"] = pa.array(_price_points(table)[0], pa.int32(), mask=_price_points(table)[0] < 0)
    columns |= {f"settings.{name}": _settings(table.settings[name]) for name in table.settings}
    columns |= {f"summary.{name}": _array(table.summary[name]) for name in sorted(map(str, table.summary))}
    return _described(columns)


@remembered
def checkpoints(table: StudyTable) -> pa.Table:
    """Every checkpoint, one row each: CHECKPOINT_COLUMNS but ``run``, and metrics.*: all that any checkpoint has."""
    steps = table.checkpoints
    columns = {name: _array(steps[name]) for name in CHECKPOINT_COLUMNS if name != "run"}
    # The metrics that checkpoints are said to have are those of a few runs; what the others have too is in the summary.
    names = {*table.metrics, *map(str, table.summary), *BOOKED_METRICS}
    for name in sorted(names):
        if name not in (table.quality.name, *_AT_CHECKPOINT):
            values = table.metrics.get(name)
            if values is not None and len(values):
                columns[f"metrics.{name}"] = pa.array(values, from_pandas=True)
    return _described(columns)


@remembered
def frontier(table: StudyTable) -> pa.Table:
    """``confirmed_frontier_table``, every setting in a column of its own at the end."""
    points = confirmed_frontier_table(table)
    of_run = frontier_table(table)["run"].to_numpy(dtype=np.int64)
    columns = {str(name): _array(points[name]) for name in points if name != "settings"}
    settings = {name: _settings(table.settings[name]).take(pa.array(of_run)) for name in table.settings}
    columns |= {f"settings.{name}": values for name, values in settings.items() if values.null_count < len(values)}
    return _described(columns)


@remembered
def attempts(table: StudyTable) -> pa.Table:
    """``attempts_table``: every attempt at every run."""
    return arrow_table(attempts_table(table))


@remembered
def levers(table: StudyTable) -> pa.Table:
    """``levers_table``; the values of levers, which are of several types, as texts."""
    found = levers_table(table)
    return arrow_table(found.assign(**{name: found[name].map(setting_text) for name in ("without", "with")}))


def arrow_table(frame: pd.DataFrame) -> pa.Table:
    """A table with the columns of a frame, which know their unit and meaning where they have one."""
    return _described({str(name): _array(frame[name]) for name in frame})


TABLES: Mapping[str, tuple[str, Callable[[StudyTable], pa.Table]]] = {
    "runs": ("every run, one row each", runs),
    "checkpoints": ("every checkpoint, one row each", checkpoints),
    "frontier": ("the points of the frontier", frontier),
    "attempts": ("every attempt at a run, with what it alone used and cost", attempts),
    "levers": ("what each lever saved", levers),
}
"""Every table by its name: what it is in a line, and what makes it."""


def price_points(table: StudyTable) -> list[dict[str, Any]]:
    """The distinct machines and rates of the runs, which ``price_point`` counts from 0."""
    return [json.loads(text) for text in _price_points(table)[1]]


@remembered
def _price_points(table: StudyTable) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    texts = table.runs["price_point"]
    codes, distinct = pd.factorize(texts.where(texts != "", None))
    return codes.astype(np.int64), [str(text) for text in distinct]


def _settings(values: pd.Series[Any]) -> pa.Array:
    """A setting of all runs: of its own type where it has one, else as texts."""
    codes, distinct = pd.factorize(values.to_numpy(dtype=object))
    known = list(distinct)
    # True == 1 == 1.0 for factorize: what is equal and not alike must not become one.
    kinds = set(map(type, values.dropna().tolist()))
    if len(kinds) > 1:
        return pa.array([None if value is None else setting_text(value) for value in values.tolist()], pa.string())
    try:
        array = pa.array(known, from_pandas=False) if kinds <= {bool, int, float} else pa.array(known, pa.string())
    except (pa.ArrowInvalid, OverflowError):  # an integer of more than 64 bits
        array = pa.array([str(value) for value in known], pa.string())
    return array.take(pa.array(codes, mask=codes < 0))


def _array(values: pd.Series[Any]) -> pa.Array:
    """A column of a table; nulls for NaN and None. Values of several types, as of a setting's, become texts."""
    if values.dtype == object:
        known = [None if missing else value for value, missing in zip(values, values.isna(), strict=True)]
        types = {type(value) for value in known} - {type(None)}
        return pa.array(known) if types and (types <= {int, float} or types == {bool}) else _texts(known)
    found = pa.array(values, from_pandas=True)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return found.cast(pa.string()) if pa.types.is_large_string(found.type) else found


def _texts(texts: Iterable[Any]) -> pa.Array:
    return pa.array([None if text is None else str(text) for text in texts], pa.string())


def _described(columns: Mapping[str, pa.Array]) -> pa.Table:
    """A table whose fields have ``unit`` and ``description`` in their metadata, where they have one."""
    fields = []
    for name, values in columns.items():
        known = {"unit": column(name).unit, "description": column(name).meaning}
        fields.append(pa.field(name, values.type, metadata={key: text for key, text in known.items() if text}))
    return pa.table(list(columns.values()), schema=pa.schema(fields))
