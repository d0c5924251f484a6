"""A study as a store holds it, in columns: its runs, their tags and params, and their metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
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


class Entries:
    """Entries of one kind (tags, params or last metrics), unordered: the run's position in the index, name, value."""

    def __init__(self) -> None:
        self._runs: list[Positions] = []
        self._names: list[pa.Array] = []
        self._values: list[pa.Array] = []

    def add(self, runs: Sequence[int], names: Sequence[str], values: Sequence[Any] | NDArray[np.float64]) -> None:
        """Take in entries, all of one length; position -1 is that of a run which was not asked for."""
        if not len(runs):
            return
        self._runs.append(np.asarray(runs, dtype=np.int64))
        self._names.append(pa.array(names, pa.string()).dictionary_encode())
        self._values.append(pa.array(values))

    def by_name(self, place: Positions) -> Iterator[tuple[str, Positions, pa.Array]]:
        """For each name: the rows that have one, and their values. ``place`` gives a run's row by its position."""
        if not self._runs:
            return
        rows = place[np.concatenate(self._runs)]
        names = pa.chunked_array(self._names).unify_dictionaries().combine_chunks()
        values = pa.chunked_array(self._values).combine_chunks()
        codes = names.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        order = order[rows[order] >= 0]
        ends = np.searchsorted(codes[order], np.arange(len(names.dictionary) + 1))
        for name, (begin, end) in zip(names.dictionary.to_pylist(), pairwise(ends), strict=True):
            if end > begin:
                yield name, rows[order[begin:end]], values.take(pa.array(order[begin:end]))


@dataclass(frozen=True, slots=True)
class Details:
    """Details of runs: tags and params as texts, ``finals`` the last values of metrics as numbers."""

    tags: Entries = field(default_factory=Entries)
    params: Entries = field(default_factory=Entries)
    finals: Entries = field(default_factory=Entries)


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

    def places(self) -> Iterator[tuple[int, int]]:
        """The run and the step of each value."""
        return zip(self.runs.tolist(), self.steps.tolist(), strict=True)

    def latest(self) -> History:
        """One value for each run and step, by rising run and step.

        Where a step was reached twice (a pause whose state was lost), the later, dearer time counts.
        """
        onward = _onward(self.runs, self.steps)
        if onward.all():
            return self
        order = np.lexsort((self.timestamps_ms, self.steps, self.runs))
        ordered = self.at(order)
        return ordered.at(np.append(_onward(ordered.runs, ordered.steps), True))

    def with_runs(self, others: History) -> History:
        """This one with the values of other runs; both by rising run and step, and so is what is returned."""
        if not len(others.runs):
            return self
        places = np.searchsorted(self.runs, others.runs)
        return History(*(np.insert(own, places, new) for own, new in zip(self, others, strict=True)))

    @classmethod
    def joined(cls, parts: Sequence[History]) -> History:
        """One after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True))) if parts else cls.empty()


def _onward(runs: Positions, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each value but the last: whether the next one is of a later run, or of a later step of the same."""
    onward: NDArray[np.bool_] = (runs[1:] > runs[:-1]) | ((runs[1:] == runs[:-1]) & (steps[1:] > steps[:-1]))
    return onward


class Source(Protocol):
    """A store that studies can be read from. Every method raises StoreError where it cannot be read."""

    def parents(self) -> Sequence[ParentRun]:
        """The parent run of every study, newest first; none where there is no store yet."""
        ...

    def index(self, study: str, earlier: RunIndex | None = None) -> RunIndex:
        """The runs of a study; ``earlier`` is what it was before. Raises StudyNotFoundError."""
        ...

    def details(self, index: RunIndex, chosen: Positions) -> Details:
        """Tags, params and the last values of metrics of the runs at these positions."""
        ...

    def history(self, index: RunIndex, metric: str, chosen: Positions) -> History:
        """All values of a metric, by the name that it is logged under, of the runs at these positions; no NaN."""
        ...

    def metrics_beside(self, index: RunIndex, metric: str, chosen: Positions) -> set[str]:
        """The metrics that any of the runs at these positions has at a step at which it has ``metric``; no NaN."""
        ...


def run_key(
    run_id: str, started_at_ms: int | None, status: str, ended_at_ms: int | None, state: str | None, name: str | None
) -> str:
    """A run's key by what its store says of it (RunIndex.keys). ``state`` is asked for where ``status`` is SCHEDULED.

    What ends a run, or starts it again, changes its MLflow status or its end; only whether a paused run is stopped for
    good stands in its tag.
    """
    del started_at_ms
    if not ended_at_ms or status == "RUNNING" or state == "running":
        return ""
    return f"{run_id} {status} {ended_at_ms} {state} {name}"
