"""Reads MLflow's tables straight from its database: a study in one query a table, without importing MLflow.

Measured by others and by us, MLflow's own client takes about a millisecond for every metric of every
run; this takes the same for a few thousand. The tables are MLflow 3's (mlflow/store/tracking/dbmodels).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tracker.errors import StoreError, StudyNotFoundError
from tracker.store.logged_run import FoundExperiment, FoundRun, LoggedRun, Measurement, found_experiment
from tracker.store.schema import made_by_newer


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))


_EXPERIMENTS = _table("experiments", "experiment_id", "name", "lifecycle_stage")
_RUNS = _table("runs", "run_uuid", "experiment_id", "start_time", "lifecycle_stage")
_TAGS = _table("tags", "run_uuid", "key", "value")
_PARAMS = _table("params", "run_uuid", "key", "value")
_METRICS = _table("metrics", "run_uuid", "key", "value", "timestamp", "step", "is_nan")


class SqlReader:
    """One MLflow database, by its SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def studies(self) -> list[tuple[str, list[LoggedRun]]]:
        """Every study's name with its parent run, newest first; none where there is no database yet."""
        with self._connection() as connection:
            if connection is None:
                return []
            role = _TAGS.alias()
            query = (
                sa.select(_EXPERIMENTS.c.name, _RUNS.c.run_uuid)
                .join(_RUNS, _RUNS.c.experiment_id == _EXPERIMENTS.c.experiment_id)
                .join(role, role.c.run_uuid == _RUNS.c.run_uuid)
                .where(role.c.key == "tracker.role", role.c.value == "study")
                .where(_RUNS.c.lifecycle_stage == "active", _EXPERIMENTS.c.lifecycle_stage == "active")
                .order_by(_RUNS.c.start_time.desc())
            )
            return [(name, _runs(connection, _RUNS.c.run_uuid == run)) for name, run in connection.execute(query)]

    def read_study(self, name: str) -> list[LoggedRun]:
        """All runs of a study with all their measurements. Raises StudyNotFoundError, StoreError."""
        with self._connection() as connection:
            query = sa.select(_EXPERIMENTS.c.experiment_id).where(
                _EXPERIMENTS.c.name == name, _EXPERIMENTS.c.lifecycle_stage == "active"
            )
            experiment = connection.execute(query).scalar() if connection is not None else None
            if connection is None or experiment is None:
                raise StudyNotFoundError(f"there is no study '{name}' in '{self._url}'")
            return _runs(connection, _RUNS.c.experiment_id == experiment)

    def find_study(self, name: str) -> list[FoundExperiment]:
        """The experiment of a study's name first, then those of other names that have runs of it; deleted ones too.

        Raises StoreError.
        """
        with self._connection() as connection:
            if connection is None:
                return []
            study, role = _TAGS.alias(), _TAGS.alias()
            own = sa.select(_RUNS.c.experiment_id).join(study, study.c.run_uuid == _RUNS.c.run_uuid)
            own = own.where(study.c.key == "tracker.study", study.c.value == name)
            chosen = sa.or_(_EXPERIMENTS.c.name == name, _EXPERIMENTS.c.experiment_id.in_(own))
            experiments = connection.execute(sa.select(_EXPERIMENTS).where(chosen)).all()
            query = (
                sa.select(_RUNS.c.run_uuid, _RUNS.c.lifecycle_stage != "active", study.c.value, role.c.value)
                .outerjoin(study, sa.and_(study.c.run_uuid == _RUNS.c.run_uuid, study.c.key == "tracker.study"))
                .outerjoin(role, sa.and_(role.c.run_uuid == _RUNS.c.run_uuid, role.c.key == "tracker.role"))
            )
            found = []
            for experiment_id, title, stage in experiments:
                rows = connection.execute(query.where(_RUNS.c.experiment_id == experiment_id))
                runs = [FoundRun(run, bool(deleted), text or "", part or "") for run, deleted, text, part in rows]
                found.append(found_experiment(str(experiment_id), title, stage != "active", name, runs))
        return sorted(found, key=lambda each: each.name != name)

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection | None]:
        """A connection, or None where the SQLite file or its tables are not there yet."""
        try:
            url = sa.make_url(self._url)
            if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).is_file()):
                yield None
                return
            engine = sa.create_engine(url)
            try:
                with engine.connect() as connection:
                    yield connection if sa.inspect(connection).has_table("runs") else None
            finally:
                engine.dispose()
        except (SQLAlchemyError, ArgumentError, ImportError) as error:
            if problem := made_by_newer(self._url):
                raise StoreError(problem) from error
            reason = str(error).splitlines()[0]
            raise StoreError(f"MLflow database '{self._url}' cannot be read: {reason}") from error


def _runs(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[LoggedRun]:
    chosen = (where, _RUNS.c.lifecycle_stage == "active")
    texts: dict[str, dict[str, dict[str, str]]] = {}
    for table in (_TAGS, _PARAMS):
        texts[table.name] = defaultdict(dict)
        query = sa.select(table.c.run_uuid, table.c.key, table.c.value)
        for run, key, value in connection.execute(
            query.join(_RUNS, _RUNS.c.run_uuid == table.c.run_uuid).where(*chosen)
        ):
            texts[table.name][run][key] = value
    measurements: dict[str, list[Measurement]] = defaultdict(list)
    query = (
        sa.select(_METRICS.c.run_uuid, _METRICS.c.key, _METRICS.c.step, _METRICS.c.timestamp, _METRICS.c.value)
        .join(_RUNS, _RUNS.c.run_uuid == _METRICS.c.run_uuid)
        .where(*chosen, _METRICS.c.is_nan == sa.false())
    )
    for run, *fields in connection.execute(query):
        measurements[run].append(Measurement(*fields))
    rows = connection.execute(sa.select(_RUNS.c.run_uuid, _RUNS.c.start_time).where(*chosen))
    return [
        LoggedRun(run, started or 0, texts["params"][run], texts["tags"][run], measurements[run])
        for run, started in rows
    ]
