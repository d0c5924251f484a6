"""A study as a store holds it, in columns: which runs it has, what each was told, what each measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


class ParentRun(NamedTuple):
    """The run that stands for a study itself; ``started_at_ms`` since 1970."""

    study: str
    run_id: str
    started_at_ms: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunIndex:
    """The runs of a study, beside its parent run, in the order that they were started.

    ``keys`` has for each a text that changes whenever the run was changed, "" for one that is under way: what was read
    of a run stays true as long as its key is the same. Arrays have one entry a run, shape [runs].
    """

    parent: ParentRun
    run_ids: NDArray[np.object_]
    started_at_ms: NDArray[np.int64]
    keys: NDArray[np.object_]

    def is_same_as(self, earlier: RunIndex) -> bool:
        """Whether nothing can have changed since: the same runs with the same keys, none of them under way."""
        return (
            self.parent == earlier.parent
            and len(self.keys) == len(earlier.keys)
            and bool((self.keys == earlier.keys).all())
            and bool((self.keys != "").all())
        )


class Told(NamedTuple):
    """One kind of thing that runs were told, one entry each: the run's position in the index, a name and the value."""

    runs: list[int]
    names: list[str]
    values: list[Any]

    def add(self, runs: Iterable[int], names: Iterable[str], values: Iterable[Any]) -> None:
        """Put entries behind those that are there; position -1 is that of a run which was not asked for."""
        self.runs.extend(runs)
        self.names.extend(names)
        self.values.extend(values)


@dataclass(frozen=True, slots=True)
class Details:
    """``texts`` are tags ("tag:NAME") and params ("param:NAME"), ``finals`` the last values of metrics, as numbers."""

    texts: Told = field(default_factory=lambda: Told([], [], []))
    finals: Told = field(default_factory=lambda: Told([], [], []))


class History(NamedTuple):
    """All values of one metric, arrays of shape [values]: the run's position in the index, step, time and value."""

    runs: Positions
    steps: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def empty(cls) -> History:
        """Of nothing."""
        none = np.empty(0, dtype=np.int64)
        return cls(none, none, none, np.empty(0))

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> History:
        """The chosen values, by a mask or in an order."""
        return History(self.runs[chosen], self.steps[chosen], self.timestamps_ms[chosen], self.values[chosen])

    @classmethod
    def joined(cls, parts: Sequence[History]) -> History:
        """One after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True))) if parts else cls.empty()


class Source(Protocol):
    """A store that studies can be read from. Every method raises StoreError where it cannot be read."""

    def parents(self) -> Sequence[ParentRun]:
        """The parent run of every study, newest first; none where there is no store yet."""
        ...

    def index(self, study: str) -> RunIndex:
        """The runs of a study. Raises StudyNotFoundError."""
        ...

    def details(self, index: RunIndex, chosen: Positions) -> Details:
        """Tags, params and the last values of metrics of the runs at these positions."""
        ...

    def history(self, index: RunIndex, metric: str, chosen: Positions) -> History:
        """All values of a metric, by the name that it is logged under, of the runs at these positions; no NaN."""
        ...


def run_key(status: str, ended_at_ms: int | None, state: str, name: str) -> str:
    """A run's key by what its store says of it (RunIndex.keys), without the run's own id."""
    if not ended_at_ms or status == "RUNNING" or state in ("", "running"):
        return ""
    return f"{status} {ended_at_ms} {state} {name}"
