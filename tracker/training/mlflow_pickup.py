"""What a training script logs to MLflow by itself, picked up from MLflow's store as it comes, without MLflow.

A script's runs are known by a tag that MLflow puts on every run which ``mlflow.start_run`` or an autologger starts in
a process with the environment variable MLFLOW_RUN_CONTEXT (mlflow/tracking/context/system_environment_context.py).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from tracker.errors import StoreError
from tracker.records import BOOKED_METRICS
from tracker.training.mlflow_server import MlflowServer

TAG = "tracker.command"
"""The tag that a script's runs are found by."""
SETTLE_SECONDS = 0.1
"""How long a checkpoint waits for the metrics that a script logs right after its quality metric."""
_DATABASES = ("sqlite", "mysql", "postgresql", "mssql")
_DATABASE_LOOK_SECONDS, _SERVER_LOOK_SECONDS = 0.2, 0.4


@dataclass(frozen=True, slots=True)
class Logged:
    """A value of the quality metric as a run logged it; ``time_ms`` is in milliseconds since 1970."""

    run: str
    step: int
    time_ms: int
    value: float


class Source(Protocol):
    """An MLflow store, as far as one metric of the runs with one tag goes. Its methods raise StoreError."""

    def values(self) -> Sequence[Logged]:
        """Everything that was logged of the quality metric, as it was logged in time."""
        ...

    def others(self, at: Logged) -> Mapping[str, float]:
        """Every metric of the same run: its value of the same step, or else the last before that time."""
        ...


@dataclass(frozen=True, slots=True)
class PickedUp:
    """A checkpoint: its metrics, the epoch that it is given, and the step that it was logged at."""

    epoch: int
    step: int
    metrics: Mapping[str, float]


class MlflowPickup:
    """Makes checkpoints of what is new in a store, at most every ``every_seconds``.

    Every step that the ``quality`` metric is logged at is a checkpoint. Its epoch is that step where steps rise from 1
    on, and one more than the last epoch where the step is not above that: steps from 0 on become epochs from 1 on,
    and what is logged without a step (MLflow then says 0) is counted. A step that is logged again adds nothing.
    ``epoch`` and ``step`` are the last ones of an earlier attempt at the trial: what is logged anew up to that step
    adds nothing either. A metric that is not finite is left out unless it is the quality metric.
    """

    def __init__(self, source: Source, quality: str, every_seconds: float, epoch: int = 0, step: int = 0) -> None:
        self._source = source
        self._quality = quality
        self._every_seconds = every_seconds
        self._epoch = epoch
        self._step_before = step
        self._seen: set[tuple[str, int, int]] = set()
        self._waiting: list[Logged] = []
        self._next_look = 0.0
        self.problem = ""
        """Why the last look failed; "" where it did not."""

    def look(self, *, last: bool = False) -> list[PickedUp]:
        """The checkpoints that are new and complete; none where it is too early for another look.

        ``last`` looks in any case, and waits for nothing. A store that cannot be read is tried again the next time.
        """
        if not last and time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + self._every_seconds
        try:
            found = [value for value in self._source.values() if self._key(value) not in self._seen]
            found = list({self._key(value): value for value in reversed(found)}.values())[::-1]
            complete = [*self._waiting, *found] if last else self._waiting
            metrics = [self._metrics(value) for value in complete]
        except StoreError as error:
            self.problem = str(error)
            return []
        self.problem = ""
        self._seen |= {self._key(value) for value in found}
        self._waiting = [] if last else found
        if self._waiting:
            self._next_look = time.monotonic() + SETTLE_SECONDS
        return [
            self._numbered(value.step, of_it)
            for value, of_it in zip(complete, metrics, strict=True)
            if not 0 < value.step <= self._step_before
        ]

    def _key(self, value: Logged) -> tuple[str, int, int]:
        """What makes a value another checkpoint: its run and its step, and its time where it has no step."""
        return (value.run, value.step, value.time_ms if value.step == 0 else 0)

    def _metrics(self, value: Logged) -> dict[str, float]:
        others = self._source.others(value)
        kept = {
            name: number
            for name, number in others.items()
            if math.isfinite(number) and name not in (self._quality, *BOOKED_METRICS)
        }
        return {**kept, self._quality: value.value}

    def _numbered(self, step: int, metrics: Mapping[str, float]) -> PickedUp:
        self._epoch = max(step, self._epoch + 1)
        return PickedUp(self._epoch, step, metrics)


def open_pickup(tracking_uri: str, tag: str, quality: str, epoch: int = 0, step: int = 0) -> MlflowPickup | None:
    """The pick-up of runs tagged ``tag`` from a database or a server; None from any other kind of store.

    ``epoch`` and ``step`` are as in MlflowPickup.
    """
    if tracking_uri.startswith(("http://", "https://")):
        return MlflowPickup(_Server(tracking_uri, tag, quality), quality, _SERVER_LOOK_SECONDS, epoch, step)
    if tracking_uri.startswith(_DATABASES):
        return MlflowPickup(_Database(tracking_uri, tag, quality), quality, _DATABASE_LOOK_SECONDS, epoch, step)
    return None


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))


_TAGS = _table("tags", "run_uuid", "key", "value")
_METRICS = _table("metrics", "run_uuid", "key", "value", "timestamp", "step", "is_nan")


class _Database:
    """An MLflow database, by its SQLAlchemy URL. The tables are MLflow 3's (mlflow/store/tracking/dbmodels)."""

    def __init__(self, url: str, tag: str, quality: str) -> None:
        self._url = url
        self._engine = sa.create_engine(url)
        tagged = sa.select(_TAGS.c.run_uuid).where(_TAGS.c.key == TAG, _TAGS.c.value == tag)
        self._values = (
            sa.select(_METRICS.c.run_uuid, _METRICS.c.step, _METRICS.c.timestamp, _METRICS.c.value, _METRICS.c.is_nan)
            .where(_METRICS.c.run_uuid.in_(tagged), _METRICS.c.key == quality)
            .order_by(_METRICS.c.timestamp, _METRICS.c.step)
        )

    def values(self) -> list[Logged]:
        rows = self._rows(self._values)
        return [Logged(run, step, time_ms, _number(value, is_nan)) for run, step, time_ms, value, is_nan in rows]

    def others(self, at: Logged) -> dict[str, float]:
        of_run = _METRICS.c.run_uuid == at.run
        last = (
            sa.select(_METRICS.c.key, sa.func.max(_METRICS.c.timestamp).label("timestamp"))
            .where(of_run, _METRICS.c.timestamp <= at.time_ms)
            .group_by(_METRICS.c.key)
            .subquery()
        )
        columns = (_METRICS.c.key, _METRICS.c.value, _METRICS.c.is_nan)
        before = sa.select(*columns).join(
            last, (last.c.key == _METRICS.c.key) & (last.c.timestamp == _METRICS.c.timestamp)
        )
        at_step = sa.select(*columns).where(of_run, _METRICS.c.step == at.step)
        rows = self._rows(before.where(of_run).order_by(_METRICS.c.step), at_step.order_by(_METRICS.c.timestamp))
        return {key: _number(value, is_nan) for key, value, is_nan in rows}

    def _rows(self, *queries: sa.Select[*tuple[object, ...]]) -> list[tuple[object, ...]]:
        if self._engine.dialect.name == "sqlite" and not Path(str(self._engine.url.database)).is_file():
            return []  # to connect would make it
        try:
            with self._engine.connect() as connection:
                return [tuple(row) for query in queries for row in connection.execute(query)]
        except SQLAlchemyError as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"MLflow database '{self._url}' cannot be read: {reason}") from None
