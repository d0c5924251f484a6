"""Trials of an Optuna study that knows nothing of this tracker, as a source of past runs: a price point a trial.

Optuna does not keep when a trial reported a value, so a trial is one point, at its end: its value, or of a pruned one
the last value that it reported to its pruner.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tracker.databases.addresses import shown_url
from tracker.databases.sqlite_url import sqlite_file
from tracker.errors import RequestError, did_you_mean
from tracker.imports.past_runs import RUN_COLUMNS, VALUE_COLUMNS, PastRuns
from tracker.records import TrialState
from tracker.report.words import several
from tracker.search.optuna_trials import OptunaStudy, OptunaTrial, read_optuna_study

_STATES: Mapping[str, tuple[TrialState, str, str]] = {
    "COMPLETE": (TrialState.COMPLETED, "", ""),
    "PRUNED": (TrialState.STOPPED, "pruned", "Optuna pruned it"),
    "FAIL": (TrialState.FAILED, "failed", "Optuna has it as FAIL"),
}


class OptunaTrials:
    """The trials of a study that have ended.

    ``quality`` names the objective that is the quality, ``objective`` is its number from 0; with one objective neither
    is needed. A study that the tracker ran is refused: its trials are in MLflow with all their checkpoints. Raises
    RequestError for a storage, a study or an objective that is not there, naming the nearest, StoreError.
    """

    def __init__(self, storage: str, study: str = "", quality: str = "", objective: int | None = None) -> None:
        found = read_optuna_study(storage, study)
        self.study = found.name
        self.origin = f"Optuna study '{found.name}' in {_place(storage)}"
        if any(name.startswith("tracker.") for each in found.trials for name in each.attributes):
            raise RequestError(f"{self.origin} is of a study that this tracker ran: read it, or import its export")
        self._objective = _chosen(found, quality, objective)
        self._names = _names(found)
        if quality:
            self._names[self._objective] = quality
        self.quality = self._names[self._objective]
        self.direction = found.directions[self._objective]
        self._trials = {str(each.number): each for each in found.trials if each.state in _STATES}
        self.remarks = [
            f"{several(count, 'trial')} {state}: not imported, {why}"
            for state, why in (("WAITING", "it never started"), ("RUNNING", "when it ends is not known"))
            if (count := sum(each.state == state for each in found.trials))
        ]

    def versions(self) -> Mapping[str, str]:
        """As PastSource.versions."""
        by_start = sorted(self._trials.items(), key=lambda each: _times(each[1]))
        return {number: f"{each.state} {each.ended_at}" for number, each in by_start}

    def metric_names(self) -> Sequence[str]:
        """As PastSource.metric_names."""
        return self._names

    def read(self, run_ids: Sequence[str]) -> PastRuns:
        """As PastSource.read."""
        trials = [self._trials[each] for each in run_ids]
        values = [
            (run, name, 1 if each.reported is None else each.reported[0], math.nan, value)
            for run, each in enumerate(trials)
            for name, value in zip(self._names, self._values(each), strict=False)
        ]
        return PastRuns(
            runs=pd.DataFrame([_run(each) for each in trials], columns=list(RUN_COLUMNS)),
            settings=[each.settings for each in trials],
            tags=[{name: _text(value) for name, value in each.attributes.items()} for each in trials],
            values=pd.DataFrame(values, columns=list(VALUE_COLUMNS)),
            accelerators=[0] * len(trials),
        )

    def _values(self, trial: OptunaTrial) -> Sequence[float]:
        if trial.state == "PRUNED" and trial.reported is not None and len(self._names) == 1:
            return [trial.reported[1]]
        return trial.values


def _place(storage: str) -> str:
    """A storage in words: the same for a file and for the URL of that file."""
    file = sqlite_file(storage)
    if file is None and "://" in storage:
        return shown_url(storage)
    return str((file or Path(storage)).expanduser().resolve())


def _names(study: OptunaStudy) -> list[str]:
    """The objectives' names, as Optuna's own tables have them where the study gives none."""
    if study.metric_names:
        return list(study.metric_names)
    count = len(study.directions)
    return ["value"] if count == 1 else [f"values_{number}" for number in range(count)]


def _chosen(study: OptunaStudy, quality: str, objective: int | None) -> int:
    """The number of the objective that is the quality."""
    names = _names(study)
    where = f"Optuna study '{study.name}'"
    if objective is not None:
        if not 0 <= objective < len(names):
            raise RequestError(f"{where} has no objective {objective}: 0 to {len(names) - 1} ({', '.join(names)})")
        if quality in names and names.index(quality) != objective:
            raise RequestError(f"objective {objective} of {where} is '{names[objective]}', not '{quality}'")
        return objective
    if quality in names:
        return names.index(quality)
    if len(names) == 1 and (not quality or not study.metric_names):
        return 0
    if not quality:
        raise RequestError(f"{where} has {len(names)} objectives, {', '.join(names)}: say which is the quality")
    raise RequestError(f"{where} has no objective '{quality}'; {did_you_mean(quality, names)}")


def _times(trial: OptunaTrial) -> tuple[float, float]:
    """When it started and ended; one stands for the other where that is not known."""
    known = [each for each in (trial.started_at, trial.ended_at) if each is not None]
    return (known[0], known[-1]) if known else (0.0, 0.0)


def _run(trial: OptunaTrial) -> tuple[object, ...]:
    state, reason, message = _STATES[trial.state]
    return (str(trial.number), f"trial {trial.number}", str(state), reason, message, *_times(trial), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
