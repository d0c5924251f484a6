"""A database opened for reading: SQLite by Python's own driver, any other through SQLAlchemy.

Rows come as plain tuples, many at once. Every query sees the database as it is then; none holds a lock between them.
"""

from __future__ import annotations

import contextlib
import gc
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from tracker.databases import connections
from tracker.databases.addresses import shown_url
from tracker.databases.connections import new_engine, reason
from tracker.databases.sqlite_url import sqlite_file
from tracker.errors import StoreError
from tracker.store.schema import schema_problem

ROWS_AT_ONCE = 50_000

Rows = Sequence[Sequence[Any]]


class Database(Protocol):
    """An open database. Parameters stand in the text as ``:name``."""

    def chunks(self, text: str, parameters: Mapping[str, Any]) -> Iterator[Rows]:
        """The rows of a query, at most ROWS_AT_ONCE at once."""
        ...

    def rows(self, text: str, parameters: Mapping[str, Any]) -> Rows:
        """All rows of a query that has few."""
        ...

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        ...


@contextmanager
def many_rows() -> Iterator[None]:
    """Read many rows with the garbage collector off, which halves the time: their tuples have no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def opened(url: str) -> Iterator[Database | None]:
    """The database at an SQLAlchemy URL; None where the SQLite file, or MLflow's tables in it, are not there yet.

    Raises StoreError where it cannot be read.
    """
    file = sqlite_file(url)
    try:
        with _other(url) if file is None else _sqlite(file) as database:
            yield database if database is not None and database.has_table("runs") else None
    except (sqlite3.Error, _OtherError) as error:
        problem = ""
        with contextlib.suppress(StoreError):  # where it cannot be reached, that is why it could not be read
            problem = schema_problem(url)
        if problem:
            raise StoreError(problem) from error
        raise StoreError(f"MLflow database '{shown_url(url)}' cannot be read: {reason(error, url)}") from None


class _OtherError(Exception):
    """What SQLAlchemy raised."""


class _SqliteDatabase:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def chunks(self, text: str, parameters: Mapping[str, Any]) -> Iterator[Rows]:
        cursor = self._connection.execute(text, dict(parameters))
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield rows

    def rows(self, text: str, parameters: Mapping[str, Any]) -> Rows:
        return self._connection.execute(text, dict(parameters)).fetchall()

    def has_table(self, name: str) -> bool:
        return bool(self.rows("select 1 from sqlite_master where type = 'table' and name = :name", {"name": name}))


@contextmanager
def _sqlite(path: Path) -> Iterator[Database | None]:
    if not path.is_file():
        yield None
        return
    with contextlib.closing(_connected(path)) as connection:
        yield _SqliteDatabase(connection)


def _connected(path: Path) -> sqlite3.Connection:
    """A connection; to a database in WAL mode on a disk that takes no file beside it, as to one that never changes."""
    place = f"file:{quote(str(path.resolve()))}?mode="
    # Whoever closes a database last moves what is in its log into it, but for one that opened it to read alone.
    logged = Path(f"{path}-wal").exists()
    connection = sqlite3.connect(place + ("ro" if logged else "rw"), uri=True, timeout=connections.PATIENCE_SECONDS)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise
        connection = sqlite3.connect(f"{place}ro&immutable=1", uri=True, timeout=connections.PATIENCE_SECONDS)
        connection.execute("select count(*) from sqlite_master").fetchone()
    return connection


@contextmanager
def _other(url: str) -> Iterator[Database | None]:
    import sqlalchemy as sa  # a third of a second that a SQLite file does not need
    from sqlalchemy.exc import SQLAlchemyError

    class AnyDatabase:
        def __init__(self, connection: sa.Connection) -> None:
            self._connection = connection

        def chunks(self, text: str, parameters: Mapping[str, Any]) -> Iterator[Rows]:
            options = {"stream_results": True, "max_row_buffer": ROWS_AT_ONCE}
            result = self._connection.execute(sa.text(text), dict(parameters), execution_options=options)
            while rows := result.fetchmany(ROWS_AT_ONCE):
                yield rows

        def rows(self, text: str, parameters: Mapping[str, Any]) -> Rows:
            return self._connection.execute(sa.text(text), dict(parameters)).fetchall()

        def has_table(self, name: str) -> bool:
            return bool(sa.inspect(self._connection).has_table(name))

    try:
        if url.startswith("sqlite") and not Path(sa.make_url(url).database or "").is_file():
            yield None
            return
        engine = new_engine(url)
        try:
            with engine.connect() as connection:
                yield AnyDatabase(connection)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise _OtherError(str(error)) from error
