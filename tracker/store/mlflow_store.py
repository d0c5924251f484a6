"""Studies and runs in MLflow, by explicit run ids, in batches.

Only this file and those beside it whose names begin with mlflow_ import MLflow.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import os
import re
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

# Read when MLflow is imported.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A client that retries by itself makes a second run where an answer is lost, and sleeps as long as a server says.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException

from tracker.databases.addresses import shown_url
from tracker.databases.connections import reason, wait_for_locks
from tracker.databases.sqlite_url import sqlite_file, sqlite_url
from tracker.errors import RefusedError, StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import DataCard, Settings, TrialState
from tracker.store.columns import Details, History, ParentRun, Positions, RunIndex, run_key
from tracker.store.found import FoundExperiment
from tracker.store.mlflow_bulk import BulkClient, move_runs
from tracker.store.mlflow_places import find_experiments, put_back
from tracker.store.names import logged_name, name_tags
from tracker.store.schema import schema_problem
from tracker.store.setting_texts import setting_text
from tracker.store.tags import RUN_STATUS

logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are raised as well, and shown in one line

_BATCH_TOTAL, _BATCH_TEXTS = 1000, 100  # MLflow's limits a call: in all, and of params and of tags
_TAG_CHARACTERS, _PARAM_CHARACTERS = 5000, 6000
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class MlflowStore:
    """One tracking store: a database URL or a server's address. Raises StoreError where it cannot be used."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri, self._shown = tracking_uri, shown_url(tracking_uri)
        self._read: dict[str, Run] = {}
        if problem := schema_problem(tracking_uri):
            raise StoreError(problem)
        try:
            self._client = MlflowClient(tracking_uri)
            if self._engine is not None:
                wait_for_locks(self._engine)
            self._client.search_experiments(max_results=1)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' cannot be used: {reason(error, tracking_uri)}") from error
        if (file := sqlite_file(tracking_uri)) is not None:
            _write_ahead(file)

    def find_study(self, name: str) -> list[FoundExperiment]:
        """Where a study of this name is, or was: as SqlReader.find_study, but by its parent run alone."""
        return find_experiments(self._client, name)

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
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {_first_line(error)}") from error
        return self._with_parent(experiment_id, name, tags, started_at, leftover.parent if leftover else "")

    def stage_study(self, name: str, started_at: float, artifacts: Path) -> StudyLog:
        """The experiment and the parent run of a study that comes from elsewhere, which nobody sees as a study yet.

        ``publish_study`` makes it one, ``discard_study`` takes it away. Raises StoreError.
        """
        location = None if self._uri.startswith("http") else artifacts.as_uri()
        staged = f".{name}.{secrets.token_hex(4)}"
        try:
            experiment_id = self._client.create_experiment(staged, artifact_location=location)
        except MlflowException as error:
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {_first_line(error)}") from error
        parent = RunLog(self._client, experiment_id, name, {}, started_at)
        parent.flush()
        return StudyLog(self._client, experiment_id, name, parent, self._bulk)

    def stage_runs(self, study: StudyLog, artifacts: Path) -> StudyLog:
        """Where to write runs that come from elsewhere and are to join a study: nobody sees them there yet.

        ``publish_runs`` adds them to it, ``discard_runs`` takes them away. On a server they are seen at once. Raises
        StoreError.
        """
        if self._bulk is None:
            staged = StudyLog(self._client, study.experiment_id, study.name, study.parent)
            self.discard_runs(staged, study)  # what an import left that was killed
            return staged
        try:
            name = f".{study.name}.{secrets.token_hex(4)}"
            experiment_id = self._client.create_experiment(name, artifact_location=artifacts.as_uri())
        except MlflowException as error:
            raise StoreError(f"MLflow store '{self._shown}' refused the runs: {_first_line(error)}") from error
        return StudyLog(self._client, experiment_id, study.name, study.parent, self._bulk)

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
            raise StoreError(f"MLflow store '{self._shown}' refused the runs: {_first_line(error)}") from error
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
            raise StoreError(f"MLflow store '{self._shown}' kept the runs: {_first_line(error)}") from error

    @property
    def _engine(self) -> Any:
        """Of a database; None of a server."""
        return getattr(self._client._tracking_client.store, "engine", None)

    @cached_property
    def _bulk(self) -> BulkClient | None:
        """Writes many runs at once into a database; a server takes them one by one."""
        return None if self._engine is None else BulkClient(self._client, self._engine)

    def publish_study(self, log: StudyLog, tags: Mapping[str, str]) -> None:
        """Give a staged study its tags and its name. Raises StudyExistsError where that is taken, StoreError."""
        log.flush()
        log.parent.tag({**tags, "tracker.role": "study"})
        log.parent.flush()
        try:
            self._client.rename_experiment(log.experiment_id, log.name)
        except Exception as error:  # MLflow lets the database's own error through
            if self._client.get_experiment_by_name(log.name) is not None:
                raise StudyExistsError(f"MLflow has an experiment '{log.name}' already; choose another name") from None
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {_first_line(error)}") from error

    def discard_study(self, log: StudyLog) -> None:
        """Take a study away with all its runs; from a server, which only marks them, as deleted. Raises StoreError."""
        try:
            self._discard(log.experiment_id)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' kept the study: {_first_line(error)}") from error

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
            raise StoreError(f"MLflow store '{self._shown}' kept a run: {_first_line(error)}") from error

    def discard_leftovers(self, study: str) -> None:
        """Take away what imports of a study left that were killed. Only while no other one runs. Raises StoreError."""
        staged = re.compile(rf"\.{re.escape(study)}\.[0-9a-f]{{8}}")
        try:
            for each in self._client.search_experiments(max_results=50_000):
                if staged.fullmatch(each.name):
                    self._discard(each.experiment_id)
        except Exception as error:
            raise StoreError(f"MLflow store '{self._shown}' kept the study: {_first_line(error)}") from error

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
            raise StoreError(f"MLflow store '{self._shown}' refused the study: {_first_line(error)}") from error
        if not experiment_id:
            notify(f"MLflow store '{self._shown}' has no study '{name}': its runs are logged again from its folder")
            return self.create_study(name, tags, started_at, artifacts)
        try:
            return self.open_study(name)
        except StudyNotFoundError:
            notify("the study's parent run is gone from MLflow: it is created again")
            return self._with_parent(experiment_id, name, tags, started_at)

    def _with_parent(
        self, experiment_id: str, name: str, tags: Mapping[str, str], started_at: float, run_id: str = ""
    ) -> StudyLog:
        """``run_id`` is that of the parent run, "" for a new one."""
        role = {**tags, "tracker.role": "study"}
        parent = RunLog(self._client, experiment_id, name, role, started_at, run_id=run_id)
        parent.flush()
        return StudyLog(self._client, experiment_id, name, parent)

    def experiment_id(self, study: str) -> str:
        """The id of the experiment of a study's name. Raises StudyNotFoundError."""
        return str(self._experiment(study).experiment_id)

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
            words = f"MLflow store '{self._shown}' refused experiment '{name}': {_first_line(error)}"
            raise StoreError(words) from error

    def open_study(self, name: str) -> StudyLog:
        """An experiment that was made by ``create_study``. Raises StudyNotFoundError."""
        experiment = self._experiment(name)
        runs = self._client.search_runs(
            [experiment.experiment_id], "tags.`tracker.role` = 'study'", ViewType.ACTIVE_ONLY, max_results=1
        )
        if not runs:
            raise StudyNotFoundError(f"MLflow experiment '{name}' was not made by this tracker")
        parent = RunLog(self._client, experiment.experiment_id, name, {}, 0.0, run_id=runs[0].info.run_id)
        return StudyLog(self._client, experiment.experiment_id, name, parent)

    def parents(self) -> list[ParentRun]:
        """The parent run of every study, newest first: as SqlReader.parents."""
        found = []
        for experiment in self._client.search_experiments():
            runs = self._client.search_runs(
                [experiment.experiment_id], "tags.`tracker.role` = 'study'", ViewType.ACTIVE_ONLY, max_results=1
            )
            found += [_parent(experiment.name, run) for run in runs]
        return sorted(found, key=lambda parent: -parent.started_at_ms)

    def index(self, study: str, earlier: RunIndex | None = None) -> RunIndex:  # noqa: ARG002 - the server tells all
        """The runs of a study, as SqlReader.index. Raises StudyNotFoundError."""
        runs = self._all_runs(self._experiment(study).experiment_id)
        parent = next((_parent(study, run) for run in runs if run.data.tags.get("tracker.role") == "study"), None)
        if parent is None:
            raise StudyNotFoundError(f"MLflow experiment '{study}' was not made by this tracker")
        own = [run for run in runs if run.info.run_id != parent.run_id]
        own.sort(key=lambda run: (run.info.start_time or 0, len(run.info.run_name or ""), run.info.run_name or ""))
        self._read = {run.info.run_id: run for run in own}
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

    def history(self, index: RunIndex, metric: str, chosen: Positions) -> History:
        """As SqlReader.history: one request a run that has the metric."""
        found = [
            (at, each.step, each.timestamp, each.value)
            for at in map(int, chosen)
            if metric in self._read[index.run_ids[at]].data.metrics
            for each in self._client.get_metric_history(index.run_ids[at], metric)
            if not math.isnan(each.value)
        ]
        runs, steps, times, values = zip(*found, strict=True) if found else ((), (), (), ())
        at_steps = np.array(runs, np.int64), np.array(steps, np.int64), np.array(times, np.int64)
        return History(*at_steps, np.array(values, np.float64))

    def metrics_beside(self, index: RunIndex, metric: str, chosen: Positions) -> set[str]:
        """As SqlReader.metrics_beside: one request for each metric of each run."""
        steps = set(self.history(index, metric, chosen).places())
        names = {name for at in map(int, chosen) for name in self._read[index.run_ids[at]].data.metrics}
        return {name for name in names if not steps.isdisjoint(self.history(index, name, chosen).places())}

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
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=folder) as made:
            partial = Path(made) / path.name
            MlflowClient(sqlite_url(partial)).create_experiment("to be named", artifact_location="file:///nowhere")
            with contextlib.closing(sqlite3.connect(partial)) as database:
                database.execute("PRAGMA page_size=1024")  # most of its hundred tables and indices stay empty
                database.execute("VACUUM")
            _write_ahead(partial)
            partial.replace(path)
    except Exception as error:
        raise StoreError(f"an MLflow database cannot be made in '{folder}': {_first_line(error)}") from error
    return path


class StudyLog:
    """A study's place in MLflow: its experiment, and the parent run that its trials hang under."""

    def __init__(
        self, client: MlflowClient, experiment_id: str, name: str, parent: RunLog, bulk: BulkClient | None = None
    ) -> None:
        self._client = client
        self._bulk = bulk  # writes the runs in place of the client
        self.experiment_id = experiment_id
        self.name = name
        self.parent = parent
        self._run_ids: dict[str, str] | None = None

    def flush(self) -> None:
        """Write what ended runs have not written yet. Raises StoreError."""
        if self._bulk is not None:
            try:
                self._bulk.flush()
            except Exception as error:
                raise StoreError(f"MLflow did not accept runs of '{self.name}': {_first_line(error)}") from error

    def run(
        self, label: str, settings: Settings, tags: Mapping[str, str], started_at: float, *, seen_before: bool = False
    ) -> RunLog:
        """A run under the study's parent run; made in MLflow at its first flush.

        ``seen_before``: an earlier coordinator may have created it; then that one is reused.
        """
        nested = {**tags, "mlflow.parentRunId": self.parent.run_id}
        run_id = self._run_id(label) if seen_before else ""
        client = cast(MlflowClient, self._bulk or self._client)
        return RunLog(client, self.experiment_id, label, nested, started_at, settings, run_id)

    def _run_id(self, label: str) -> str:
        """The id of the run of this label, "" where there is none."""
        if self._run_ids is None:
            runs = self._client.search_runs([self.experiment_id], max_results=50_000)
            self._run_ids = {run.info.run_name: run.info.run_id for run in runs}
        return self._run_ids.get(label, "")


class RunLog:
    """The log of one run: entries are buffered until a flush has written them to MLflow.

    MLflow may be down for a while: a flush that fails keeps everything for the next one.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        label: str,
        tags: Mapping[str, str],
        started_at: float,
        settings: Settings | None = None,
        run_id: str = "",
    ) -> None:
        self._client = client
        self.experiment_id = experiment_id
        self._label = label
        self._started_at_ms = int(started_at * 1000)
        self._params = [
            Param(logged_name(name), setting_text(value)[:_PARAM_CHARACTERS])
            for name, value in (settings or {}).items()
        ]
        self._names: set[str] = set()
        self._tags: dict[str, str] = {}
        self.tag({**tags, **name_tags(settings or {})})
        self._metrics: list[Metric] = []
        self._data: DataCard | None = None
        self._status: tuple[str, int | None] | None = None
        self.run_id = run_id

    def add(self, values: Mapping[str, float], *, step: int, timestamp: float) -> None:
        """Metrics of one step. The timestamp is the event's own, so that a replay changes nothing."""
        if new := values.keys() - self._names:
            self._names |= new
            self.tag(name_tags(new))
        time_ms = int(timestamp * 1000)
        self._metrics += [Metric(logged_name(name), value, time_ms, step) for name, value in values.items()]

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        self._tags |= {name: value[:_TAG_CHARACTERS] for name, value in tags.items()}

    def input(self, card: DataCard) -> None:
        """Name the data set that the run used."""
        self._data = card

    def resume(self) -> None:
        """Mark an ended run as running again."""
        self._status = (RunStatus.to_string(RunStatus.RUNNING), None)

    def end(self, state: TrialState, ended_at: float) -> None:
        """The run has ended."""
        self._status = (RUN_STATUS[state], int(ended_at * 1000))

    def flush(self) -> None:
        """Write what is not written yet.

        Raises StoreError, and keeps it, where MLflow does not take it; RefusedError where it would not take it later.
        """
        try:
            self._write()
        except MlflowException as error:
            kind = RefusedError if error.error_code in _REFUSALS else StoreError
            raise kind(f"MLflow did not accept run '{self._label}': {_first_line(error)}") from error
        except Exception as error:
            raise StoreError(f"MLflow did not accept run '{self._label}': {_first_line(error)}") from error

    def _write(self) -> None:
        if not self.run_id:
            tags, self._tags = self._tags, {}
            try:
                run = self._client.create_run(
                    self.experiment_id, start_time=self._started_at_ms, tags=tags, run_name=self._label
                )
            except Exception:
                self._tags = tags | self._tags
                raise
            self.run_id = run.info.run_id
        while self._metrics or self._params or self._tags:
            texts = list(itertools.islice(self._tags.items(), _BATCH_TEXTS))
            params = self._params[:_BATCH_TEXTS]
            metrics = self._metrics[: _BATCH_TOTAL - len(texts) - len(params)]
            self._client.log_batch(self.run_id, metrics, params, [RunTag(*text) for text in texts])
            self._metrics, self._params = self._metrics[len(metrics) :], self._params[len(params) :]
            self._tags = dict(itertools.islice(self._tags.items(), len(texts), None))
        if self._data is not None:
            self._client.log_inputs(self.run_id, datasets=[_dataset(self._data)])
            self._data = None
        if self._status is not None:
            status, ended_at_ms = self._status
            if ended_at_ms is None:
                self._client.update_run(self.run_id, status=status)
            else:
                self._client.set_terminated(self.run_id, status, end_time=ended_at_ms)
            self._status = None

    def keep_files(self, folder: Path) -> None:
        """Copy a folder's files to the run's artifacts. Raises StoreError."""
        try:
            self._client.log_artifacts(self.run_id, str(folder), artifact_path="model")
        except Exception as error:
            raise StoreError(f"MLflow did not keep the files of run '{self._label}': {_first_line(error)}") from error


def _dataset(card: DataCard) -> DatasetInput:
    profile = json.dumps({"rows": dict(card.rows), "classes": card.classes})
    dataset = Dataset(card.name, card.fingerprint[:36], "local", json.dumps({"name": card.name}), profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


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


def _first_line(error: Exception) -> str:
    return shown_url((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]
