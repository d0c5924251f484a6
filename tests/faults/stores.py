"""Where the struck studies log to: SQLite files, PostgreSQL, or a server of MLflow that goes away now and then."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.mlflow_database import put_mlflow_database

STORES = ("sqlite", "postgres", "server")


@dataclass(frozen=True, slots=True)
class Store:
    """``environment`` of every command, its Optuna ``storage``, and whether it cannot be reached now and then."""

    environment: Mapping[str, str] = field(default_factory=dict)
    storage: str | None = None
    goes_away: bool = False

    @property
    def options(self) -> list[str]:
        """Of `tracker run` and `tracker resume`."""
        return ["--storage", self.storage] if self.storage else []


@contextlib.contextmanager
def opened(kind: str, home: Path, random: Random) -> Iterator[Store]:
    """A store for the studies of one home. One in five homes makes its databases while it is struck."""
    home.mkdir(parents=True)
    if kind == "sqlite":
        if random.random() > 0.2:
            put_mlflow_database(home)
        yield Store()
    elif kind == "postgres":
        from tests.support.postgres import postgres

        server = postgres()
        yield Store({"MLFLOW_TRACKING_URI": server.new("mlflow")}, server.new())
    else:
        from tests.support.mlflow_server import MlflowServer

        folder = home.with_name(f"{home.name}-server")
        server = MlflowServer(f"sqlite:///{put_mlflow_database(folder)}", folder).start()
        over = threading.Event()

        def go_away() -> None:
            while not over.wait(random.uniform(5.0, 20.0)):
                server.stop()
                over.wait(random.uniform(0.5, 10.0))
                server.start()

        thread = threading.Thread(target=go_away, daemon=True)
        thread.start()
        try:
            yield Store({"MLFLOW_TRACKING_URI": server.address}, goes_away=True)
        finally:
            over.set()
            thread.join()
            server.stop()
