"""Optuna's storage in a database: checked before it is used, and patient with one that is locked or restarts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage

from tracker.databases.addresses import shown_url
from tracker.databases.connections import engine_options, making_tables, patiently
from tracker.databases.schemas import migrations, schema_of
from tracker.errors import StoreError

_MIGRATIONS = ("optuna", "storages/_rdb/alembic/versions")


class PatientStorage(RDBStorage):
    """RDBStorage, whose calls are repeated while the database is locked or its server restarts."""


def _repeated(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def patient(*given: Any, **named: Any) -> Any:
        tries = 0

        def once() -> Any:
            nonlocal tries
            tries += 1
            try:
                return call(*given, **named)
            except UpdateFinishedTrialError:
                if tries == 1:
                    raise
                return None  # an earlier try ended it, and its answer was lost

        return patiently(once)

    return patient


_OF_ITS_CACHE = ("_create_new_trial", "_get_trials", "_set_trial_param")
"""What Optuna's cache, which is in front of it, calls besides."""
for _name in (*BaseStorage.__abstractmethods__, *_OF_ITS_CACHE):
    setattr(PatientStorage, _name, _repeated(getattr(RDBStorage, _name)))


def open_storage(url: str) -> PatientStorage:
    """The storage at an SQLAlchemy URL; its tables are made where there are none.

    Raises StoreError where it cannot be reached, or has tables that the installed Optuna does not work with.
    """
    if problem := storage_problem(url):
        raise StoreError(problem)
    with making_tables(url):
        return PatientStorage(url, engine_kwargs=engine_options(url))


def storage_problem(url: str) -> str:
    """A sentence where the database at ``url`` has a schema that the installed Optuna does not work with; else "".

    Raises StoreError where the database cannot be reached.
    """
    schema, installed = schema_of(url), migrations(*_MIGRATIONS)
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
