"""Runs of the past as every kind of source is read into: what they logged and when, before anything is priced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from tracker.records import Direction, Settings

RUN_COLUMNS = ("id", "name", "state", "reason", "message", "started_at", "ended_at", "user")
VALUE_COLUMNS = ("run", "metric", "step", "timestamp", "value")


@dataclass(frozen=True, eq=False)
class PastRuns:
    """Some runs of a source.

    ``runs`` has one row a run: id (its own in the source), name, state (records.TrialState), reason and message for a
    state other than completed, started_at and ended_at (seconds since 1970; NaN where not known), user ("" where not
    known). ``settings`` and ``tags`` have an entry for each.

    ``values`` has one row a logged value: run (its row in ``runs``), metric, step, timestamp (seconds since 1970; NaN
    where there is none) and value. ``accelerators`` [runs] is how many were seen to work, 0 where that is not known.
    """

    runs: pd.DataFrame
    settings: Sequence[Settings]
    tags: Sequence[Mapping[str, str]]
    values: pd.DataFrame
    accelerators: Sequence[int]


class PastSource(Protocol):
    """Where runs of the past are. Its methods raise RequestError and StoreError."""

    @property
    def origin(self) -> str:
        """Where it is, in words; no secret is in it."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What of the source is not taken, a sentence each; known once ``versions`` was asked for."""
        ...

    @property
    def direction(self) -> Direction | None:
        """Which way the quality is better, where the source says so."""
        ...

    def versions(self) -> Mapping[str, str]:
        """The ids of the runs that are taken, by their start, each with a text that changes when it logs more."""
        ...

    def metric_names(self) -> Sequence[str]:
        """The metrics that any run has logged."""
        ...

    def read(self, run_ids: Sequence[str]) -> PastRuns:
        """These runs, in this order."""
        ...
