"""Studies and runs in MLflow, by explicit run ids, in batches.

Only this file and those beside it whose names begin with mlflow_ import MLflow.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import re
import secrets
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

# Read when MLflow is imported.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A client that retries by itself makes a second run where an answer is lost, and sleeps as long as a server says.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import numpy as np
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException

from tracker.databases.addresses import first_line, shown_url
from tracker.databases.connections import is_closed_connection, making_tables, reason, wait_for_locks
from tracker.databases.sqlite_url import sqlite_file, sqlite_url
from tracker.errors import StoreError, StudyExistsError, StudyNotFoundError, TrackerError
from tracker.store.columns import Details, History, ParentRun, Positions, RunIndex, run_key
from tracker.store.entries import Writer
from tracker.store.found import FoundExperiment
from tracker.store.mlflow_database import INSERT, DatabaseWriter, move_runs
from tracker.store.mlflow_entries import ClientWriter
from tracker.store.mlflow_logs import StudyLog
from tracker.store.mlflow_places import find_experiments, put_back
from tracker.store.run_logs import LoggedRun, Outbox, RunLog
from tracker.store.schema import schema_problem
from tracker.store.sql_reader import SqlReader

logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are raised as well, and shown in one line


_OF_TAGS = ("run_uuid", "key", "value")
_REQUESTS_AT_ONCE = 8
"""Requests that a server gets at once: as many connections as MLflow's client keeps open are 10."""
_READS = 3
"""How often a read is tried, where the server closes the connection each time."""
Method = TypeVar("Method", bound=Callable[..., Any])


def _reading(read: Method) -> Method:
    """A method of MlflowStore that raises StoreError where its client raises anything.

    It reads again where the server closed the connection: a server closes one that is idle, and a client that sends
    in the same moment finds out by this error.
    """

    @functools.wraps(read)
    def reading(store: MlflowStore, *arguments: Any) -> Any:
        tried = 0
        while True:
            try:
                return read(store, *arguments)
            except TrackerError:
                raise
            except Exception as error:
                tried += 1
                if tried == _READS or not is_closed_connection(error):
                    why = reason(error, store._uri)
                    raise StoreError(f"MLflow store '{store._shown}' cannot be read: {why}") from error

    return cast(Method, reading)


class MlflowStore:
    """One tracking store: a database URL or a server's address. Raises StoreError where it cannot be used."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri, self._shown = tracking_uri, shown_url(tracking_uri)
        self._read: dict[str, Run] = {}
        self._histories: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
        """What was read of the metrics of the runs in _read, by the run's id and the metric."""
        if problem := schema_problem(tracking_uri):
            raise StoreError(problem)
        try:
            if (file := sqlite_file(tracking_uri)) is not None and not file.exists():
                with _made_whole(file) as partial:
                    MlflowClient(sqlite_url(partial))
            with making_tables(tracking_uri):
                self._client = MlflowClient(tracking_uri)
            if self._engine is not None:
                wait_for_locks(self._engine)
            self._client.search_experiments(max_results=1)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' cannot be used: {reason(error, tracking_uri)}") from error
        if file is not None:
            _write_ahead(file)

    @_reading
    def find_study(self, name: str) -> list[FoundExperiment]:
        """Where a study of this name is, or was: as SqlReader.find_study, but by its parent run alone."""
        if self._engine is None:
            return find_experiments(self._client, name)
        return [each for each in SqlReader(self._uri).find_study(name) if each.name == name or each.parent]

    def create_study(self, name: str, tags: Mapping[str, str], started_at: float, artifacts: Path) -> StudyLog:
        """A new experiment with its parent run. Raises StudyExistsError, StoreError.

        An experiment of this name without any run that cost something, which a study left that was killed as it was
        being made, is taken over. Files of its runs are kept in ``artifacts``; a server chooses a place of its own.
        """
        location = None if self._uri.startswith("http") else artifacts.as_uri()
        try:
            leftover = next((each for each in self.find_study(name) if each.name == name), None)
            if leftover is None:
                experiment_id = self._client.create_experiment(name, artifact_location=location)
            elif leftover.runs or leftover.foreign:
                raise StudyExistsError(f"MLflow has an experiment '{name}' already; choose another name")
            else:
                experiment_id = put_back(self._client, name, [leftover], lambda _: None)
        except MlflowException as error:
            if error.error_code == "RESOURCE_ALREADY_EXISTS":
                raise StudyExistsError(f"MLflow has an experiment '{name}' already; choose another name") from None
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {first_line(error)}") from error
        parent = leftover.parent if leftover else ""
        return self._log(experiment_id, name, {**tags, "tracker.role": "study"}, started_at, parent)

    def stage_study(self, name: str, started_at: float, artifacts: Path) -> StudyLog:
        """The experiment and the parent run of a study that comes from elsewhere, which nobody sees as a study yet.

        ``publish_study`` makes it one, ``discard_study`` takes it away. Raises StoreError.
        """
        location = None if self._uri.startswith("http") else artifacts.as_uri()
        staged = f".{name}.{secrets.token_hex(4)}"
        try:
            experiment_id = self._client.create_experiment(staged, artifact_location=location)
        except MlflowException as error:
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {first_line(error)}") from error
        return self._log(experiment_id, name, {}, started_at)

    def stage_runs(self, study: StudyLog, artifacts: Path) -> StudyLog:
        """Where to write runs that come from elsewhere and are to join a study: nobody sees them there yet.

        ``publish_runs`` adds them to it, ``discard_runs`` takes them away. On a server they are seen at once. Raises
        StoreError.
        """
        if self._engine is None:
            self.discard_runs(study, study)  # what an import left that was killed
            return study
        try:
            name = f".{study.name}.{secrets.token_hex(4)}"
            experiment_id = self._client.create_experiment(name, artifact_location=artifacts.as_uri())
        except MlflowException as error:
            raise StoreError(f"MLflow store '{self._shown}' refused the runs: {first_line(error)}") from error
        return StudyLog(self._client, experiment_id, study.name, study.parent, self.logged_runs)

    def publish_runs(self, staged: StudyLog, study: StudyLog, replaced: Sequence[str]) -> None:
        """Add staged runs to their study, in place of the runs with the ids ``replaced``. Raises StoreError."""
        staged.flush()
        try:
            if staged.experiment_id == study.experiment_id:
                for run_id in replaced:
                    self._client.delete_run(run_id)
                return
            move_runs(self._engine, staged.experiment_id, study.experiment_id, replaced)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' refused the runs: {first_line(error)}") from error
        self.discard_study(staged)

    def discard_runs(self, staged: StudyLog, study: StudyLog) -> None:
        """Take staged runs away; from a server only one that is not complete. Raises StoreError."""
        if staged.experiment_id != study.experiment_id:
            self.discard_study(staged)
            return
        try:
            for run in self._all_runs(study.experiment_id):
                if run.info.status == "RUNNING" and run.info.run_id != study.parent.run_id:
                    self._client.delete_run(run.info.run_id)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' kept the runs: {first_line(error)}") from error

    @property
    def _engine(self) -> Any:
        """Of a database; None of a server."""
        return getattr(self._client._tracking_client.store, "engine", None)

    @cached_property
    def _writer(self) -> Writer:
        """Writes many runs at once into a database; a server takes them one by one."""
        mergeable = self._engine is not None and self._engine.dialect.name in INSERT
        return DatabaseWriter(self._client, self._engine) if mergeable else ClientWriter(self._client)

    def _log(
        self, experiment_id: str, name: str, tags: Mapping[str, str], started_at: float, run_id: str = ""
    ) -> StudyLog:
        """A study's log with its parent run, which is made where ``run_id`` is ""."""
        parent = RunLog(Outbox(self._writer, name), experiment_id, name, tags, started_at, run_id=run_id)
        parent.outbox.flush()
        return StudyLog(self._client, experiment_id, name, parent, self.logged_runs)

    def publish_study(self, log: StudyLog, tags: Mapping[str, str]) -> None:
        """Give a staged study its tags and its name. Raises StudyExistsError where that is taken, StoreError."""
        log.parent.tag({**tags, "tracker.role": "study"})
        log.flush()
        try:
            self._client.rename_experiment(log.experiment_id, log.name)
        except Exception as error:  # MLflow lets the database's own error through
            if self._client.get_experiment_by_name(log.name) is not None:
                raise StudyExistsError(f"MLflow has an experiment '{log.name}' already; choose another name") from None
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {first_line(error)}") from error

    def discard_study(self, log: StudyLog) -> None:
        """Take a study away with all its runs; from a server, which only marks them, as deleted. Raises StoreError."""
        try:
            self._discard(log.experiment_id)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' kept the study: {first_line(error)}") from error

    def _discard(self, experiment_id: str) -> None:
        self._client.delete_experiment(experiment_id)
        store: Any = self._client._tracking_client.store
        if hasattr(store, "_hard_delete_experiment"):  # what `mlflow gc` calls
            for run in self._client.search_runs([experiment_id], "", ViewType.ALL, 50_000):
                store._hard_delete_run(run.info.run_id)
            store._hard_delete_experiment(experiment_id)

    def delete_runs(self, run_ids: Sequence[str]) -> None:
        """Mark runs as deleted, as MLflow's own page does: they can be restored there. Raises StoreError."""
        try:
            for run_id in run_ids:
                self._client.delete_run(run_id)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' kept a run: {first_line(error)}") from error

    def discard_leftovers(self, study: str) -> None:
        """Take away what imports of a study left that were killed. Only while no other one runs. Raises StoreError."""
        staged = re.compile(rf"\.{re.escape(study)}\.[0-9a-f]{{8}}")
        try:
            for each in self._client.search_experiments(max_results=50_000):
                if staged.fullmatch(each.name):
                    self._discard(each.experiment_id)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' kept the study: {first_line(error)}") from error

    def reopen_study(
        self, name: str, tags: Mapping[str, str], started_at: float, artifacts: Path, notify: Callable[[str], None]
    ) -> StudyLog:
        """A study's experiment and parent run: restored if they exist, else created with tags.

        ``tags`` are for a new parent run. ``notify`` receives what was missing. Raises RequestError
        where the name is taken by something else, StoreError.
        """
        try:
            experiment_id = put_back(self._client, name, self.find_study(name), notify)
        except MlflowException as error:
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {first_line(error)}") from error
        if not experiment_id:
            notify(f"MLflow store '{self._shown}' has no study '{name}': its runs are logged again from its folder")
            return self.create_study(name, tags, started_at, artifacts)
        try:
            return self.open_study(name)
        except StudyNotFoundError:
            notify("the study's parent run is gone from MLflow: it is created again")
            return self._log(experiment_id, name, {**tags, "tracker.role": "study"}, started_at)

    @_reading
    def experiment_id(self, study: str) -> str:
        """The id of the experiment of a study's name. Raises StudyNotFoundError."""
        return str(self._experiment(study).experiment_id)

    @_reading
    def texts_of(self, study: str, tag: str) -> dict[str, str]:
        """As SqlReader.texts_of, but not of runs whose import did not come to its end."""
        runs = self._all_runs(self._experiment(study).experiment_id)
        whole = [run for run in runs if run.info.status != "RUNNING"]
        return {run.info.run_id: run.data.tags[tag] for run in whole if tag in run.data.tags}

    def make_experiment(self, name: str, artifacts: Path) -> None:
        """An experiment for what commands log by themselves, unless it is there already. Raises StoreError.

        Two scripts that find none of this name at once both make it, and one of them fails: so it is made before.
        """
        location = None if self._uri.startswith("http") else artifacts.as_uri()
        try:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                self._client.create_experiment(name, artifact_location=location)
            elif found.lifecycle_stage != "active":
                self._client.restore_experiment(found.experiment_id)
        except MlflowException as error:
            words = f"MLflow store '{self._shown}' refused experiment '{name}': {first_line(error)}"
            raise StoreError(words) from error

    def open_study(self, name: str) -> StudyLog:
        """An experiment that was made by ``create_study``. Raises StudyNotFoundError."""
        experiment = self._experiment(name)
        runs = self._client.search_runs(
            [experiment.experiment_id], "tags.`tracker.role` = 'study'", ViewType.ACTIVE_ONLY, max_results=1
        )
        if not runs:
            raise StudyNotFoundError(f"MLflow experiment '{name}' was not made by this tracker")
        return self._log(str(experiment.experiment_id), name, {}, 0.0, runs[0].info.run_id)

    def logged_runs(self, log: StudyLog) -> dict[str, LoggedRun]:
        """The runs of a study that are there already, by their names. Raises StoreError."""
        try:
            found = self._logged_in_database(log) if self._engine is not None else self._logged_on_server(log)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' cannot be read: {first_line(error)}") from error
        return {name: run for name, run in found if run.run_id != log.parent.run_id}

    def _logged_in_database(self, log: StudyLog) -> list[tuple[str, LoggedRun]]:
        of_runs = ("run_uuid", "name", "status", "end_time", "experiment_id", "lifecycle_stage")
        runs, tags = sa.table("runs", *map(sa.column, of_runs)), sa.table("tags", *map(sa.column, _OF_TAGS))
        chosen = (runs.c.experiment_id == int(log.experiment_id)) & (runs.c.lifecycle_stage == "active")
        tagged = sa.select(tags).join(runs, runs.c.run_uuid == tags.c.run_uuid)
        found: dict[str, dict[str, str]] = defaultdict(dict)
        with self._engine.connect() as connection:
            for run_id, name, text in connection.execute(tagged.where(chosen & tags.c.key.in_(LoggedRun.TAGS))):
                found[run_id][name] = text
            rows = connection.execute(
                sa.select(runs.c.name, runs.c.run_uuid, runs.c.status, runs.c.end_time).where(chosen)
            )
            return [(name, LoggedRun(run_id, status, end, found[run_id])) for name, run_id, status, end in rows]

    def _logged_on_server(self, log: StudyLog) -> list[tuple[str, LoggedRun]]:
        runs = self._all_runs(log.experiment_id)
        infos = [(run.info, {name: run.data.tags.get(name, "") for name in LoggedRun.TAGS}) for run in runs]
        return [(info.run_name, LoggedRun(info.run_id, info.status, info.end_time, tags)) for info, tags in infos]

    @_reading
    def parents(self) -> list[ParentRun]:
        """The parent run of every study, newest first: as SqlReader.parents."""
        found = []
        for experiment in self._client.search_experiments():
            runs = self._client.search_runs(
                [experiment.experiment_id], "tags.`tracker.role` = 'study'", ViewType.ACTIVE_ONLY, max_results=1
            )
            found += [_parent(experiment.name, run) for run in runs]
        return sorted(found, key=lambda parent: -parent.started_at_ms)

    @_reading
    def index(self, study: str, earlier: RunIndex | None = None) -> RunIndex:  # noqa: ARG002 - the server tells all
        """The runs of a study, as SqlReader.index. Raises StudyNotFoundError."""
        runs = self._all_runs(self._experiment(study).experiment_id)
        parent = next((_parent(study, run) for run in runs if run.data.tags.get("tracker.role") == "study"), None)
        if parent is None:
            raise StudyNotFoundError(f"MLflow experiment '{study}' was not made by this tracker")
        own = [run for run in runs if run.info.run_id != parent.run_id]
        own.sort(key=lambda run: (run.info.start_time or 0, len(run.info.run_name or ""), run.info.run_name or ""))
        self._read, self._histories = {run.info.run_id: run for run in own}, {}
        return RunIndex(
            parent,
            np.array([run.info.run_id for run in own], dtype=object),
            np.array([run.info.start_time or 0 for run in own], dtype=np.int64),
            np.array([_key(run) for run in own], dtype=object),
        )

    def details(self, index: RunIndex, chosen: Positions) -> Details:
        """As SqlReader.details; the server sent them with the index."""
        details = Details()
        for at in map(int, chosen):
            data = self._read[index.run_ids[at]].data
            tags = {
                name: text
                for name, text in data.tags.items()
                if name.startswith(("tracker.", "mlflow.runName", "mlflow.user"))
            }
            details.tags.add([at] * len(tags), list(tags), list(tags.values()))
            details.params.add([at] * len(data.params), list(data.params), list(data.params.values()))
            details.finals.add([at] * len(data.metrics), list(data.metrics), [*map(float, data.metrics.values())])
        return details

    @_reading
    def history(self, index: RunIndex, metric: str, chosen: Positions) -> History:
        """As SqlReader.history: one request a run that has the metric, several at once; none for what was read before
        of the same index.
        """
        keys = {at: (str(index.run_ids[at]), metric) for at in map(int, chosen)}
        wanted = {at: key for at, key in keys.items() if metric in self._read[key[0]].data.metrics}
        asked = [key for key in wanted.values() if key not in self._histories]
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as requests:
            self._histories.update(zip(asked, requests.map(self._values, asked), strict=True))
        found = [(at, *value) for at, key in wanted.items() for value in self._histories[key]]
        runs, steps, times, values = zip(*found, strict=True) if found else ((), (), (), ())
        at_steps = np.array(runs, np.int64), np.array(steps, np.int64), np.array(times, np.int64)
        return History(*at_steps, np.array(values, np.float64))

    @_reading
    def metrics_beside(self, index: RunIndex, metric: str, chosen: Positions) -> set[str]:
        """As SqlReader.metrics_beside."""
        steps = set(self.history(index, metric, chosen).places())
        names = {name for at in map(int, chosen) for name in self._read[index.run_ids[at]].data.metrics}
        return {name for name in names if not steps.isdisjoint(self.history(index, name, chosen).places())}

    def _values(self, key: tuple[str, str]) -> list[tuple[int, int, float]]:
        """The step, milliseconds since 1970 and value of each entry of a run's metric that is a number."""
        entries = self._client.get_metric_history(*key)
        return [(each.step, each.timestamp, each.value) for each in entries if not math.isnan(each.value)]

    def _all_runs(self, experiment_id: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([experiment_id], "", ViewType.ACTIVE_ONLY, 1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _experiment(self, name: str) -> Experiment:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage != "active":
            raise StudyNotFoundError(f"MLflow store '{self._shown}' has no study '{name}'")
        return experiment


def empty_database(folder: Path) -> Path:
    """An MLflow database of the installed version with one experiment and nothing in it, made once below ``folder``.

    A command that runs in this Python gets a copy: it need not wait for MLflow to make one. Raises StoreError.
    """
    path = folder / f"mlflow-{version('mlflow')}.db"
    if path.exists():
        return path
    try:
        with _made_whole(path) as partial:
            MlflowClient(sqlite_url(partial)).create_experiment("to be named", artifact_location="file:///nowhere")
            with contextlib.closing(sqlite3.connect(partial)) as database:
                database.execute("PRAGMA page_size=1024")  # most of its hundred tables and indices stay empty
                database.execute("VACUUM")
    except Exception as error:
        raise StoreError(f"an MLflow database cannot be made in '{folder}': {first_line(error)}") from error
    return path


@contextlib.contextmanager
def _made_whole(path: Path) -> Iterator[Path]:
    """Where to make a database that is to be at ``path``: it is moved there once it is whole.

    MLflow cannot complete every one that it was making when it was killed.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as made:
        partial = Path(made) / path.name
        yield partial
        _write_ahead(partial)
        partial.replace(path)


def _parent(study: str, run: Run) -> ParentRun:
    return ParentRun(study, run.info.run_id, run.info.start_time or 0, run.data.tags)


def _key(run: Run) -> str:
    info = run.info
    state = run.data.tags.get("tracker.state") if info.status == "SCHEDULED" else None
    return run_key(info.run_id, info.start_time, info.status, info.end_time, state, info.run_name)


def _write_ahead(database: Path) -> None:
    """Let readers in while a run is being logged, and halve the cost of a commit: SQLite's WAL mode."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
