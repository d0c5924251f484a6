"""Which version of which program made a database's tables, as Alembic's table says it; nothing is changed by asking."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tracker.databases.addresses import shown_url
from tracker.databases.connections import new_engine, patiently, reason
from tracker.errors import StoreError


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a database, and the revisions that it is said to be at: one, or none where nothing says it."""

    tables: frozenset[str]
    revisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Migrations:
    """The revisions that the installed version of a program knows, and the one that it works with."""

    known: frozenset[str]
    head: str


def schema_of(url: str) -> Schema:
    """The schema of the database at an SQLAlchemy URL; empty where it is a SQLite file that is not there.

    Raises StoreError where the database cannot be reached.
    """
    import sqlalchemy as sa  # a fifth of a second

    if url.startswith("sqlite"):
        place = sa.make_url(url).database or ""
        if not Path(place).is_file() or not Path(place).stat().st_size:
            return Schema(frozenset(), ())
    engine = new_engine(url, poolclass=sa.NullPool)

    def read() -> Schema:
        with engine.connect() as connection:
            tables = frozenset(sa.inspect(connection).get_table_names())
            if "alembic_version" not in tables:
                return Schema(tables, ())
            found = connection.execute(sa.text("select version_num from alembic_version")).scalars()
            return Schema(tables, tuple(map(str, found)))

    try:
        # A server that does not answer is not waited for: whoever starts a command is there to see why.
        return patiently(read) if url.startswith("sqlite") else read()
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        raise StoreError(f"database '{shown_url(url)}' cannot be used: {reason(error, url)}") from None
    finally:
        engine.dispose()


@cache
def migrations(package: str, folder: str) -> Migrations:
    """Of the files in ``folder`` of a package, which is not imported: that takes seconds."""
    found = find_spec(package)
    places = [Path(each, folder) for each in (found.submodule_search_locations if found else None) or ()]
    files = [path.read_text("utf-8") for place in places for path in place.glob("*.py")]
    known = frozenset(_named(files, "revision"))
    heads = known - set(_named(files, "down_revision"))
    return Migrations(known, min(heads, default=""))


def _named(files: Iterable[str], name: str) -> list[str]:
    found = (re.search(rf"^{name}\s*(?::[^=]*)?=\s*[\"']([\w.]+)", text, re.MULTILINE) for text in files)
    return [each[1] for each in found if each]
