"""The home: one folder with the databases, the event logs, the caches and the reports."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.databases.sqlite_url import sqlite_url
from tracker.errors import RequestError
from tracker.pricing.price_book import PriceBook, open_price_book
from tracker.study.study_name import composed

ENVIRONMENT: Mapping[str, str] = {
    "TRACKER_HOME": "the home: the folder that studies live in, where no --home is given; ./results without either",
    "MLFLOW_TRACKING_URI": "a database or server to log to and read from; mlflow.db in the home without it",
    "TRACKER_STORAGE": "Optuna's database where no --storage is given; optuna.db in the home without either",
    "MLFLOW_TRACKING_TOKEN": "a token for that server",
    "MLFLOW_TRACKING_USERNAME": "a name for that server, with MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_PASSWORD": "the password for that name",
    "CUDA_VISIBLE_DEVICES": "the GPUs that studies may use, as for any CUDA program",
    "TMPDIR": "where locks of cores and GPUs lie that studies of one machine share",
    "CXX": "the C++ compiler that torch.compile is tried with",
}
"""The environment variables that the tracker reads, each with what it does."""


def folder_name(study: str) -> str:
    """A folder name for a study of any name: its plain characters, and a hash where that loses something.

    Two spellings of one name, by composed and by decomposed accents, have one folder.

    >>> folder_name("docstrings"), folder_name("a/b 🦊")
    ('docstrings', 'a-b-37d930e8')
    """
    study = composed(study)
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", study).strip("-.")[:40]
    if plain == study and study.lower() == study:
        return plain
    return "-".join(filter(None, [plain.lower(), hashlib.sha256(study.encode(errors="surrogatepass")).hexdigest()[:8]]))


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of a user's studies, and the databases, which may be elsewhere."""

    path: Path

    @classmethod
    def find(cls, given: str | Path | None = None) -> Home:
        """``given``, else TRACKER_HOME, else ./results; made absolute, not yet made."""
        return cls(Path(given or os.environ.get("TRACKER_HOME") or "results").resolve())

    def make(self) -> None:
        """Make the folder. Raises RequestError where that is impossible."""
        try:
            self.studies.mkdir(parents=True, exist_ok=True)
            self.cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"home '{self.path}' cannot be written: {error.strerror}") from None
        if not os.access(self.studies, os.W_OK):
            raise RequestError(f"home '{self.path}' cannot be written: it is read-only for this user")

    @contextlib.contextmanager
    def databases_being_made(self) -> Iterator[None]:
        """Lock out other processes: two that create the same SQLite database break it."""
        with (self.path / ".databases.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def import_of(self, study: str) -> Iterator[None]:
        """Lock out other processes that import a study of this name; the home is made. Raises RequestError.

        What was imported is noted in the lock's file.
        """
        self.make()
        with (self.studies / f".{folder_name(study)}.import.lock").open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
            file.truncate(0)
            file.write(study)

    @property
    def imported_studies(self) -> list[str]:
        """The names of the studies that were imported into this home."""
        notes = sorted(self.studies.glob(".*.import.lock"))
        return [name for note in notes if (name := note.read_text(encoding="utf-8", errors="replace").strip())]

    @property
    def studies(self) -> Path:
        """One folder a study, with its event logs."""
        return self.path / "studies"

    @property
    def cache(self) -> Path:
        """Prepared data, shared by all studies."""
        return self.path / "cache"

    @property
    def launched(self) -> Path:
        """The logs of detached studies, and the files that they were started from."""
        return self.path / "launched"

    @property
    def allowed(self) -> Path:
        """One text file for each command, or code from elsewhere, that a person allowed studies to run."""
        return self.path / "allowed"

    @property
    def reports(self) -> Path:
        """One folder a study, with its written reports."""
        return self.path / "reports"

    @property
    def scenarios(self) -> Path:
        """One TOML file a price scenario that was saved."""
        return self.path / "scenarios"

    @property
    def fetched_prices(self) -> Path:
        """The table of prices that were read from live catalogues."""
        return self.path / "prices.csv"

    @property
    def user_prices(self) -> Path:
        """The user's own rates for all studies."""
        return self.path / "prices.toml"

    def price_book(self, study_file: str = "") -> PriceBook:
        """The price book as this home has it, with the rates that a study's own file adds ("" for none).

        Raises PriceBookError, RequestError.
        """
        files = [self.user_prices] if self.user_prices.exists() else []
        return open_price_book(self.fetched_prices, *files, *([Path(study_file)] if study_file else []))

    @property
    def mlflow_database(self) -> Path:
        """The default MLflow database."""
        return self.path / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow logs: MLFLOW_TRACKING_URI, else the database in this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(self.mlflow_database)

    @property
    def optuna_storage(self) -> str:
        """Where Optuna keeps its studies: TRACKER_STORAGE, else the database in this folder."""
        return os.environ.get("TRACKER_STORAGE") or sqlite_url(self.path / "optuna.db")

    def study(self, name: str) -> Path:
        """The folder of a study."""
        return self.studies / folder_name(name)

    def artifacts(self, name: str) -> Path:
        """The folder of the files that MLflow keeps with a study's runs."""
        return self.path / "artifacts" / folder_name(name)
