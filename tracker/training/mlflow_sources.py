"""The stores that a script's MLflow runs are picked up from: a database by SQL, a server by MLflow's REST API."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tracker.errors import StoreError
from tracker.training.mlflow_pickup import Logged, Source

TAG = "tracker.command"
"""The tag that a command's runs are found by: its value is the command's own, with nothing to be escaped in it."""
_DATABASES = ("sqlite", "mysql", "postgresql", "mssql")
_TIMEOUT_SECONDS = (2.0, 5.0)  # to be connected, to be answered
_EXPERIMENTS_SECONDS = 5.0
_PAGE = 1000


def open_source(tracking_uri: str, tag: str, quality: str) -> Source | None:
    """Where the ``quality`` metric of runs tagged ``tag`` is read; None for a store that is neither of the two.

    Raises StoreError for a database URL that makes no sense.
    """
    if tracking_uri.startswith(("http://", "https://")):
        return MlflowServer(tracking_uri, tag, quality)
    if tracking_uri.startswith(_DATABASES):
        return MlflowDatabase(tracking_uri, tag, quality)
    return None


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))


_TAGS = _table("tags", "run_uuid", "key", "value")
_METRICS = _table("metrics", "run_uuid", "key", "value", "timestamp", "step", "is_nan")


class MlflowDatabase:
    """An MLflow database, by its SQLAlchemy URL. The tables are MLflow 3's (mlflow/store/tracking/dbmodels)."""

    seconds_between_looks = 0.2

    def __init__(self, url: str, tag: str, quality: str) -> None:
        try:
            self._engine = sa.create_engine(url)
        except (SQLAlchemyError, ArgumentError, ImportError) as error:
            raise StoreError(f"MLflow's database cannot be read: {error}") from None
        tagged = sa.select(_TAGS.c.run_uuid).where(_TAGS.c.key == TAG, _TAGS.c.value == tag)
        self._values = (
            sa.select(_METRICS.c.run_uuid, _METRICS.c.step, _METRICS.c.timestamp, _METRICS.c.value, _METRICS.c.is_nan)
            .where(_METRICS.c.run_uuid.in_(tagged), _METRICS.c.key == quality)
            .order_by(_METRICS.c.timestamp, _METRICS.c.step)
        )

    def values(self) -> list[Logged]:
        """As Source.values."""
        rows = self._rows(self._values)
        return [Logged(run, step, time_ms, _number(value, is_nan)) for run, step, time_ms, value, is_nan in rows]

    def others(self, at: Logged) -> dict[str, float]:
        """As Source.others."""
        fits = (_METRICS.c.timestamp <= at.time_ms) | (_METRICS.c.step == at.step)
        last = (
            sa.select(_METRICS.c.key, sa.func.max(_METRICS.c.timestamp).label("time_ms"))
            .where(_METRICS.c.run_uuid == at.run, fits)
            .group_by(_METRICS.c.key)
            .subquery()
        )
        rows = self._rows(
            sa.select(_METRICS.c.key, _METRICS.c.value, _METRICS.c.is_nan)
            .join(last, (last.c.key == _METRICS.c.key) & (last.c.time_ms == _METRICS.c.timestamp))
            .where(_METRICS.c.run_uuid == at.run)
            .order_by(_METRICS.c.step)
        )
        return {key: _number(value, is_nan) for key, value, is_nan in rows}

    def _rows(self, query: sa.Select[Any]) -> list[Sequence[Any]]:
        if self._engine.dialect.name == "sqlite" and not Path(str(self._engine.url.database)).is_file():
            return []  # to connect would make it
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(query).tuples())
        except SQLAlchemyError as error:
            url = self._engine.url.render_as_string(hide_password=True)
            raise StoreError(f"MLflow database '{url}' cannot be read: {str(error).splitlines()[0]}") from None


class MlflowServer:
    """An MLflow tracking server, by its address (REST API 2.0: experiments/search, runs/search, metrics/get-history).

    Its user and password, or its token, are those of MLflow's own environment variables.
    """

    seconds_between_looks = 0.4

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
        self._latest: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._values: dict[str, tuple[Mapping[str, Any], list[Logged]]] = {}

    def values(self) -> list[Logged]:
        """As Source.values; a history is only fetched where its latest value has changed."""
        filters = {"experiment_ids": self._experiment_ids(), "filter": f"tags.`{TAG}` = '{self._tag}'"}
        for run in self._all("POST", "runs/search", "runs", {**filters, "max_results": _PAGE}):
            name = run["info"]["run_id"]
            self._latest[name] = {metric["key"]: metric for metric in run["data"].get("metrics", [])}
            latest = self._latest[name].get(self._quality)
            if latest is not None and (name not in self._values or self._values[name][0] != latest):
                self._values[name] = (latest, [_logged(name, each) for each in self._history(name, self._quality)])
        if not self._values:
            self._experiments_until = 0.0  # the run may be in an experiment that is not made yet
        found = [value for _, values in self._values.values() for value in values]
        return sorted(found, key=lambda value: (value.time_ms, value.step))

    def others(self, at: Logged) -> dict[str, float]:
        """As Source.others."""
        found = {}
        for key, metric in self._latest[at.run].items():
            latest = _logged(at.run, metric)
            history = [latest]
            if latest.time_ms > at.time_ms and latest.step != at.step:
                history = [_logged(at.run, each) for each in self._history(at.run, key)]
            fitting = [each for each in history if each.time_ms <= at.time_ms or each.step == at.step]
            if fitting:
                found[key] = max(fitting, key=lambda each: (each.time_ms, each.step)).value
        return found

    def _experiment_ids(self) -> list[str]:
        if time.monotonic() >= self._experiments_until:
            found = self._all("POST", "experiments/search", "experiments", {"max_results": _PAGE})
            self._experiments = [experiment["experiment_id"] for experiment in found]
            self._experiments_until = time.monotonic() + _EXPERIMENTS_SECONDS
        return self._experiments

    def _history(self, run: str, key: str) -> list[dict[str, Any]]:
        query = {"run_id": run, "metric_key": key, "max_results": 25_000}
        return self._all("GET", "metrics/get-history", "metrics", query)

    def _all(self, method: str, path: str, what: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every page of an answer."""
        found, token = list[dict[str, Any]](), ""
        while True:
            body = {**query, "page_token": token} if token else query
            sent: dict[str, Any] = {"json": body} if method == "POST" else {"params": body}
            try:
                answer = self._session.request(method, self._api + path, timeout=_TIMEOUT_SECONDS, **sent)
                answer.raise_for_status()
                page = answer.json()
            except (requests.RequestException, ValueError) as error:
                raise StoreError(f"MLflow server '{self._api}' cannot be read: {error}") from None
            found += page.get(what, [])
            token = page.get("next_page_token", "")
            if not token:
                return found


def _logged(run: str, metric: Mapping[str, Any]) -> Logged:
    return Logged(run, int(metric.get("step", 0)), int(metric.get("timestamp", 0)), _number(metric.get("value", 0.0)))


def _number(value: Any, is_nan: Any = False) -> float:
    """A value as the script logged it: MLflow keeps an infinite one as the largest number there is."""
    number = math.nan if is_nan else float(value)
    return math.copysign(math.inf, number) if abs(number) >= sys.float_info.max else number
