"""A study read from what its runs would log, in place of a store."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tracker.store.columns import Details, History, ParentRun, Positions, RunIndex
from tracker.store.entries import Entries


class KeyedRun(NamedTuple):
    """All entries of a run, and a text that changes whenever they do (RunIndex.keys)."""

    entries: Entries
    key: str


class EntriesSource:
    """A ``columns.Source`` of one study: ``read`` gives its parent run and its runs as they are now."""

    def __init__(self, read: Callable[[], tuple[ParentRun, Sequence[KeyedRun]]]) -> None:
        self._read = read
        self._runs: dict[str, _Run] = {}

    def parents(self) -> list[ParentRun]:
        """As Source.parents: the one study."""
        return [self._read()[0]]

    def index(self, study: str, earlier: RunIndex | None = None) -> RunIndex:
        """As Source.index. Raises what reading raises."""
        del study, earlier
        parent, runs = self._read()
        runs = sorted(runs, key=lambda run: (run.entries.started_at_ms, len(run.entries.label), run.entries.label))
        known = {run.key: run for run in self._runs.values()}
        self._runs = {each.entries.run_id: known.get(each.key) or _Run(*each) for each in runs}
        return RunIndex(
            parent,
            np.array(list(self._runs), dtype=object),
            np.array([run.entries.started_at_ms for run in runs], dtype=np.int64),
            np.array([run.key for run in runs], dtype=object),
        )

    def details(self, index: RunIndex, chosen: Positions) -> Details:
        """As Source.details."""
        details = Details()
        for at, run in self._at(index, chosen):
            entries = run.entries
            tags = {**entries.tags, "mlflow.runName": entries.label}
            details.tags.add([at] * len(tags), list(tags), list(tags.values()))
            if entries.params:
                names, texts = zip(*entries.params, strict=True)
                details.params.add([at] * len(names), names, texts)
            details.finals.add([at] * len(run.last), list(run.last), list(run.last.values()))
        return details

    def history(self, index: RunIndex, metric: str, chosen: Positions) -> History:
        """As Source.history."""
        found = [(at, *value) for at, run in self._at(index, chosen) for value in run.values.get(metric, ())]
        runs, steps, times, values = zip(*found, strict=True) if found else ((), (), (), ())
        at_steps = np.array(runs, np.int64), np.array(steps, np.int64), np.array(times, np.int64)
        return History(*at_steps, np.array(values, np.float64))

    def metrics_beside(self, index: RunIndex, metric: str, chosen: Positions) -> set[str]:
        """As Source.metrics_beside."""
        found: set[str] = set()
        for _, run in self._at(index, chosen):
            steps = {step for step, _, _ in run.values.get(metric, ())}
            found |= {name for name, values in run.values.items() if any(step in steps for step, _, _ in values)}
        return found

    def _at(self, index: RunIndex, chosen: Positions) -> list[tuple[int, _Run]]:
        return [(at, self._runs[index.run_ids[at]]) for at in map(int, chosen)]


class _Run:
    """A run's entries, its metrics by name.

    ``values`` holds each (step, milliseconds since 1970, value) once, NaN left out; ``last`` has the value of the last
    step, the latest and largest, as MLflow's own.
    """

    def __init__(self, entries: Entries, key: str) -> None:
        self.entries, self.key = entries, key
        logged: dict[str, dict[tuple[int, int, float], None]] = {}
        for name, value, time_ms, step in entries.metrics:
            logged.setdefault(name, {})[step, time_ms, value] = None
        self.values = {name: [each for each in values if not math.isnan(each[2])] for name, values in logged.items()}
        self.last = {name: max(values)[2] for name, values in logged.items()}
