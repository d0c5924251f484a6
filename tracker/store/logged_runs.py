"""What is read of MLflow runs that this tracker did not log, from whatever kind of store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from tracker.errors import did_you_mean

ENDED = ("FINISHED", "FAILED", "KILLED")


class LoggedRuns(NamedTuple):
    """Some runs: their params and tags by run id, and their metrics.

    ``values`` has one row a logged value, in the order of logging where that is known: run_id, metric, step,
    timestamp_ms (since 1970) and value, NaN where that or an infinite one was logged.
    """

    params: Mapping[str, Mapping[str, str]]
    tags: Mapping[str, Mapping[str, str]]
    values: pd.DataFrame


class LoggedExperiment(Protocol):
    """An experiment in a store. Methods raise RequestError where the store cannot be read."""

    name: str

    def heads(self) -> pd.DataFrame:
        """One row a run: run_id, name, status, started_at_ms, ended_at_ms (NaN where not known), user, deleted."""
        ...

    def parents(self) -> Mapping[str, str]:
        """For each run that is nested in another, which that is."""
        ...

    def latest(self) -> Mapping[str, str]:
        """For each run that has logged a metric, a text that changes when it logs more."""
        ...

    def metric_names(self) -> list[str]:
        """The metrics that any run has logged."""
        ...

    def having(self, metric: str) -> set[str]:
        """The ids of the runs that have logged a metric."""
        ...

    def read(self, run_ids: Sequence[str]) -> LoggedRuns:
        """What these runs have logged."""
        ...


def no_experiment(name: str, known: Sequence[str], place: str) -> str:
    """That a store has no experiment of this name, with those nearest."""
    shown = [title for title in known if not title.startswith(".")]
    return f"'{place}' has no experiment '{name}'; {did_you_mean(name, shown)}"


def heads_table(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """LoggedExperiment.heads of rows with its columns, None for what is not known."""
    names = ["run_id", "name", "status", "started_at_ms", "ended_at_ms", "user", "deleted"]
    heads = pd.DataFrame([list(row) for row in rows], columns=names)
    texts = {name: heads[name].fillna("").astype(str) for name in ("run_id", "name", "status", "user")}
    times = {name: pd.to_numeric(heads[name]).astype(float) for name in ("started_at_ms", "ended_at_ms")}
    found: pd.DataFrame = heads.assign(**texts, **times, deleted=heads["deleted"].astype(bool))
    return found


def values_table(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """LoggedRuns.values of rows with its columns, and whether the value is NaN."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    frame = pd.DataFrame(dict(zip(("run_id", "metric", "step", "timestamp_ms"), columns, strict=False)))
    values = pd.Series(columns[4], dtype=float)
    values = values.where(values.abs() < np.finfo(float).max)  # a database keeps an infinite one as the largest
    return frame.astype({"step": "int64", "timestamp_ms": "int64"}).assign(
        value=values.mask(pd.Series(columns[5], dtype=bool))
    )
