"""Which MLflow made a database: known before it is used, for MLflow's own advice is the wrong way round."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tracker.databases.addresses import shown_url

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def made_by_newer(url: str) -> str:
    """A sentence where the database at ``url`` has a schema that the installed MLflow does not know; else "".

    "" too where there is no such database yet, or what is there is none: its user says so.
    """
    if re.split(r"[:+]", url, maxsplit=1)[0] not in _DATABASES:
        return ""
    schema = _schema_of(url)
    if not schema or not (known := _known_schemas()) or schema in known:
        return ""
    try:
        installed = f"the installed {version('mlflow')}"
    except PackageNotFoundError:
        installed = "the installed one"
    return (
        f"MLflow database '{shown_url(url)}' was made by a newer MLflow than {installed} "
        f"(its schema {schema} is not known here); upgrade mlflow, or use another home"
    )


def _schema_of(url: str) -> str:
    """The database's alembic version; "" where it has none."""
    import sqlalchemy as sa  # a fifth of a second that only who is in trouble waits for
    from sqlalchemy.exc import SQLAlchemyError

    try:
        address = sa.make_url(url)
        if address.get_backend_name() == "sqlite" and not Path(address.database or "").is_file():
            return ""
        engine = sa.create_engine(address)
        try:
            with engine.connect() as connection:
                if not sa.inspect(connection).has_table("alembic_version"):
                    return ""
                return str(connection.execute(sa.text("select version_num from alembic_version")).scalar() or "")
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError):
        return ""


@cache
def _known_schemas() -> frozenset[str]:
    """Every schema that the installed MLflow has a migration to; found without importing it, which takes seconds."""
    found = find_spec("mlflow")
    folders = found.submodule_search_locations if found else None
    migrations = [
        path for folder in folders or () for path in Path(folder, "store/db_migrations/versions").glob("*.py")
    ]
    revisions = (
        re.search(r"^revision\s*(?::[^=]*)?=\s*[\"'](\w+)", path.read_text("utf-8"), re.M) for path in migrations
    )
    return frozenset(revision[1] for revision in revisions if revision)
