"""Trials of anybody's Optuna study, read from its database or its journal; nothing of either is written to.

Optuna itself writes to a database that it opens: missing tables, its version. A SQLite file is therefore copied first,
and the copy is upgraded where an older Optuna wrote it; any other database must have Optuna's tables.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import optuna
import sqlalchemy as sa
from alembic.util import CommandError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tracker.databases.connections import reason
from tracker.databases.sqlite_url import sqlite_url
from tracker.errors import RequestError, StoreError, did_you_mean
from tracker.records import Direction, Settings, SettingValue

_SQLITE_MAGIC = b"SQLite format 3\0"
_NOT_READ = (SQLAlchemyError, ArgumentError, CommandError, optuna.exceptions.StorageInternalError, ImportError, OSError)


class OptunaTrial(NamedTuple):
    """A trial: its state by Optuna's name, when it started and ended (seconds since 1970, None where not known).

    ``values`` has one number an objective, and none where the trial has no values; ``reported`` is the last step at
    which it reported a value to its pruner, and that value.
    """

    number: int
    state: str
    started_at: float | None
    ended_at: float | None
    settings: Settings
    attributes: Mapping[str, Any]
    values: Sequence[float]
    reported: tuple[int, float] | None


class OptunaStudy(NamedTuple):
    """A study: a direction an objective, the objectives' names where it has some, and its trials by number."""

    name: str
    directions: Sequence[Direction]
    metric_names: Sequence[str]
    trials: Sequence[OptunaTrial]


def read_optuna_study(storage: str, study: str = "") -> OptunaStudy:
    """The study of this name, or the only one; a storage is an SQLAlchemy URL, or a path of a database or a journal.

    Raises RequestError where there is no such storage or study, naming the nearest, StoreError where it cannot be read.
    """
    try:
        with _opened(storage) as opened:
            names = optuna.get_all_study_names(opened)
            found = optuna.load_study(study_name=_chosen(study, names), storage=opened)
            trials = [_trial(each) for each in found.get_trials(deepcopy=False)]
            directions = [Direction(each.name.lower()) for each in found.directions]
            return OptunaStudy(found.study_name, directions, found.metric_names or (), trials)
    except _NOT_READ as error:
        raise _unreadable(error, storage) from None
    except sqlite3.Error as error:
        raise _unreadable(error, storage) from None
    except RuntimeError as error:
        if "table schema" not in str(error):  # Optuna's message where another version created the database
            raise
        raise _unreadable(error, storage) from None


def _chosen(study: str, names: Sequence[str]) -> str:
    if study in names:
        return study
    if study or not names:
        raise RequestError(f"this Optuna storage has no study '{study}'; {did_you_mean(study, names)}")
    if len(names) > 1:
        raise RequestError(f"this Optuna storage has {len(names)} studies: name one of {', '.join(sorted(names)[:12])}")
    return names[0]


def _unreadable(error: BaseException, storage: str) -> StoreError:
    return StoreError(f"the Optuna storage cannot be read: {reason(error, storage)}")


@contextlib.contextmanager
def _opened(storage: str) -> Iterator[BaseStorage]:
    path = _file(storage)
    if path is None:
        _check_tables(storage)
        yield RDBStorage(storage, skip_table_creation=True)
        return
    if not path.is_file():
        raise RequestError(f"there is no Optuna storage at '{path}': neither a database file nor a journal")
    with path.open("rb") as file:
        is_database = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    if not is_database:
        yield JournalStorage(_Journal(path))
        return
    with tempfile.TemporaryDirectory(prefix="tracker-optuna-") as folder:
        copy = sqlite_url(_copied(path, Path(folder) / "copy.db"))
        _check_tables(copy)
        database = RDBStorage(copy, skip_compatibility_check=True, skip_table_creation=True)
        try:
            if database.get_current_version() != database.get_head_version():
                logging.disable(logging.INFO)  # Alembic says each step
                try:
                    database.upgrade()
                finally:
                    logging.disable(logging.NOTSET)
            yield database
        finally:
            database.remove_session()
            database.engine.dispose()


def _file(storage: str) -> Path | None:
    """The file that a storage is; None for a database of another kind than SQLite."""
    if "://" not in storage:
        return Path(storage).expanduser()
    url = sa.make_url(storage)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _copied(path: Path, copy: Path) -> Path:
    """A copy as of one moment, of a database that may be written to meanwhile."""
    place = f"file:{quote(str(path.resolve()))}?mode=ro"
    for options in ("", "&immutable=1"):  # a write-ahead log on a disk that takes no file beside it needs the latter
        try:
            with (
                contextlib.closing(sqlite3.connect(place + options, uri=True)) as source,
                contextlib.closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            break
        except sqlite3.OperationalError:
            if options:
                raise
    return copy


def _check_tables(url: str) -> None:
    """Raises RequestError where a database has no tables of Optuna's: Optuna would make them."""
    engine = sa.create_engine(url)
    try:
        if missing := {"studies", "trials", "version_info"} - set(sa.inspect(engine).get_table_names()):
            raise RequestError(f"this database is not Optuna's: it has no table '{min(missing)}'")
    finally:
        engine.dispose()


class _Journal(BaseJournalBackend):
    """The file of a JournalStorage, which Optuna's own backend would make. A line that is not whole yet ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    return
                if number >= log_number_from:
                    yield self._entry(number, line)

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or "op_code" not in entry:
            what = "is neither a SQLite database nor a journal of Optuna's" if not number else "is damaged"
            raise RequestError(f"'{self._path}' {what}: line {number + 1} is no entry of a journal")
        return entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:  # noqa: ARG002 - Optuna's signature
        raise StoreError("an imported journal is not written to")


def _trial(trial: optuna.trial.FrozenTrial) -> OptunaTrial:
    reported = max(trial.intermediate_values.items(), default=None)
    return OptunaTrial(
        number=trial.number,
        state=trial.state.name,
        started_at=_seconds(trial.datetime_start),
        ended_at=_seconds(trial.datetime_complete),
        settings={name: _setting(value) for name, value in trial.params.items()},
        attributes=trial.user_attrs,
        values=trial.values or (),
        reported=reported,
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _setting(value: Any) -> SettingValue:
    return value if isinstance(value, bool | int | float | str) else str(value)
