"""Runs in a folder of TensorBoard logs, as a source of past runs.

Which folders are one run: a folder that logged the quality is a run, with the folders below it that did not log it
themselves. Folders named train, validation and the like belong to the one around them, as Keras logs: there the quality
is ``validation/epoch_accuracy``. A folder in which hyperparameters were logged beside a run (``add_hparams`` of torch's
SummaryWriter) belongs to that run. Any other outermost folder with values is a run that never logged the quality. What
a folder below a run's own logged has that folder's name before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.imports.event_logs import FolderLog, read_event_logs
from tracker.imports.past_runs import RUN_COLUMNS, VALUE_COLUMNS, PastRuns
from tracker.records import Settings, TrialState
from tracker.report.words import several

PARTS = ("train", "training", "validation", "valid", "val", "eval", "evaluation", "test")
"""The names of folders that belong to the run around them."""
_ROOT = PurePosixPath(".")


class TensorboardRuns:
    """The runs in a folder and those below it; see above for what one run is. A run's id is its folder's path.

    Raises RequestError where nothing is there, and for a file that is no event file, StoreError.
    """

    direction = None  # the metric's name says it

    def __init__(self, folder: Path, quality: str) -> None:
        place = folder.expanduser().resolve()
        self.name = place.name
        self.origin = f"TensorBoard logs in {place}"
        logs = read_event_logs(place)
        self._runs = {str(run.path): run for run in _runs(logs, quality)}
        self.remarks = [
            f"{several(len(files), 'event file')} {what}, read up to there: {', '.join(files[:5])}"
            for files, what in (
                ([name for log in logs for name in log.cut], "cut off within a record"),
                ([name for log in logs for name in log.damaged], "damaged"),
            )
            if files
        ]

    def versions(self) -> Mapping[str, str]:
        """As PastSource.versions."""
        by_start = sorted(self._runs.items(), key=lambda each: (each[1].started_at, each[0]))
        return {run: "; ".join(log.version for log in each.logs) for run, each in by_start}

    def metric_names(self) -> Sequence[str]:
        """As PastSource.metric_names."""
        return list(dict.fromkeys(name for run in self._runs.values() for name in run.metric_names()))

    def read(self, run_ids: Sequence[str]) -> PastRuns:
        """As PastSource.read."""
        runs = [self._runs[each] for each in run_ids]
        names = [self.name if each.path == _ROOT else str(each.path) for each in runs]
        parts = [(at, part) for at, run in enumerate(runs) for part in run.values()]
        columns = [np.concatenate(column) for column in zip(*(part for _, part in parts), strict=True)]
        of_run = np.repeat([at for at, _ in parts], [len(part.metric) for _, part in parts])
        return PastRuns(
            runs=pd.DataFrame(
                [
                    (str(run.path), name, *run.state, run.started_at, math.nan, "")
                    for run, name in zip(runs, names, strict=True)
                ],
                columns=list(RUN_COLUMNS),
            ),
            settings=[run.settings for run in runs],
            tags=[{"folder": name, "host": run.logs[0].host} for run, name in zip(runs, names, strict=True)],
            values=pd.DataFrame(dict(zip(VALUE_COLUMNS, (of_run, *columns), strict=True))),
            accelerators=[0] * len(runs),
        )


class _Values(NamedTuple):
    """Logged values as the columns of PastRuns.values after the run."""

    metric: NDArray[np.object_]
    step: NDArray[np.int64]
    timestamp: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass
class _Run:
    """A run's folder and what it is made of: its logs, each with what its metrics have before their names."""

    path: PurePosixPath
    logs: list[FolderLog] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)

    @property
    def started_at(self) -> float:
        return min((log.started_at for log in self.logs if log.started_at == log.started_at), default=math.nan)

    @property
    def settings(self) -> Settings:
        return {name: value for log in self.logs for name, value in log.settings.items()}

    @property
    def state(self) -> tuple[str, str, str]:
        if any(log.cut for log in self.logs):
            return str(TrialState.STOPPED), "not_ended", "its event file ends within a record"
        return str(TrialState.COMPLETED), "", ""

    def metric_names(self) -> Iterator[str]:
        for log, prefix in zip(self.logs, self.prefixes, strict=True):
            yield from (prefix + tag for tag in log.tags)

    def values(self) -> Iterator[_Values]:
        """What its folders logged; of a metric that several of them have, the outermost's."""
        seen: set[str] = set()
        for log, prefix in zip(self.logs, self.prefixes, strict=True):
            metrics = [prefix + tag for tag in log.scalars.tags]
            new = np.array([metric not in seen for metric in metrics], dtype=bool)
            columns = (np.array(metrics, dtype=object), *log.scalars[1:])
            yield _Values(*(column[new] for column in columns))
            seen |= {prefix + tag for tag in log.tags}


def _runs(logs: Sequence[FolderLog], quality: str) -> list[_Run]:
    """The runs, their logs from the outermost folder inwards."""
    logging = {log.path for log in logs if log.tags}
    places = {log.path: _place(log, logging) for log in logs}
    heads = {head for log in logs for head in _heads(places[log.path], log.tags, quality)}
    runs: dict[PurePosixPath, _Run] = {}
    for log in sorted(logs, key=lambda log: len(log.path.parts)):
        place = places[log.path]
        run = runs.setdefault(_owner(place, heads, logging), _Run(_owner(place, heads, logging)))
        run.logs.append(log)
        run.prefixes.append("" if place == run.path else f"{place.relative_to(run.path)}/")
    return [run for run in runs.values() if any(log.tags for log in run.logs)]


def _place(log: FolderLog, logging: set[PurePosixPath]) -> PurePosixPath:
    """The folder that a log counts as: its own, or for hyperparameters beside a run, that run's."""
    around = [each for each in log.path.parents if each in logging]
    return around[0] if log.settings and around else log.path


def _heads(place: PurePosixPath, tags: set[str], quality: str) -> Iterator[PurePosixPath]:
    """The folders that logged the quality by what was logged at ``place``."""
    for around in (place, *place.parents):
        prefix = "" if around == place else f"{place.relative_to(around)}/"
        if quality.startswith(prefix) and quality.removeprefix(prefix) in tags:
            yield around


def _owner(place: PurePosixPath, heads: set[PurePosixPath], logging: set[PurePosixPath]) -> PurePosixPath:
    """The folder of the run that ``place`` belongs to."""
    while place.name in PARTS:
        place = place.parent
    around = (place, *place.parents)
    if found := [each for each in around if each in heads]:
        return found[0]
    return next((each for each in reversed(around) if each in logging and each != _ROOT), place)
