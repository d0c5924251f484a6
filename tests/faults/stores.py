"""Where the struck studies log to: SQLite files, PostgreSQL, or a server of MLflow that goes away now and then.

That server asks for a password, and Optuna's database beside it is PostgreSQL's.

The home of a store ``read-only`` has a disk of its own, which nobody can write any more once it is struck. It loses
what was not forced onto it, as a power cut does. The clock of the commands on a store ``clock`` is set now and then.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote

from tests.support.fragile_disk import FragileDisk, fragile_disk
from tests.support.mlflow_database import put_mlflow_database
from tests.support.mlflow_server import MlflowServer
from tests.support.moved_clock import MovedClock
from tests.support.postgres import PASSWORD, postgres

STORES = ("sqlite", "postgres", "server", "read-only", "clock")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Store:
    """``environment`` of every command, and ``secrets`` that none of them may write or print.

    ``disk`` is the home's own and ``clock`` the commands', None where they have none. ``stay`` has a server that goes
    away now and then be there from now on; None where none goes away.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    disk: FragileDisk | None = None
    clock: MovedClock | None = None
    stay: Callable[[], None] | None = None

    def carry_out(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a function that reads the books: in a process of its own where a disk is to be unmounted."""
        if self.disk is None:
            return function(*arguments)
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
            return process.submit(function, *arguments).result()


@contextlib.contextmanager
def opened(kind: str, place: Path, random: Random) -> Iterator[Store]:
    """A store for the study whose home is to be ``place / "home"``, which is made.

    One in five homes of SQLite files makes its databases while it is struck.

    Raises UnavailableError where a store needs a disk of its own, or a clock, and this machine lets nobody have one.
    """
    home = place / "home"
    if kind == "read-only":
        with fragile_disk(home) as disk:
            put_mlflow_database(home)
            yield Store(disk=disk)
        return
    home.mkdir()
    if kind == "clock":
        put_mlflow_database(home)
        clock = MovedClock(place / "clock")
        yield Store(clock.environment, clock=clock)
    elif kind == "sqlite":
        if random.random() > 0.2:
            put_mlflow_database(home)
        yield Store()
    elif kind == "postgres":
        yield _store_with_postgres(postgres().new("mlflow"))
    else:
        folder = place / "server"
        server = MlflowServer(f"sqlite:///{put_mlflow_database(folder)}", folder, auth=True)
        with _going_away(server, random) as stay:
            yield _store_with_postgres(server.url(), stay)


def _store_with_postgres(tracking_uri: str, stay: Callable[[], None] | None = None) -> Store:
    environment = {"MLFLOW_TRACKING_URI": tracking_uri, "TRACKER_STORAGE": postgres().new()}
    return Store(environment, (PASSWORD, quote(PASSWORD, safe="")), stay=stay)


@contextlib.contextmanager
def _going_away(server: MlflowServer, random: Random) -> Iterator[Callable[[], None]]:
    """A server that is away for seconds, then there for as long as it took to start and some seconds more."""
    server.start()
    over = threading.Event()

    def go_away() -> None:
        starting_seconds = 0.0
        while not over.wait(2 * starting_seconds + random.uniform(5.0, 20.0)):
            server.stop()
            over.wait(random.uniform(0.5, 10.0))
            begin = time.monotonic()
            server.start()
            starting_seconds = time.monotonic() - begin

    thread = threading.Thread(target=go_away, daemon=True)
    thread.start()

    def stay() -> None:
        over.set()
        thread.join()

    try:
        yield stay
    finally:
        stay()
        server.stop()
