"""Many ended runs written at once into an MLflow database: a hundred times quicker than through MLflow's client.

The rows are those that MLflow's own SqlAlchemyStore writes (mlflow/store/tracking/sqlalchemy_store.py: create_run,
log_batch, update_run_info), by its own table definitions, so that they suit the schema of the installed version.
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Mapping, Sequence
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, RunStatus, RunTag, SourceType
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag

_RUNS_AT_ONCE = 500
"""Written in one transaction: short enough that a study which runs meanwhile does not wait for it."""
_COLUMNS: Mapping[type[Any], tuple[str, ...]] = {
    SqlRun: (
        *("run_uuid", "name", "artifact_uri", "experiment_id", "source_type", "source_name", "entry_point_name"),
        *("user_id", "status", "start_time", "end_time", "deleted_time", "source_version", "lifecycle_stage"),
    ),
    SqlTag: ("run_uuid", "key", "value"),
    SqlParam: ("run_uuid", "key", "value"),
    SqlMetric: ("key", "step", "timestamp", "value", "is_nan", "run_uuid"),
    SqlLatestMetric: ("key", "step", "timestamp", "value", "is_nan", "run_uuid"),
}
"""The tables, each before those that refer to it, and their columns in the order that rows have here."""


class BulkClient:
    """What RunLog needs of MLflow's client, for runs that are written one after the other and then never again.

    Rows are kept until ``flush``, or until there are many runs. ``engine`` is that of the store's database.
    """

    def __init__(self, client: MlflowClient, engine: sa.Engine) -> None:
        self._client = client
        self._engine = engine
        self._rows: dict[type[Any], list[tuple[Any, ...]]] = {each: [] for each in _COLUMNS}
        self._logged: dict[tuple[Any, ...], None] = {}  # the metrics of the last run, each row once
        self._latest: dict[str, tuple[Any, ...]] = {}
        self._places: dict[str, str] = {}

    def create_run(self, experiment_id: str, start_time: int, tags: Mapping[str, str], run_name: str) -> Any:
        """A run with these tags; only its ``info.run_id`` can be asked for."""
        if len(self._rows[SqlRun]) >= _RUNS_AT_ONCE:
            self.flush()
        run_id = uuid.uuid4().hex
        place = f"{self._place(experiment_id)}/{run_id}/artifacts"
        running, kind = RunStatus.to_string(RunStatus.RUNNING), SourceType.to_string(SourceType.UNKNOWN)
        self._rows[SqlRun].append(
            (
                *(run_id, run_name, place, int(experiment_id), kind, "", "", tags.get("mlflow.user", "")),
                *(running, start_time, None, None, "", LifecycleStage.ACTIVE),
            )
        )
        self._add_texts(SqlTag, run_id, {**tags, "mlflow.runName": run_name})
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        """As MLflow's; for the run that was created last."""
        self._add_texts(SqlTag, run_id, {each.key: each.value for each in tags})
        self._add_texts(SqlParam, run_id, {each.key: each.value for each in params})
        for each in metrics:
            is_nan, value = _stored(each.value)
            row = (each.key, each.step, each.timestamp, value, is_nan, run_id)
            self._logged[row] = None
            if row > self._latest.get(each.key, ()):
                self._latest[each.key] = row

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        """As MLflow's; for the run that was created last, of which nothing comes after it."""
        ended = dict(zip(_COLUMNS[SqlRun], self._rows[SqlRun][-1], strict=True))
        assert ended["run_uuid"] == run_id
        self._rows[SqlRun][-1] = tuple({**ended, "status": status, "end_time": end_time}.values())
        self._rows[SqlMetric] += self._logged
        self._rows[SqlLatestMetric] += self._latest.values()
        self._logged, self._latest = {}, {}

    def flush(self) -> None:
        """Write what is not written yet, all or nothing."""
        with self._engine.begin() as connection:
            for kind, rows in self._rows.items():
                if rows:
                    _insert(connection, kind, rows)
        self._rows = {each: [] for each in _COLUMNS}

    def _add_texts(self, kind: type[Any], run_id: str, texts: Mapping[str, str]) -> None:
        self._rows[kind] += ((run_id, *text) for text in texts.items())

    def _place(self, experiment_id: str) -> str:
        if experiment_id not in self._places:
            location = self._client.get_experiment(experiment_id).artifact_location
            self._places[experiment_id] = location.rstrip("/")
        return self._places[experiment_id]


def move_runs(engine: sa.Engine, from_id: str, to_id: str, replaced: Sequence[str]) -> None:
    """Move every run of one experiment into another, in place of the runs ``replaced`` there, all or nothing."""
    runs = SqlRun.__table__
    with engine.begin() as connection:
        for table in reversed([kind.__table__ for kind in _COLUMNS]):
            for begin in range(0, len(replaced), _RUNS_AT_ONCE):
                chosen = table.c.run_uuid.in_(replaced[begin : begin + _RUNS_AT_ONCE])
                connection.execute(sa.delete(table).where(chosen))
        moved = sa.update(runs).where(runs.c.experiment_id == int(from_id))
        connection.execute(moved.values(experiment_id=int(to_id)))


def _insert(connection: sa.Connection, kind: type[Any], rows: list[tuple[Any, ...]]) -> None:
    """Rows as the driver takes them: SQLAlchemy would look at every value."""
    names = _COLUMNS[kind]
    compiled = sa.insert(kind.__table__).compile(dialect=connection.dialect, column_keys=names)
    if compiled.positional:
        chosen = itemgetter(*map(names.index, compiled.positiontup or names))
        connection.exec_driver_sql(str(compiled), list(map(chosen, rows)))
    else:
        connection.exec_driver_sql(str(compiled), [dict(zip(names, row, strict=True)) for row in rows])


def _stored(value: float) -> tuple[bool, float]:
    """A number as the database keeps it: as SqlAlchemyStore.sanitize_metric_value."""
    if math.isnan(value):
        return True, 0.0
    if math.isinf(value):
        return False, math.copysign(sys.float_info.max, value)
    return False, value
