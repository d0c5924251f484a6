"""Runs of an MLflow experiment that this tracker did not log, read as they are; nothing is written to their store."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from tracker.databases.addresses import shown_url
from tracker.databases.sqlite_url import SQLITE, sqlite_file, sqlite_url
from tracker.errors import RequestError, StoreError
from tracker.store.database import Database, many_rows, opened
from tracker.store.logged_runs import LoggedExperiment, LoggedRuns, heads_table, no_experiment, values_table
from tracker.store.mlruns_folder import open_folder

_AT_ONCE = 500


def store_url(place: str) -> str:
    """The URL of a store as MLflow takes it: a path is a database where it is a file, else a folder of files.

    Paths become absolute: the same store has the same URL wherever it is named. Raises RequestError where there is
    nothing at the path.
    """
    kind = re.match(r"^(file:|sqlite:///)?(?![a-z][a-z0-9+]*:)", place)
    if kind is None or (kind[1] == SQLITE and "?" in place):
        return place.rstrip("/")
    path = (sqlite_file(place) or Path(place)).expanduser()
    if kind[1] == "file:":
        path = Path(unquote(urlsplit(place).path))
    if path.is_file():
        return sqlite_url(path.resolve())
    if path.is_dir():
        return path.resolve().as_uri()
    raise RequestError(f"there is no MLflow store at '{place}': neither a database file, nor a folder such as mlruns")


def open_experiment(url: str, name: str) -> LoggedExperiment:
    """The experiment of this name or id. Raises RequestError, which names the nearest."""
    if re.match(r"^(sqlite|postgresql|mysql|mssql)[:+]", url):
        return _of_database(url, name)
    if url.startswith("file:"):
        return open_folder(Path(unquote(urlsplit(url).path)), name)
    return _ClientExperiment.find(url, name)


class _SqlExperiment:
    def __init__(self, url: str, experiment_id: int, name: str) -> None:
        self.name = name
        self._url = url
        self._place = {"experiment": experiment_id}

    def heads(self) -> pd.DataFrame:
        rows = self._rows(
            "select run_uuid, name, status, start_time, end_time, user_id, lifecycle_stage from runs"
            " where experiment_id = :experiment order by start_time, run_uuid"
        )
        return heads_table([(*row[:6], row[6] != "active") for row in rows])

    def parents(self) -> Mapping[str, str]:
        return dict(map(tuple, self._rows(f"select t.run_uuid, t.value {_OF_TAGS} and t.key = 'mlflow.parentRunId'")))

    def latest(self) -> Mapping[str, str]:
        query = f"select m.run_uuid, max(m.timestamp), sum(m.step), count(*) {_OF_LATEST} group by m.run_uuid"
        return {run: " ".join(map(str, found)) for run, *found in self._rows(query)}

    def metric_names(self) -> list[str]:
        return [row[0] for row in self._rows(f"select distinct m.key {_OF_LATEST}")]

    def having(self, metric: str) -> set[str]:
        return {row[0] for row in self._rows(f"select m.run_uuid {_OF_LATEST} and m.key = :metric", metric=metric)}

    def read(self, run_ids: Sequence[str]) -> LoggedRuns:
        texts: dict[str, dict[str, dict[str, str]]] = {"params": {}, "tags": {}}
        parts = []
        for begin in range(0, len(run_ids), _AT_ONCE):
            runs = {f"run{at}": run for at, run in enumerate(run_ids[begin : begin + _AT_ONCE])}
            chosen = f"run_uuid in ({', '.join(f':{name}' for name in runs)})"
            for table, found in texts.items():
                for run, key, value in self._rows(f"select run_uuid, key, value from {table} where {chosen}", **runs):
                    found.setdefault(run, {})[key] = value
            query = f"select run_uuid, key, step, timestamp, value, is_nan from metrics where {chosen}"
            parts.append(values_table(self._rows(query, **runs)))
        return LoggedRuns(**texts, values=pd.concat(parts, ignore_index=True) if parts else values_table([]))

    def _rows(self, query: str, **more: Any) -> list[Sequence[Any]]:
        with many_rows(), _opened(self._url) as database:
            return [row for rows in database.chunks(query, {**self._place, **more}) for row in rows]


_OF_TAGS = "from tags t join runs r on r.run_uuid = t.run_uuid where r.experiment_id = :experiment"
_OF_LATEST = "from latest_metrics m join runs r on r.run_uuid = m.run_uuid where r.experiment_id = :experiment"


def _of_database(url: str, name: str) -> _SqlExperiment:
    with _opened(url) as database:
        return _SqlExperiment(url, *_found(database, name, shown_url(url)))


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    try:
        with opened(url) as database:
            if database is None:
                raise RequestError(f"there is no MLflow database at '{shown_url(url)}'")
            yield database
    except StoreError as error:
        raise RequestError(str(error)) from None


def _found(database: Database, name: str, place: str) -> tuple[int, str]:
    found = database.rows("select experiment_id, name, lifecycle_stage from experiments", {})
    known = {title: int(number) for number, title, stage in found if stage == "active"}
    by_id = {str(number): title for title, number in known.items()}
    title = name if name in known else by_id.get(name)
    if title is None:
        raise RequestError(no_experiment(name, list(known), place))
    return known[title], title


class _ClientExperiment:
    """Through MLflow's client: of a server."""

    def __init__(self, client: Any, experiment: Any) -> None:
        self.name = str(experiment.name)
        self._client = client
        self._id = experiment.experiment_id
        self._runs: dict[str, Any] = {}

    @classmethod
    def find(cls, url: str, name: str) -> _ClientExperiment:
        from mlflow import MlflowClient  # seconds that a database does not need
        from mlflow.entities import ViewType
        from mlflow.exceptions import MlflowException

        try:
            client = MlflowClient(url)
            found = client.search_experiments(ViewType.ACTIVE_ONLY, max_results=50_000)
        except (MlflowException, OSError) as error:
            raise RequestError(f"MLflow store '{shown_url(url)}' cannot be read: {_first_line(error)}") from None
        chosen = [each for each in found if name in (each.name, each.experiment_id)]
        if not chosen:
            raise RequestError(no_experiment(name, [each.name for each in found], shown_url(url)))
        return cls(client, min(chosen, key=lambda each: each.name != name))

    def heads(self) -> pd.DataFrame:
        from mlflow.entities import ViewType

        token = None
        while True:
            page = _asked(self._client.search_runs, [self._id], "", ViewType.ALL, 1000, page_token=token)
            self._runs |= {run.info.run_id: run for run in page}
            token = page.token
            if not token:
                break
        rows = [
            (
                *(run.info.run_id, run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
                *(run.data.tags.get("mlflow.user", run.info.user_id), run.info.lifecycle_stage != "active"),
            )
            for run in self._runs.values()
        ]
        return heads_table(sorted(rows, key=lambda row: (row[3] or 0, row[0])))

    def parents(self) -> Mapping[str, str]:
        tags = {run_id: run.data.tags.get("mlflow.parentRunId", "") for run_id, run in self._runs.items()}
        return {run_id: parent for run_id, parent in tags.items() if parent}

    def latest(self) -> Mapping[str, str]:
        return {run_id: _digest(run.data.metrics) for run_id, run in self._runs.items() if run.data.metrics}

    def metric_names(self) -> list[str]:
        return sorted({name for run in self._runs.values() for name in run.data.metrics})

    def having(self, metric: str) -> set[str]:
        return {run_id for run_id, run in self._runs.items() if metric in run.data.metrics}

    def read(self, run_ids: Sequence[str]) -> LoggedRuns:
        rows = [
            (run_id, name, each.step, each.timestamp, each.value, each.value != each.value)
            for run_id in run_ids
            for name in self._runs[run_id].data.metrics
            for each in _asked(self._client.get_metric_history, run_id, name)
        ]
        params = {run_id: self._runs[run_id].data.params for run_id in run_ids}
        return LoggedRuns(params, {run_id: self._runs[run_id].data.tags for run_id in run_ids}, values_table(rows))


def _asked(question: Any, *given: Any, **more: Any) -> Any:
    try:
        return question(*given, **more)
    except Exception as error:  # noqa: BLE001 (MLflow lets errors of its connections and files through)
        raise RequestError(f"the MLflow store cannot be read: {_first_line(error)}") from None


def _digest(metrics: Mapping[str, float]) -> str:
    return hashlib.sha256(repr(sorted(metrics.items())).encode()).hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return shown_url((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]
