"""Writes what many runs logged into an MLflow database, in one transaction: a hundred times quicker than by its client.

The rows are those that MLflow's own SqlAlchemyStore writes (mlflow/store/tracking/sqlalchemy_store.py: create_run,
log_batch, log_inputs, update_run_info), by its own table definitions, so that they suit the schema of the installed
version. Rows that are there already are left as they are: what was written may be written again.
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, RunStatus, SourceType
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlInput,
    SqlInputTag,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from sqlalchemy.dialects import postgresql, sqlite

from tracker.errors import RefusedError
from tracker.records import DataCard
from tracker.store.entries import RUNS_AT_ONCE, Entries
from tracker.store.mlflow_entries import DATA_CONTEXT, data_set

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The databases that rows can be merged into, each with how."""
_OF_VALUES = (sa.exc.IntegrityError, sa.exc.DataError)
_REFUSALS = (*_OF_VALUES, sa.exc.StatementError)  # of which those of the connection are raised
_COLUMNS: Mapping[type[Any], tuple[str, ...]] = {
    SqlRun: (
        *("run_uuid", "name", "artifact_uri", "experiment_id", "source_type", "source_name", "entry_point_name"),
        *("user_id", "status", "start_time", "end_time", "deleted_time", "source_version", "lifecycle_stage"),
    ),
    SqlTag: ("run_uuid", "key", "value"),
    SqlParam: ("run_uuid", "key", "value"),
    SqlMetric: ("key", "step", "timestamp", "value", "is_nan", "run_uuid"),
    SqlLatestMetric: ("key", "step", "timestamp", "value", "is_nan", "run_uuid"),
    SqlInput: ("input_uuid", "source_type", "source_id", "destination_type", "destination_id"),
    SqlInputTag: ("input_uuid", "name", "value"),
}
"""The tables, each before those that refer to it, and their columns in the order that rows have here."""


class DatabaseWriter:
    """Writes into the database of ``engine``; a run's id is known before it is written."""

    def __init__(self, client: MlflowClient, engine: sa.Engine) -> None:
        self._client = client
        self._engine = engine
        self._places: dict[str, str] = {}
        self._data_sets: dict[tuple[str, ...], str] = {}

    def new_run_id(self) -> str:
        """The id of a run that is to be written."""
        return uuid.uuid4().hex

    def write(self, batch: Sequence[Entries]) -> None:
        """Write the entries, and empty them: all or none.

        Raises RefusedError where the database rejects those of some runs for what they are: the others are written.
        What else it raises may be gone later.
        """
        try:
            self._write(batch)
        except _REFUSALS as error:
            if isinstance(error, sa.exc.DBAPIError) and not isinstance(error, _OF_VALUES):
                raise
            if len(batch) == 1:
                raise RefusedError(str(error.__cause__ or error)) from error
            refused = None
            for each in batch:
                try:
                    self.write([each])
                except RefusedError as one:
                    refused = one
            if refused is not None:
                raise refused from error

    def _write(self, batch: Sequence[Entries]) -> None:
        rows: dict[type[Any], list[tuple[Any, ...]]] = {each: [] for each in _COLUMNS}
        new_data_sets: dict[tuple[str, ...], str] = {}
        with self._engine.begin() as connection:
            for each in batch:
                self._add(rows, each)
            for key, entries in _by_data_set(batch).items():
                known = self._data_sets.get(key) or _data_set_id(connection, key, entries[0])
                new_data_sets[key] = known
                _add_inputs(connection, rows, known, entries)
            for kind, found in rows.items():
                if found:
                    _merge(connection, kind, found)
            ends = [each for each in batch if each.status is not None]
            if ends:
                _end(connection, ends)
        self._data_sets |= new_data_sets
        for each in batch:
            each.clear()

    def _add(self, rows: dict[type[Any], list[tuple[Any, ...]]], each: Entries) -> None:
        run_id, tags = each.run_id, each.tags
        if each.is_new:
            place = f"{self._place(each.experiment_id)}/{run_id}/artifacts"
            running, kind = RunStatus.to_string(RunStatus.RUNNING), SourceType.to_string(SourceType.UNKNOWN)
            rows[SqlRun].append(
                (
                    *(run_id, each.label, place, int(each.experiment_id), kind, "", "", tags.get("mlflow.user", "")),
                    *(running, each.started_at_ms, None, None, "", LifecycleStage.ACTIVE),
                )
            )
            tags = {**tags, "mlflow.runName": each.label}
        rows[SqlTag] += ((run_id, *text) for text in tags.items())
        rows[SqlParam] += ((run_id, *text) for text in each.params)
        latest: dict[str, tuple[Any, ...]] = {}
        logged: dict[tuple[Any, ...], None] = {}  # each row once
        for name, value, time_ms, step in each.metrics:
            is_nan, stored = _stored(value)
            row = (name, step, time_ms, stored, is_nan, run_id)
            logged[row] = None
            if row > latest.get(name, ()):
                latest[name] = row
        rows[SqlMetric] += logged
        rows[SqlLatestMetric] += latest.values()

    def _place(self, experiment_id: str) -> str:
        if experiment_id not in self._places:
            location = self._client.get_experiment(experiment_id).artifact_location
            self._places[experiment_id] = location.rstrip("/")
        return self._places[experiment_id]


def move_runs(engine: sa.Engine, from_id: str, to_id: str, replaced: Sequence[str]) -> None:
    """Move every run of one experiment into another, in place of the runs ``replaced`` there, all or nothing."""
    runs, of_runs = SqlRun.__table__, (SqlTag, SqlParam, SqlMetric, SqlLatestMetric)
    with engine.begin() as connection:
        for table in (*(kind.__table__ for kind in of_runs), runs):
            for begin in range(0, len(replaced), RUNS_AT_ONCE):
                chosen = table.c.run_uuid.in_(replaced[begin : begin + RUNS_AT_ONCE])
                connection.execute(sa.delete(table).where(chosen))
        moved = sa.update(runs).where(runs.c.experiment_id == int(from_id))
        connection.execute(moved.values(experiment_id=int(to_id)))


def _merge(connection: sa.Connection, kind: type[Any], rows: list[tuple[Any, ...]]) -> None:
    """Rows as the driver takes them, where it counts positions: SQLAlchemy would look at every value."""
    names, table = _COLUMNS[kind], kind.__table__
    statement: Any = INSERT[connection.dialect.name](table)
    if kind is SqlTag:
        new = {"value": statement.excluded.value}
        statement = statement.on_conflict_do_update(index_elements=["key", "run_uuid"], set_=new)
    elif kind is SqlLatestMetric:
        order = ("step", "timestamp", "value")
        later = sa.tuple_(*(statement.excluded[name] for name in order)) > sa.tuple_(*(table.c[name] for name in order))
        new = {name: statement.excluded[name] for name in (*order, "is_nan")}
        statement = statement.on_conflict_do_update(index_elements=["key", "run_uuid"], set_=new, where=later)
    else:
        statement = statement.on_conflict_do_nothing()
    compiled = statement.compile(dialect=connection.dialect, column_keys=names)
    if compiled.positional:
        chosen = itemgetter(*map(names.index, compiled.positiontup or names))
        connection.exec_driver_sql(str(compiled), list(map(chosen, rows)))
    else:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def _end(connection: sa.Connection, batch: Iterable[Entries]) -> None:
    """The status of each run, and when it ended; as MLflow's, without an end the one before stays."""
    runs = SqlRun.__table__
    of_run = sa.update(runs).where(runs.c.run_uuid == sa.bindparam("of_run"))
    ended_at = sa.func.coalesce(sa.bindparam("ended_at", type_=sa.BigInteger), runs.c.end_time)
    ends = [
        {"of_run": each.run_id, "state": each.status[0], "ended_at": each.status[1]} for each in batch if each.status
    ]
    connection.execute(of_run.values(status=sa.bindparam("state"), end_time=ended_at), ends)


def _by_data_set(batch: Iterable[Entries]) -> dict[tuple[str, ...], list[Entries]]:
    found: dict[tuple[str, ...], list[Entries]] = {}
    for each in batch:
        if each.data is not None:
            found.setdefault((each.experiment_id, each.data.name, data_set(each.data).digest), []).append(each)
    return found


def _data_set_id(connection: sa.Connection, key: tuple[str, ...], entries: Entries) -> str:
    """The id of a data set, which is made if it is not there."""
    table, (experiment_id, name, digest) = SqlDataset.__table__, key
    chosen = (table.c.experiment_id == int(experiment_id)) & (table.c.name == name) & (table.c.digest == digest)
    found = connection.execute(sa.select(table.c.dataset_uuid).where(chosen)).scalar()
    if found is not None:
        return str(found)
    assert isinstance(entries.data, DataCard)
    made, made_id = data_set(entries.data), uuid.uuid4().hex
    connection.execute(
        sa.insert(table).values(
            dataset_uuid=made_id,
            experiment_id=int(experiment_id),
            name=made.name,
            digest=made.digest,
            dataset_source_type=made.source_type,
            dataset_source=made.source,
            dataset_schema=made.schema,
            dataset_profile=made.profile,
        )
    )
    return made_id


def _add_inputs(
    connection: sa.Connection, rows: dict[type[Any], list[tuple[Any, ...]]], data_set_id: str, batch: Sequence[Entries]
) -> None:
    """The rows which say that runs used a data set."""
    table, runs = SqlInput.__table__, [each.run_id for each in batch]
    chosen = (table.c.source_id == data_set_id) & table.c.destination_id.in_(runs)
    known = set(connection.execute(sa.select(table.c.destination_id).where(chosen)).scalars())
    for run_id in runs:
        if run_id not in known:
            input_id = uuid.uuid4().hex
            rows[SqlInput].append((input_id, "DATASET", data_set_id, "RUN", run_id))
            rows[SqlInputTag].append((input_id, *DATA_CONTEXT))


def _stored(value: float) -> tuple[bool, float]:
    """A number as the database keeps it: as SqlAlchemyStore.sanitize_metric_value."""
    if math.isnan(value):
        return True, 0.0
    if math.isinf(value):
        return False, math.copysign(sys.float_info.max, value)
    return False, value
