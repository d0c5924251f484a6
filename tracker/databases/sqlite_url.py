"""SQLAlchemy's URLs of SQLite files, whatever characters a path has: ? would begin options, and % is an escape."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

SQLITE = "sqlite:///"


def sqlite_url(path: Path) -> str:
    """The URL of the database in a file.

    >>> sqlite_url(Path("/data/50 % off?/mlflow.db"))
    'sqlite:////data/50 %25 off%3F/mlflow.db'
    """
    return SQLITE + str(path).replace("%", "%25").replace("?", "%3F")


def sqlite_file(url: str) -> Path | None:
    """The file of a URL; None for another kind of database, and for a URL with options.

    >>> sqlite_file("sqlite:////data/50 %25 off%3F/mlflow.db"), sqlite_file("postgresql://host/mlflow")
    (PosixPath('/data/50 % off?/mlflow.db'), None)
    """
    if not url.startswith(SQLITE) or "?" in url:
        return None
    return Path(unquote(url.removeprefix(SQLITE)))
