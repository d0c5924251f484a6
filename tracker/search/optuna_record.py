"""A study's trials as Optuna's own tools read them: copied into its database, many at once.

The search works on trials in memory. What changes of them waits here until it is written, in one transaction, by the
table definitions of Optuna itself (optuna/storages/_rdb/models.py). Event logs are the truth: what a database lacks
after a crash is restored when the study is resumed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from tracker.databases.addresses import shown_url
from tracker.databases.connections import patiently, reason
from tracker.errors import StoreError
from tracker.records import Behind

_TRIALS: Any = models.TrialModel.__table__
_PARAMS: Any = models.TrialParamModel.__table__
_VALUES: Any = models.TrialValueModel.__table__
_USER: Any = models.TrialUserAttributeModel.__table__
_SYSTEM: Any = models.TrialSystemAttributeModel.__table__


class OptunaRecord:
    """The copy of trials in the database of ``study``, which has those of ``known`` already. Safe from two threads."""

    def __init__(self, study: optuna.Study, storage: str, known: Sequence[FrozenTrial] = ()) -> None:
        backend: Any = study._storage
        self._engine: sa.Engine = getattr(backend, "_backend", backend).engine
        self._study_id = study._study_id
        self._storage = storage
        self._ids = {trial.number: trial._trial_id for trial in known}
        self._attributes = {trial.number: dict(trial.user_attrs) for trial in known}
        self._waiting: dict[int, FrozenTrial] = {}
        self._since = 0.0
        self._doubtful = False
        """Whether a try failed, so that it may have been written nevertheless."""
        self._lock = threading.Lock()

    def put(self, trial: FrozenTrial) -> None:
        """A trial as it is now; new ones come in the order of their numbers."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting[trial.number] = trial

    @property
    def behind(self) -> Behind | None:
        """How many trials the database lacks as they are now; None where it has all."""
        with self._lock:
            return Behind(len(self._waiting), time.monotonic() - self._since) if self._waiting else None

    def flush(self) -> None:
        """Write what waits, all or none. Raises StoreError, and keeps it, where the database does not take it."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            with database_errors(self._storage):
                patiently(lambda: self._write([waiting[number] for number in sorted(waiting)]))
        except BaseException:
            with self._lock:
                self._waiting = waiting | self._waiting
            raise

    def _write(self, trials: Sequence[FrozenTrial]) -> None:
        if self._doubtful:
            self._look_again()
        self._doubtful = True
        new = [trial for trial in trials if trial.number not in self._ids]
        known = [trial for trial in trials if trial.number in self._ids]
        ids = dict(self._ids)
        with self._engine.begin() as connection:
            for trial in new:
                row = {"number": trial.number, "study_id": self._study_id, **_state(trial)}
                (ids[trial.number],) = connection.execute(sa.insert(_TRIALS).values(row)).inserted_primary_key or (0,)
            _update(
                connection, [{"of": ids[each.number], **_state(each)} for each in known if each.state.is_finished()]
            )
            _insert(connection, _PARAMS, (row for each in new for row in _params(ids[each.number], each)))
            _insert(
                connection, _SYSTEM, (row for each in new for row in _attributes(ids[each.number], each.system_attrs))
            )
            with_values = [each for each in trials if each.values]
            at = sa.delete(_VALUES).where(_VALUES.c.trial_id.in_([ids[each.number] for each in with_values]))
            connection.execute(at)
            _insert(connection, _VALUES, (row for each in with_values for row in _values(ids[each.number], each)))
            self._write_attributes(connection, trials, ids)
        self._ids, self._doubtful = ids, False
        for trial in trials:
            self._attributes[trial.number] = dict(trial.user_attrs)

    def _look_again(self) -> None:
        """Read what the database has of this study's trials."""
        with self._engine.connect() as connection:
            query = sa.select(_TRIALS.c.number, _TRIALS.c.trial_id).where(_TRIALS.c.study_id == self._study_id)
            self._ids = {row.number: row.trial_id for row in connection.execute(query)}
            columns = (_TRIALS.c.number, _USER.c.key, _USER.c.value_json)
            joined = _TRIALS.join(_USER, _USER.c.trial_id == _TRIALS.c.trial_id)
            there = sa.select(*columns).select_from(joined).where(_TRIALS.c.study_id == self._study_id)
            self._attributes = {}
            for number, key, text in connection.execute(there):
                self._attributes.setdefault(number, {})[key] = json.loads(text)

    def _write_attributes(self, connection: sa.Connection, trials: Sequence[FrozenTrial], ids: dict[int, int]) -> None:
        added, changed = [], []
        for trial in trials:
            before = self._attributes.get(trial.number, {})
            for row in _attributes(ids[trial.number], trial.user_attrs):
                if row["key"] not in before:
                    added.append(row)
                elif before[row["key"]] != trial.user_attrs[row["key"]]:
                    changed.append({"of": row["trial_id"], "named": row["key"], "new": row["value_json"]})
        _insert(connection, _USER, added)
        if changed:
            at = (_USER.c.trial_id == sa.bindparam("of")) & (_USER.c.key == sa.bindparam("named"))
            connection.execute(sa.update(_USER).where(at).values(value_json=sa.bindparam("new")), changed)


@contextlib.contextmanager
def database_errors(storage: str | None) -> Iterator[None]:
    """Turn a database's exceptions into a StoreError that names it."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, OSError) as error:
        place = "in memory" if storage is None else f"'{shown_url(storage)}'"
        raise StoreError(f"Optuna storage {place} cannot be used: {reason(error, storage or '')}") from error


def _insert(connection: sa.Connection, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    if listed := list(rows):
        connection.execute(sa.insert(table), listed)


def _update(connection: sa.Connection, ends: list[dict[str, Any]]) -> None:
    """The state of trials, and when they were started and ended."""
    if ends:
        columns: dict[str, Any] = {name: sa.bindparam(name) for name in ends[0] if name != "of"}
        connection.execute(sa.update(_TRIALS).where(_TRIALS.c.trial_id == sa.bindparam("of")).values(columns), ends)


def _state(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    """As Optuna keeps times: in UTC, without saying so."""
    return None if moment is None else moment.astimezone(dt.UTC).replace(tzinfo=None)


def _params(trial_id: int, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    for name, value in trial.params.items():
        distribution = trial.distributions[name]
        internal, text = distribution.to_internal_repr(value), distribution_to_json(distribution)
        yield {"trial_id": trial_id, "param_name": name, "param_value": internal, "distribution_json": text}


def _values(trial_id: int, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    for objective, value in enumerate(trial.values):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        yield {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}


def _system(trial_id: int, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    return _attributes(trial_id, trial.system_attrs)


def _attributes(trial_id: int, attributes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in attributes.items():
        yield {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
