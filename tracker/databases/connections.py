"""Connections to databases that are busy, restart or are not there: what is waited for, what is said of the rest."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from tracker.databases.addresses import HOW_TO_ESCAPE, first_line, shown_url, unescaped
from tracker.errors import StoreError

if TYPE_CHECKING:
    import sqlalchemy as sa

PATIENCE_SECONDS = 120.0
"""How long a database is waited for that another process has locked, or whose server restarts."""
_PAUSE_SECONDS = 0.5
_TABLES_KEY = 0x747261636B  # "track": any number that nobody else locks
_CONNECT_SECONDS = 10
_WITH_TIMEOUT = ("psycopg2", "psycopg", "pymysql", "mysqldb")
_LOCKED = re.compile(r"database (table )?is locked|database is busy|SQLITE_BUSY", re.IGNORECASE)
_DENIED = re.compile(r"password authentication failed|no password supplied|Access denied|fe_sendauth", re.IGNORECASE)
_UNAUTHORIZED = re.compile(r"error code 40[13]\b|40[13] Client Error")
_LOGIN = "the name and password are MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or stand in the address"
_ASKED = re.compile(r"API request to \S+ failed with exception ")
_QUOTED = re.compile(r"\w+\((?P<quote>[\"'])(?:\w+\(.*?\): )?(?P<why>(?:(?!(?P=quote)).)*)(?P=quote)\)")
_PAGE = re.compile(r"Response body: '?\s*<.*", re.DOTALL)
_MISSING = re.compile(r"database \"?[^ ]+ does not exist|Unknown database|role \"?[^ ]+ does not exist", re.IGNORECASE)

Answer = TypeVar("Answer")


def new_engine(url: str, **more: Any) -> sa.Engine:
    """An SQLAlchemy engine whose connections are tried before they are used, and wait for locks.

    ``more`` goes to sqlalchemy.create_engine. Raises StoreError where the address is none, or its driver is missing.
    """
    import sqlalchemy as sa  # a third of a second that who reads SQLite does not need
    from sqlalchemy.exc import ArgumentError

    if problem := unescaped(url):
        raise StoreError(problem)
    try:
        return sa.create_engine(url, **engine_options(url), **more)
    except (ArgumentError, ImportError, ValueError) as error:
        raise StoreError(f"database '{shown_url(url)}' cannot be used: {reason(error, url)}") from None


def engine_options(url: str) -> dict[str, Any]:
    """The options of sqlalchemy.create_engine that ``new_engine`` uses."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": PATIENCE_SECONDS}}
    driver = re.match(r"\w+\+(\w+):", url)
    waits = {"connect_timeout": _CONNECT_SECONDS} if driver is None or driver[1] in _WITH_TIMEOUT else {}
    return {"pool_pre_ping": True, "connect_args": waits}


@contextlib.contextmanager
def making_tables(url: str) -> Iterator[None]:
    """Lock out others that make their tables in the same PostgreSQL database: of two at once, one fails.

    Raises what SQLAlchemy raises where the database cannot be reached.
    """
    if not url.startswith("postgresql"):
        yield
        return
    import sqlalchemy as sa

    engine = new_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("select pg_advisory_lock(:key)"), {"key": _TABLES_KEY})
            yield
    finally:
        engine.dispose()


def wait_for_locks(engine: sa.Engine) -> None:
    """Let an engine of MLflow's wait for locks of SQLite as long as ``new_engine``'s do: MLflow gives up earlier."""
    from sqlalchemy import event

    if engine.dialect.name == "sqlite" and not event.contains(engine, "before_cursor_execute", _waits_longer):
        event.listen(engine, "before_cursor_execute", _waits_longer, retval=True)


def _waits_longer(connection: Any, cursor: Any, statement: str, parameters: Any, *context: Any) -> tuple[str, Any]:
    del connection, cursor, context
    if statement.startswith("PRAGMA busy_timeout"):  # MLflow sets its own for each session
        return f"PRAGMA busy_timeout = {PATIENCE_SECONDS * 1000:.0f}", parameters
    return statement, parameters


def patiently(action: Callable[[], Answer]) -> Answer:
    """What ``action`` returns: it is repeated for PATIENCE_SECONDS where a database is locked or away for a moment.

    Raises what ``action`` raises for the last time.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return action()
        except Exception as error:
            if not is_passing(error) or time.monotonic() > until:
                raise
        time.sleep(_PAUSE_SECONDS)


def is_passing(error: BaseException) -> bool:
    """Whether an error is a database's that is locked, or a server's that restarts or closed the connection."""
    import sqlalchemy.exc as exc

    for each in _causes(error):
        if _LOCKED.search(str(each)) or isinstance(each, exc.PendingRollbackError):
            return True
        if isinstance(each, exc.DBAPIError) and not _DENIED.search(str(each)) and not _MISSING.search(str(each)):
            server = not type(each.orig).__module__.startswith("sqlite3")
            return server and (each.connection_invalidated or isinstance(each, exc.OperationalError))
    return False


def is_closed_connection(error: BaseException) -> bool:
    """Whether an error of an HTTP client is a connection that the server closed before it answered."""
    closed = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        if any(isinstance(one, closed) for one in (each, *each.args)):  # urllib3 has it among its arguments
            return True
        seen.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return False


def reason(error: BaseException, url: str = "") -> str:
    """Why the store at ``url`` cannot be used, in one line: what its driver or client says, and what to do."""
    cause = list(_causes(error))[-1]
    said = first_line(_of_requests(cause), url)
    if isinstance(cause, ImportError):
        if url.startswith("postgresql"):
            return f"{said}; install the driver: pip install 'cost-quality-tracker[postgres]'"
        return f"{said}; install the database's driver"
    if _PAGE.search(str(cause)):
        return (
            f"{_PAGE.sub('', said)}the answer is a page, not MLflow's: it may come from a proxy, or from another server"
        )
    if _UNAUTHORIZED.search(said):
        return f"{said}; {_LOGIN}"
    if _DENIED.search(said):
        return f"{said}; if the password is right: {HOW_TO_ESCAPE}"
    if _LOCKED.search(said):
        return f"{said}: another process has held it for longer than {PATIENCE_SECONDS:.0f} s; end it, then try again"
    if _MISSING.search(said):
        return f"{said}; create it first, such as by `createdb`"
    return said


def _of_requests(error: BaseException) -> Exception:
    """What happened, of an error of an HTTP client: without the address, which whoever shows it says already."""
    said = _ASKED.sub("", str(error))
    if caused := said.partition("(Caused by ")[2].removesuffix(")"):
        quoted = _QUOTED.fullmatch(caused)
        said = caused if quoted is None else quoted["why"]
    return Exception(said or type(error).__name__)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and what it comes from, to the driver's own."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = getattr(each, "orig", None) or each.__cause__
    return found
