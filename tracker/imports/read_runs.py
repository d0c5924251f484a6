"""A source of past runs that was read as a whole, as files are: the rows that its runs logged, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.imports.past_runs import PastRuns
from tracker.records import Settings, TrialState

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LoggedRows:
    """What runs logged, arrays of shape [rows], by run and time.

    ``run`` is a number from 0 on, ``times`` are seconds since 1970, ``metrics`` has NaN where a row has no value.
    """

    run: NDArray[np.int64]
    times: Floats
    steps: NDArray[np.int64]
    metrics: Mapping[str, Floats]

    def first_rows(self, runs: int) -> NDArray[np.int64]:
        """The first row of each run, and at the end how many rows there are."""
        return np.searchsorted(self.run, np.arange(runs + 1))

    def first_fall(self) -> int | None:
        """The first row whose step is below that of the row before it, of the same run; None where there is none."""
        falls = np.flatnonzero((np.diff(self.run) == 0) & (np.diff(self.steps) < 0))
        return int(falls[0]) + 1 if len(falls) else None

    def values(self, firsts: NDArray[np.int64], runs: NDArray[np.int64]) -> pd.DataFrame:
        """What some runs logged, as PastRuns.values; ``firsts`` are the first rows of all."""
        counts = firsts[runs + 1] - firsts[runs]
        run = np.repeat(np.arange(len(runs)), counts)
        rows = np.arange(len(run)) + np.repeat(firsts[runs] - (np.cumsum(counts) - counts), counts)
        columns = [column[rows] for column in self.metrics.values()]
        logged = [np.flatnonzero(~np.isnan(column)) for column in columns]
        metric = np.repeat(np.arange(len(columns)), [len(each) for each in logged])
        at = np.concatenate([*logged, np.empty(0, np.int64)])
        return pd.DataFrame(
            {
                "run": run[at],
                "metric": pd.Categorical.from_codes(metric, pd.Index(list(self.metrics))),
                "step": self.steps[rows[at]],
                "timestamp": self.times[rows[at]],
                "value": np.concatenate(
                    [*(column[each] for column, each in zip(columns, logged, strict=True)), np.empty(0)]
                ),
            }
        )


class ReadRuns:
    """Runs that were read as a whole, as a PastSource.

    ``runs`` has the columns of past_runs.RUN_COLUMNS; ``settings``, ``tags`` and ``accelerators`` an entry for each.
    """

    direction = None  # the metric's name says it

    def __init__(
        self,
        origin: str,
        runs: pd.DataFrame,
        rows: LoggedRows,
        settings: Sequence[Settings],
        tags: Sequence[Mapping[str, str]] | None = None,
        accelerators: Sequence[int] | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        self.origin = origin
        self.remarks = list(remarks)
        self._runs = runs
        self._rows = rows
        self._settings = settings
        self._tags = tags if tags is not None else [{}] * len(runs)
        self._accelerators = accelerators if accelerators is not None else [0] * len(runs)
        self._first_rows = rows.first_rows(len(runs))
        self._places = {run: at for at, run in enumerate(runs["id"])}

    def versions(self) -> Mapping[str, str]:
        """As PastSource.versions: a run's state, how many rows it has, and its seconds until the last."""
        counts = np.diff(self._first_rows)
        begins = self._runs["started_at"].to_numpy(dtype=np.float64)
        lasts = np.append(self._rows.times, np.nan)[self._first_rows[1:] - 1] - begins
        ids, states = self._runs["id"].tolist(), self._runs["state"].tolist()
        texts = [
            f"{state} {count} {last:.2f}"
            for state, count, last in zip(states, counts.tolist(), lasts.tolist(), strict=True)
        ]
        return {ids[at]: texts[at] for at in np.argsort(begins, kind="stable").tolist()}

    def metric_names(self) -> Sequence[str]:
        """As PastSource.metric_names."""
        return [name for name, column in self._rows.metrics.items() if not np.isnan(column).all()]

    def read(self, run_ids: Sequence[str]) -> PastRuns:
        """As PastSource.read."""
        places = np.array([self._places[run] for run in run_ids], dtype=np.int64)
        return PastRuns(
            runs=self._runs.iloc[places].reset_index(drop=True),
            settings=[self._settings[at] for at in places],
            tags=[self._tags[at] for at in places],
            values=self._rows.values(self._first_rows, places),
            accelerators=[self._accelerators[at] for at in places],
        )


def counted(run: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of each run counted from 1; ``run`` rises."""
    return np.arange(len(run)) - np.searchsorted(run, run) + 1


COMPLETED = (str(TrialState.COMPLETED), "", "")
"""State, reason and message of a run that trained to its end."""


def run_starts(run: NDArray[np.int64], times: Floats, seconds: Floats | None) -> Floats:
    """When each run started, by the rows that it logged, sorted by run and time.

    ``seconds`` are those from its start to each row. Without them a run started before its first row by the median time
    between two of its rows: what it did until then was not free.
    """
    firsts = np.flatnonzero(np.append(True, np.diff(run) != 0))
    if seconds is not None:
        since = pd.Series(times - seconds).groupby(run).first()  # the first that is not NaN
        return np.asarray(since, dtype=np.float64)
    between = np.diff(times)
    inside = (np.diff(run) == 0) & (between > 0)
    usual = pd.Series(between[inside]).groupby(run[1:][inside]).median()
    before: Floats = usual.reindex(range(len(firsts)), fill_value=0.0).to_numpy(dtype=np.float64)
    return np.subtract(times[firsts], before)
