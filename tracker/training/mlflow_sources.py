"""Where a command's own MLflow runs are read: a database of the trial's own, or a server by MLflow's REST API.

A command never gets the database that the tracker keeps its books in: another version of MLflow would migrate it, or
fail on it. It gets an SQLite file in the trial's folder.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tracker.databases.addresses import first_line, shown_url
from tracker.errors import StoreError
from tracker.training.pickup import Logged

TAG = "tracker.command"
"""The tag that a command's runs on a server are found by: the attempt's own, with nothing in it to be escaped.

MLflow puts it on every run that ``mlflow.start_run`` or an autologger starts in a process with the environment variable
MLFLOW_RUN_CONTEXT (mlflow/tracking/context/system_environment_context.py). ``MlflowClient.create_run`` alone does not
look at it: it must be given ``json.loads(os.environ["MLFLOW_RUN_CONTEXT"])`` as tags, as Lightning's MLFlowLogger does.
"""
PARENT_TAG = "mlflow.parentRunId"
RUNS_ARE = "MLflow runs"
_TIMEOUT_SECONDS = (2.0, 5.0)  # to be connected, to be answered
_EXPERIMENTS_SECONDS = 5.0
_PAGE = 1000


def is_server(tracking_uri: str) -> bool:
    """Whether an MLflow store is a server: training code in any environment may log to it."""
    return tracking_uri.startswith(("http://", "https://"))


def lay_out_store(path: Path, template: Path | None, experiment: str, artifacts: Path) -> None:
    """Make a trial's own MLflow database where it has none: a copy of ``template``, whose one experiment is named.

    It spares the command the two seconds that MLflow takes to make one. Without a template there is none yet: the
    command's own MLflow, of whatever version, makes it.
    """
    if path.exists() or template is None or not template.exists():
        return
    partial = path.with_suffix(".partial")
    shutil.copyfile(template, partial)
    with contextlib.closing(sqlite3.connect(partial)) as database, database:
        renamed = "UPDATE experiments SET name = ?, artifact_location = ? WHERE name != 'Default'"
        database.execute(renamed, (experiment, artifacts.absolute().as_uri()))
    partial.replace(path)


class MlflowDatabase:
    """A trial's own MLflow database: what is logged there from now on. The tables are those of MLflow since 1.0."""

    seconds_between_looks = 0.2
    runs_are = RUNS_ARE

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        with contextlib.suppress(StoreError):  # each look says it again
            newest = self._rows("SELECT max(rowid) FROM metrics")
            self._read = int(newest[0][0] or 0) if newest else 0

    def new(self, *, last: bool = False) -> list[Logged]:
        """As Source.new."""
        del last
        rows = self._rows(
            "SELECT rowid, run_uuid, key, step, timestamp, value, is_nan FROM metrics WHERE rowid > ? ORDER BY rowid",
            self._read,
        )
        self._read = rows[-1][0] if rows else self._read
        return [
            Logged(run, name, step, time_ms, _number(value, is_nan))
            for _, run, name, step, time_ms, value, is_nan in rows
        ]

    def parents(self) -> Mapping[str, str]:
        """As Source.parents."""
        return dict(self._rows("SELECT run_uuid, value FROM tags WHERE key = ?", PARENT_TAG))

    def missing(self, quality: str) -> str:
        """As Source.missing."""
        return _missing(quality)

    def _rows(self, query: str, *values: object) -> list[Any]:
        if not self._path.is_file():
            return []
        try:
            # Never waiting for the command's own writing for long, and never writing.
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, timeout=1.0, uri=True)) as database:
                return database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # it is being made
                return []
            raise StoreError(f"MLflow database '{self._path}' cannot be read: {error}") from None


class MlflowServer:
    """An MLflow tracking server, by its address: what runs tagged ``tag`` log there.

    By REST API 2.0 (experiments/search, runs/search, metrics/get-history). Its user and password, or its token, are
    those of MLflow's own environment variables. The other metrics of a run are read once it logs ``quality``; MLflow's
    own measurements of the system are left out.
    """

    seconds_between_looks = 0.4
    runs_are = RUNS_ARE

    def __init__(self, address: str, tag: str, quality: str) -> None:
        self._api = f"{address.rstrip('/')}/api/2.0/mlflow/"
        self._tag = tag
        self._quality = quality
        self._session = requests.Session()
        if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
            self._session.headers["Authorization"] = f"Bearer {token}"
        elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
            self._session.auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        self._experiments: list[str] = []
        self._experiments_until = 0.0
        self._parents: dict[str, str] = {}
        self._latest: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._seen: dict[tuple[str, str], set[Logged]] = {}

    def new(self, *, last: bool = False) -> list[Logged]:
        """As Source.new; a metric's history is fetched only where its latest value has changed."""
        del last
        filters = {"experiment_ids": self._experiment_ids(), "filter": f"tags.`{TAG}` = '{self._tag}'"}
        found: list[Logged] = []
        for run in self._all("POST", "runs/search", "runs", {**filters, "max_results": _PAGE}):
            name, data = run["info"]["run_id"], run["data"]
            tags = {tag["key"]: tag["value"] for tag in data.get("tags", [])}
            self._parents |= {name: tags[PARENT_TAG]} if PARENT_TAG in tags else {}
            latest = {metric["key"]: metric for metric in data.get("metrics", [])}
            for key in latest if self._quality in latest else ():
                if not key.startswith("system/") and self._latest.get((name, key)) != latest[key]:
                    found += self._history(name, key)
                    self._latest[name, key] = latest[key]
        if not self._seen:
            self._experiments_until = 0.0  # the run may be in an experiment that is not made yet
        return sorted(found, key=lambda value: (value.time_ms, value.step))

    def parents(self) -> Mapping[str, str]:
        """As Source.parents."""
        return self._parents

    def missing(self, quality: str) -> str:
        """As Source.missing."""
        return _missing(quality)

    def _experiment_ids(self) -> list[str]:
        if time.monotonic() >= self._experiments_until:
            found = self._all("POST", "experiments/search", "experiments", {"max_results": _PAGE})
            self._experiments = [experiment["experiment_id"] for experiment in found]
            self._experiments_until = time.monotonic() + _EXPERIMENTS_SECONDS
        return self._experiments

    def _history(self, run: str, key: str) -> list[Logged]:
        """What is new of a metric."""
        query = {"run_id": run, "metric_key": key, "max_results": 25_000}
        values = [_logged(run, key, each) for each in self._all("GET", "metrics/get-history", "metrics", query)]
        seen = self._seen.setdefault((run, key), set())
        new = [value for value in values if value not in seen]
        seen.update(new)
        return new

    def _all(self, method: str, path: str, what: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every page of an answer."""
        found, token = list[dict[str, Any]](), ""
        while True:
            body = {**query, "page_token": token} if token else query
            sent: dict[str, Any] = {"json": body} if method == "POST" else {"params": body}
            try:
                answer = self._session.request(method, self._api + path, timeout=_TIMEOUT_SECONDS, **sent)
                answer.raise_for_status()
                page = json.loads(answer.content)
            except (requests.RequestException, ValueError) as error:
                raise StoreError(
                    f"MLflow server '{shown_url(self._api)}' cannot be read: {first_line(error, self._api)}"
                ) from None
            found += page.get(what, [])
            token = page.get("next_page_token", "")
            if not token:
                return found


def _missing(quality: str) -> str:
    return f"no run of its own logged '{quality}' to MLFLOW_TRACKING_URI"


def _logged(run: str, key: str, metric: Mapping[str, Any]) -> Logged:
    step, time_ms = int(metric.get("step", 0)), int(metric.get("timestamp", 0))
    return Logged(run, key, step, time_ms, _number(metric.get("value", 0.0)))


def _number(value: Any, is_nan: Any = False) -> float:
    """A value as the script logged it: MLflow keeps an infinite one as the largest number there is."""
    number = math.nan if is_nan else float(value)
    return math.copysign(math.inf, number) if abs(number) >= sys.float_info.max else number
