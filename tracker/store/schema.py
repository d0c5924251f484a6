"""Which MLflow made a database: known before it is used, for MLflow migrates some by itself, unasked."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from tracker.databases.addresses import shown_url
from tracker.databases.connections import new_engine
from tracker.databases.schemas import Schema, migrations, schema_of

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def schema_problem(url: str) -> str:
    """A sentence where the database at ``url`` has a schema that the installed MLflow does not work with; else "".

    "" too where there is no database yet, and for one that MLflow was making when it was killed: it completes it.
    Raises StoreError where the database cannot be reached.
    """
    if re.split(r"[:+]", url, maxsplit=1)[0] not in _DATABASES:
        return ""
    schema, installed = schema_of(url), migrations("mlflow", "store/db_migrations/versions")
    if not installed.head or schema.revisions == (installed.head,):
        return ""
    if strangers := set(schema.revisions) - installed.known:
        return _of_a_stranger(url, schema, min(strangers))
    if "runs" not in schema.tables or _is_blank(url):
        return ""
    found = ", ".join(schema.revisions) or "not recorded"
    return (
        f"MLflow database '{shown_url(url)}' was made by an older MLflow than {_installed()}, or its upgrade was "
        f"interrupted (its schema is {found}, not {installed.head}): make a copy of it, then run\n"
        f"`mlflow db upgrade URL` with its address"
    )


def _of_a_stranger(url: str, schema: Schema, revision: str) -> str:
    if "runs" in schema.tables and "experiments" in schema.tables:
        return (
            f"MLflow database '{shown_url(url)}' was made by a newer MLflow than {_installed()} "
            f"(its schema {revision} is not known here); upgrade mlflow, or use another home"
        )
    owner = "Optuna's" if "studies" in schema.tables else "another program's"
    return f"database '{shown_url(url)}' holds {owner} tables: MLflow needs a database of its own"


def _is_blank(url: str) -> bool:
    """Whether nothing was ever logged to it."""
    import sqlalchemy as sa

    engine = new_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text("select 1 from runs limit 1")).scalar() is None
    finally:
        engine.dispose()


def _installed() -> str:
    try:
        return f"the installed {version('mlflow')}"
    except PackageNotFoundError:
        return "the installed one"
