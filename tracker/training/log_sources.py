"""TensorBoard's event files and csv logs that a command writes, as sources of checkpoints."""

from __future__ import annotations

import functools
import math
import string
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from tracker.errors import StoreError, TrainingFailedError, did_you_mean
from tracker.training.csv_log import CsvLog, csv_logs
from tracker.training.log_files import LogFiles
from tracker.training.pickup import Logged, whole_step
from tracker.training.tensorboard_log import EventFile, event_files

_Log = TypeVar("_Log")
_New = TypeVar("_New")
_STEP_COLUMNS = ("step", "epoch")


class TensorboardSource:
    """The scalars that a command logs for TensorBoard (pickup.Source): a folder with event files is a run.

    ``tags`` are tags by the metric's name here; any other tag is a metric of its own name. A tag may have folders
    before it, from any on: ``validation/epoch_accuracy`` is Keras's tag in the folder ``validation`` of its log. What
    such tags name is of the run that those folders are in.
    """

    seconds_between_looks = 0.5
    runs_are = "folders of event files"

    def __init__(self, place: Path, tags: Mapping[str, str], *, all_own: bool) -> None:
        self._tags = tags
        self._files = LogFiles(place, event_files, all_own=all_own)
        self._logs: list[EventFile] = []  # what is there before stays as it is: every writer makes a file of its own
        self._seen: dict[str, None] = {}
        self._runs: dict[str, None] = {}
        self._names: dict[tuple[str, str], tuple[str, str]] = {}

    def new(self, *, last: bool = False) -> list[Logged]:
        """As pickup.Source.new."""
        self._logs += [EventFile(path) for path in self._files.new(last=last)]
        found = []
        for log, scalars in _read(self._logs, EventFile.new):
            folder = str(log.path.parent)
            for scalar in scalars:
                run, name = self._name(folder, scalar.tag)
                found.append(Logged(run, name, scalar.step, int(scalar.time * 1000), scalar.value))
        return sorted(found, key=lambda each: each.time_ms)

    def parents(self) -> Mapping[str, str]:
        """As pickup.Source.parents: the nearest folder around one that has event files too."""
        found = {}
        for run in self._runs:
            around = (str(folder) for folder in Path(run).parents)
            if parent := next((folder for folder in around if folder in self._runs), None):
                found[run] = parent
        return found

    def missing(self, quality: str) -> str:
        """As pickup.Source.missing."""
        tag, place = self._tags.get(quality, quality), self._files.place
        if self._seen:
            return f"no event file in '{place}' has the tag '{tag}'; {did_you_mean(tag, self._seen)}"
        if self._files.others:
            return (
                f"only other processes made event files in '{place}'; "
                "name a folder of the trial's own, below $TRACKER_ARTIFACTS"
            )
        return f"it logged nothing to an event file in '{place}'"

    def _name(self, folder: str, tag: str) -> tuple[str, str]:
        """The run and the metric that a tag in a folder is of."""
        if (folder, tag) not in self._names:
            self._seen[tag] = None
            whole = f"/{folder}/{tag}"
            metric, named = next(
                ((metric, named) for metric, named in self._tags.items() if whole.endswith(f"/{named}")), (tag, tag)
            )
            run = whole.removesuffix(f"/{named}").removeprefix("/") if len(named) > len(tag) else folder
            self._runs[run] = None
            self._names[folder, tag] = run, metric
        return self._names[folder, tag]


class CsvSource:
    """The rows of csv logs that a command writes (pickup.Source): a file is a run.

    ``columns`` are columns by the metric's name here; any other is a metric of its own name. The step is in the column
    ``step``; without a name in ``step`` or ``epoch``, where there is one, else each row with the quality is a step,
    counted on from ``counted``. A row without one belongs to the last. A row's time is when it was seen.
    """

    seconds_between_looks = 0.5
    runs_are = "csv logs"

    def __init__(
        self,
        place: Path,
        columns: Mapping[str, str],
        step: str,
        quality: str,
        note: Callable[[str], None],
        counted: int = 0,
    ) -> None:
        self._columns = columns
        self._metrics = {column: metric for metric, column in columns.items()}
        self._column = columns.get(quality, quality)
        self._step = step
        self._note = note
        self._files = LogFiles(place, csv_logs, all_own=True)
        self._logs = [CsvLog(path, skip_rows=True) for path in self._files.before]
        self._counted = dict.fromkeys((log.path for log in self._logs), counted)
        self._start = counted
        self._latest: dict[Path, int] = {}

    def new(self, *, last: bool = False) -> list[Logged]:
        """As pickup.Source.new. Raises TrainingFailedError(``bad_report``) where the quality is no number."""
        self._logs += [CsvLog(path) for path in self._files.new(last=last)]
        now_ms = int(time.time() * 1000)
        found: list[Logged] = []
        for log, rows in _read(self._logs, functools.partial(CsvLog.new, last=last)):
            for row in rows:
                found += self._logged(log, row, now_ms)
        return found

    def parents(self) -> Mapping[str, str]:
        """As pickup.Source.parents."""
        return {}

    def missing(self, quality: str) -> str:
        """As pickup.Source.missing."""
        column = self._columns.get(quality, quality)
        columns = [each for log in self._logs for each in log.columns]
        if not columns:
            return f"it wrote no csv log with rows to '{self._files.place}'"
        lacking = self._step if self._step and self._step not in columns else column
        if lacking in columns:
            return f"the column '{lacking}' of its csv log has no value"
        return f"its csv log has no column '{lacking}'; {did_you_mean(lacking, columns)}"

    def _logged(self, log: CsvLog, row: Mapping[str, str], now_ms: int) -> Iterable[Logged]:
        column = self._step or next((name for name in _STEP_COLUMNS if name in log.columns), "")
        if self._step and self._step not in log.columns:
            return
        step = self._step_of(log.path, column, row)
        if step is None:
            return
        for name, text in row.items():
            metric = self._metrics.get(name, name)
            value = _number(text)
            if name == self._column and value is None:
                raise TrainingFailedError("bad_report", f"'{text[:40]}' in the column '{name}' is not a number")
            if name not in (column, *_STEP_COLUMNS) and value is not None:
                yield Logged(str(log.path), metric, step, now_ms, value)

    def _step_of(self, path: Path, column: str, row: Mapping[str, str]) -> int | None:
        if not column:
            counted = self._counted.get(path, self._start) + 1
            self._counted[path] = counted if self._column in row else counted - 1
            return counted
        step = whole_step(row[column]) if column in row else self._latest.get(path)
        if step is None:
            if column in row:
                self._note(f"'{row[column][:40]}' in the column '{column}' is not a whole number: no step is there")
            return None
        self._latest[path] = step
        return step


def _read(logs: list[_Log], new: Callable[[_Log], list[_New]]) -> Iterator[tuple[_Log, list[_New]]]:
    """Each log with what is new of it. Raises StoreError for one that cannot be read after what the others have."""
    problem, found = None, False
    for log in logs:
        try:
            news = new(log)
        except StoreError as error:
            problem = error
            continue
        found = found or bool(news)
        yield log, news
    if problem is not None and not found:  # else the next look says it
        raise problem


def expanded(place: str, environment: Mapping[str, str], folder: Path) -> Path:
    """A path of the study file's with the values of the command's environment, from the folder that it runs in."""
    return folder / Path(string.Template(place).safe_substitute(environment)).expanduser()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return math.nan if text.lower() in ("none", "null") else None
