"""Optuna's storage in a database: checked before it is used, and patient with one that is locked or restarts."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

from optuna.storages import RDBStorage

from tracker.databases.addresses import shown_url
from tracker.databases.connections import engine_options, making_tables, patiently
from tracker.databases.schemas import Schema, migrations, schema_of
from tracker.errors import StoreError

_MIGRATIONS = ("optuna", "storages/_rdb/alembic/versions")


Answer = TypeVar("Answer")


def in_storage(url: str, action: Callable[[RDBStorage], Answer]) -> Answer:
    """What ``action`` returns for the storage at an SQLAlchemy URL, whose tables are made where there are none.

    It is repeated while the database is locked or its server restarts. Raises StoreError where the storage cannot be
    reached, or has tables that the installed Optuna does not work with, and what ``action`` raises.
    """
    schema = schema_of(url)
    if problem := _problem(url, schema):
        raise StoreError(problem)
    with making_tables(url):  # Optuna's own check runs every script of its migrations, each time
        checked = bool(schema.revisions)
        storage = RDBStorage(url, engine_kwargs=engine_options(url), skip_compatibility_check=checked)
    return patiently(lambda: action(storage))


def _problem(url: str, schema: Schema) -> str:
    """A sentence where the database at ``url`` has a schema that the installed Optuna does not work with; else ""."""
    installed = migrations(*_MIGRATIONS)
    if not schema.revisions or schema.revisions == (installed.head,):
        return ""
    found, place = ", ".join(schema.revisions), shown_url(url)
    if "studies" not in schema.tables:
        owner = "MLflow's" if "experiments" in schema.tables else "another program's"
        return f"database '{place}' holds {owner} tables: Optuna needs a database of its own (--storage)"
    if set(schema.revisions) <= installed.known:
        return (
            f"Optuna storage '{place}' was made by an older Optuna than the installed {version('optuna')} (its schema "
            f"is {found}, not {installed.head}): make a copy of it, then run\n`optuna storage upgrade --storage URL` "
            "with its address"
        )
    return (
        f"Optuna storage '{place}' was made by a newer Optuna than the installed {version('optuna')} (its schema "
        f"{found} is not known here); upgrade optuna, or use another storage"
    )
