"""Past runs of a study's training code in a home: what its own trainings are expected to cost like."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import BehindWarning, TrackerError
from tracker.prediction.step_times import Source
from tracker.records import Role, Settings, SettingValue, TrialState
from tracker.report.measured_steps import run_steps
from tracker.runner.study_lookup import folder_of, studies_of, table_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.study.document import StudyDocument
from tracker.study.knobs import COMMON_KNOBS, HARDWARE_KNOBS
from tracker.study.space import SearchSpace

MOST_STUDIES, MOST_RUNS = 24, 200
"""The newest studies that are read, and the newest of their runs that are learnt from."""
MOST_SECONDS = 1.0
"""After this no further study is read: a server takes long for each."""
_TAKEN = (TrialState.COMPLETED, TrialState.PAUSED, TrialState.STOPPED, TrialState.KILLED)
_FREE = ("seed", "epochs")


@dataclass(frozen=True, slots=True)
class Steps:
    """A run's training steps, which hardware makes faster: as in prediction.step_times.MeasuredSteps.

    ``share`` is the part of its work after the start-up that they took.
    """

    source: Source
    seconds: float
    share: float
    flops: float
    launches: float
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of an earlier study: its settings, and what it used.

    ``reached`` are its checkpoints: each one's step and the seconds of work until it. ``seconds`` is all of its work,
    ``completed`` whether that was the whole training; ``evaluation_seconds`` what one evaluation took. Memory and disk
    as in records.Usage. ``busy`` is whether other work was on the machine.
    """

    study: str
    role: Role
    label: str
    settings: Settings
    hardware: str
    seconds: float
    completed: bool
    reached: tuple[tuple[int, float], ...] = ()
    startup_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    cores: float = 1.0
    memory_bytes: float = 0.0
    stored_bytes: float = 0.0
    kept_bytes: float = 0.0
    acquired_samples: float = 0.0
    acquired_bytes: float = 0.0
    busy: bool = False
    steps: Steps | None = None
    """None of what does not train settings."""

    @property
    def trains(self) -> bool:
        """Whether it says how long a training of settings takes."""
        return self.role.trains_settings and bool(self.reached)


@dataclass(frozen=True, slots=True)
class Past:
    """What a home knows of a study's training code, the newest first.

    ``runs`` are those with the study's own data; ``defaults`` are values of knobs that no study has to name.
    ``other_data`` counts earlier studies of the same code whose [data] differ.
    """

    runs: Sequence[PastRun] = ()
    defaults: Mapping[str, SettingValue] = field(default_factory=dict)
    other_data: int = 0


def past_of(document: StudyDocument, home: Home) -> Past:
    """The past runs of a study's training code. A store that cannot be read has none.

    Studies of which MLflow lacks something are read from their events, and nothing is said about it.
    """
    with contextlib.suppress(TrackerError), warnings.catch_warnings(action="ignore", category=BehindWarning):
        names = [each.name for each in studies_of(home).studies if each.workload == document.workload]
        return _past(document, home, names[:MOST_STUDIES])
    return Past()


def _past(document: StudyDocument, home: Home, names: Sequence[str]) -> Past:
    runs: list[PastRun] = []
    defaults: dict[str, SettingValue] = {}
    other_data, until = 0, time.monotonic() + MOST_SECONDS
    for name in names:
        if sum(run.trains for run in runs) >= MOST_RUNS or time.monotonic() > until:
            break
        try:
            content, table = folder_of(home, name).document().content, table_of(home, name)
        except TrackerError:  # it was imported, or is damaged: others may say enough
            continue
        defaults = {**_defaults(content, table), **defaults}
        if content.get("data", {}) == document.content.get("data", {}):
            runs += _runs(table)
        else:
            other_data += 1
    return Past(runs, defaults, other_data)


def _defaults(content: Mapping[str, Any], table: StudyTable) -> dict[str, SettingValue]:
    """The values of the training code's knobs that a study does not name: the same in all of its runs."""
    named = {*content.get("settings", {}), *content.get("space", {}), *COMMON_KNOBS}
    trains = np.flatnonzero(table.runs["role"].to_numpy() == Role.TRIAL)
    settings = table.settings_of(int(trains[-1])) if len(trains) else {}
    return {name: value for name, value in settings.items() if name not in named}


def _runs(table: StudyTable) -> Iterator[PastRun]:
    steps = table.checkpoints
    ends = np.searchsorted(steps["run"].to_numpy(), np.arange(len(table.runs) + 1))
    epochs, seconds = steps["epoch"].to_numpy(), steps["wall_seconds"].to_numpy()
    evaluated = table.summary["evaluation_seconds"].to_numpy() if "evaluation_seconds" in table.summary else None
    newest = table.runs.iloc[::-1].iloc[:MOST_RUNS]
    first = len(table.runs) - len(newest)
    settings = table.settings.iloc[first:].to_dict("records")
    of_steps = _steps(table, newest["role"].isin([Role.TRIAL, Role.REPEAT]).to_numpy())
    for at, row in zip(range(len(table.runs) - 1, -1, -1), newest.to_dict("records"), strict=False):
        if row["state"] not in _TAKEN or not row["wall_seconds"] > 0:
            continue
        taken = slice(ends[at], ends[at + 1])
        yield PastRun(
            table.study,
            Role(row["role"]),
            str(row["label"]),
            {str(name): value for name, value in settings[at - first].items() if value is not None},
            str(row["hardware"]),
            float(row["wall_seconds"]),
            row["state"] == TrialState.COMPLETED and row["role"] != Role.REPEAT,
            tuple((int(epoch), float(spent)) for epoch, spent in zip(epochs[taken], seconds[taken], strict=True)),
            evaluation_seconds=0.0 if evaluated is None else _mean_evaluation(evaluated[at], ends[at + 1] - ends[at]),
            busy=bool(row["busy"]),
            steps=of_steps.get(at),
            **{field: float(np.nan_to_num(row[name])) for field, name in _USED.items()},
        )


def _mean_evaluation(seconds: float, checkpoints: int) -> float:
    """What one of so many evaluations took, of their sum; 0 where nothing was logged."""
    return float(np.nan_to_num(seconds)) / max(int(checkpoints), 1)


def _steps(table: StudyTable, trains: NDArray[np.bool_]) -> dict[int, Steps]:
    """The steps of a study's newest runs that train, by their rows in its table; ``trains`` says of each, newest first,
    whether it does."""
    rows = np.arange(len(table.runs) - 1, -1, -1)[: len(trains)][trains]
    if not len(rows):
        return {}
    found = run_steps(table, rows)
    measured = found.measured
    figures = zip(
        *(measured.step_seconds, found.share, measured.flops, measured.launches, measured.memory_bytes), strict=True
    )
    return {
        int(row): Steps(measured.sources[code], *map(float, each))
        for row, code, each in zip(rows, measured.codes, figures, strict=True)
    }


_USED = {
    "startup_seconds": "startup_seconds",
    "cores": "cores",
    "memory_bytes": "peak_memory_bytes",
    "stored_bytes": "stored_bytes",
    "kept_bytes": "kept_bytes",
    "acquired_samples": "acquired_samples",
    "acquired_bytes": "acquired_bytes",
}
"""The fields of a past run by their columns in a study's table."""


def alike(
    runs: Sequence[PastRun], space: SearchSpace, last_step: int | str | None = None
) -> tuple[list[PastRun], list[str]]:
    """The runs whose settings say something of a space, and the knobs by which none does.

    Those with the same fixed settings, where there are any. Else all of them, as long as each fixed value was tried
    by one of them, or lies between numbers that were: then a model of the settings can distinguish it. How long a
    training is, by ``last_step`` or the knob epochs, may differ: it is known what that does.
    """
    free = (*_FREE, last_step)
    fixed = {name: value for name, value in space.fixed.items() if name not in free}
    same = [run for run in runs if all(_same(run, name, value) for name, value in fixed.items())]
    if same:
        return same, []
    unknown = [name for name, value in fixed.items() if runs and not _within(runs, name, value)]
    return ([], unknown) if unknown else (list(runs), [])


def alike_at_all_cores(runs: Sequence[PastRun], space: SearchSpace) -> list[PastRun]:
    """The runs that had the same fixed settings but for the hardware's: those of data and of baselines."""
    fixed = {name: value for name, value in space.fixed.items() if name not in HARDWARE_KNOBS}
    return [run for run in runs if all(_same(run, name, value) for name, value in fixed.items())]


def _same(run: PastRun, name: str, value: SettingValue) -> bool:
    return name in _FREE or run.settings.get(name, value) == value


def _within(runs: Sequence[PastRun], name: str, value: SettingValue) -> bool:
    seen = [run.settings.get(name, value) for run in runs]
    numbers = [each for each in seen if isinstance(each, int | float) and not isinstance(each, bool)]
    if isinstance(value, int | float) and not isinstance(value, bool) and len(numbers) == len(seen):
        return min(numbers) <= value <= max(numbers)
    return value in seen
