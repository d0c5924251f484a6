"""A study while a coordinator works on it: what every part of the runner needs, as one value."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.records import DataCard
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.jobs import Grounds
from tracker.runner.plan import StudyPlan
from tracker.runner.progress import Observer
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.runner.study_tags import study_tags
from tracker.runner.user import current_user
from tracker.store.home import Home
from tracker.store.mlflow_logs import StudyLog
from tracker.store.mlflow_store import MlflowStore, empty_database
from tracker.store.tags import shared_tags
from tracker.study.document import COMMAND_MARK, command_experiment
from tracker.training.ending import write_dropped
from tracker.training.mlflow_sources import is_server


@dataclass(frozen=True, slots=True)
class Places:
    """Where a study is stored: the home folder, and the Optuna database if it is elsewhere."""

    home: Home
    storage: str | None = None

    @property
    def optuna_storage(self) -> str:
        """The Optuna database's URL."""
        return self.storage or self.home.optuna_storage


@dataclass(frozen=True, slots=True)
class Session:
    """A study whose lock is held: its plan, its folder, its log and accounts."""

    plan: StudyPlan
    folder: StudyFolder
    log: StudyLog
    books: Bookkeeper
    grounds: Grounds
    observer: Observer

    @property
    def name(self) -> str:
        """The study's name."""
        return self.plan.spec.name

    def tag_study(self, tags: Mapping[str, str]) -> None:
        """Change tags of the study itself."""
        self.log.parent.tag(tags)
        notes = StudyNotes(self.folder.path)
        notes.save_tags({**notes.tags(), **tags})

    def drop(self, trial: int, attempt: int, why: str) -> None:
        """Record that a paused trial will not be resumed; ``attempt`` is the number of its last one."""
        write_dropped(self.folder.trials / str(trial) / f"{attempt}.jsonl", why)
        self.books.stop(f"#{trial}", why)

    def say_what_waits(self) -> None:
        """Say how what MLflow did not accept is delivered later."""
        name = shlex.quote(self.name)
        self.observer.notify(f"not everything is in MLflow yet: `tracker sync {name}` logs the rest")


def open_session(plan: StudyPlan, home: Home, folder: StudyFolder, log: StudyLog, observer: Observer) -> Session:
    """A session with empty accounts, of a study whose data are prepared. Raises StoreError."""
    card = folder.data_card()
    tags, notes = study_tags(plan, card), StudyNotes(folder.path)
    if not notes.tags():
        notes.save_tags({**tags, "mlflow.user": current_user()})
    books = Bookkeeper(
        plan.spec,
        log,
        card,
        tags=shared_tags(tags),
        folder=folder,
        tracking_uri=home.tracking_uri,
        warn=observer.notify,
    )
    grounds = Grounds(plan, folder.trials, home.cache, home.tracking_uri, card, _command_store(plan, home))
    return Session(plan, folder, log, books, grounds, observer)


def make_log(plan: StudyPlan, home: Home, store: MlflowStore, started_at: float, card: DataCard) -> StudyLog:
    """Create a study in MLflow. Raises StudyExistsError, StoreError."""
    name, tags = plan.spec.name, {**study_tags(plan, card), "mlflow.user": current_user()}
    log = store.create_study(name, tags, started_at, home.artifacts(name))
    _make_commands_experiment(plan, home, store)
    return log


def reopen_session(plan: StudyPlan, home: Home, folder: StudyFolder, observer: Observer) -> Session:
    """A session with empty accounts, of a study that was started before; this does not mark it as running.

    What was deleted or renamed in MLflow is restored. Raises RequestError, StoreError.
    """
    with home.databases_being_made():
        store = MlflowStore(home.tracking_uri)
        name, tags = plan.spec.name, {**study_tags(plan, folder.data_card()), "tracker.state": "stopped"}
        tags["mlflow.user"] = current_user()  # of a parent run that is created again
        log = store.reopen_study(name, tags, folder.started_at, home.artifacts(name), observer.notify)
        _make_commands_experiment(plan, home, store)
    return open_session(plan, home, folder, log, observer)


def _make_commands_experiment(plan: StudyPlan, home: Home, store: MlflowStore) -> None:
    if plan.spec.workload.startswith(COMMAND_MARK) and is_server(home.tracking_uri):
        own = command_experiment(plan.spec.name)
        store.make_experiment(own, home.artifacts(own))


def _command_store(plan: StudyPlan, home: Home) -> Path | None:
    """The template of a command's MLflow database, where it uses the same MLflow."""
    reference = plan.spec.workload
    if not reference.startswith(COMMAND_MARK) or is_server(home.tracking_uri):
        return None
    from tracker.training.command_workload import CommandWorkload  # it imports torch

    if not CommandWorkload(reference).takes_our_python:
        return None
    with home.databases_being_made():
        return empty_database(home.cache)
