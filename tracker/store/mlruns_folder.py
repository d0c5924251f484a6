"""An experiment in a folder of files, MLflow's older kind of store (``mlruns``), read as it lies there.

MLflow's own reader refuses such a folder unless an environment variable is set, writes into it, and does not find the
runs of one that went through git, which keeps no empty folder. The layout is that of its file_store.py:
EXPERIMENT/RUN/{meta.yaml, params/NAME, tags/NAME, metrics/NAME}. A line of a metric is a timestamp in milliseconds, a
value and a step; a name with slashes is a path.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml  # type: ignore[import-untyped]

from tracker.errors import RequestError
from tracker.store.logged_runs import LoggedRuns, heads_table, no_experiment, values_table

_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_META = "meta.yaml"


class FolderExperiment:
    """The experiment in one folder; a ``LoggedExperiment``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._runs = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{_META}"))}

    def heads(self) -> pd.DataFrame:
        """As LoggedExperiment.heads."""
        rows = [self._head(run_id, _yaml(folder / _META)) for run_id, folder in self._runs.items()]
        return heads_table(sorted(rows, key=lambda row: (row[3] or 0, row[0])))

    def _head(self, run_id: str, meta: Mapping[str, Any]) -> tuple[Any, ...]:
        status = meta.get("status")
        tags = dict(_texts(self._runs[run_id] / "tags"))
        return (
            run_id,
            tags.get("mlflow.runName") or meta.get("run_name") or meta.get("name") or "",
            _STATUS.get(status, str(status)) if isinstance(status, int) else str(status),
            meta.get("start_time"),
            meta.get("end_time"),
            tags.get("mlflow.user") or meta.get("user_id") or "",
            meta.get("lifecycle_stage", "active") != "active",
        )

    def parents(self) -> Mapping[str, str]:
        """As LoggedExperiment.parents."""
        files = {run_id: folder / "tags" / "mlflow.parentRunId" for run_id, folder in self._runs.items()}
        return {run_id: path.read_text(encoding="utf-8").strip() for run_id, path in files.items() if path.is_file()}

    def latest(self) -> Mapping[str, str]:
        """As LoggedExperiment.latest."""
        sizes = {run: [path.stat().st_size for _, path in _files(at / "metrics")] for run, at in self._runs.items()}
        return {run: f"{len(found)} {sum(found)}" for run, found in sizes.items() if found}

    def metric_names(self) -> list[str]:
        """As LoggedExperiment.metric_names."""
        return sorted({name for folder in self._runs.values() for name, _ in _files(folder / "metrics")})

    def having(self, metric: str) -> set[str]:
        """As LoggedExperiment.having."""
        return {run_id for run_id, folder in self._runs.items() if (folder / "metrics" / metric).is_file()}

    def read(self, run_ids: Sequence[str]) -> LoggedRuns:
        """As LoggedExperiment.read."""
        rows = [row for run_id in run_ids for row in _values(run_id, self._runs[run_id] / "metrics")]
        return LoggedRuns(
            {run_id: dict(_texts(self._runs[run_id] / "params")) for run_id in run_ids},
            {run_id: dict(_texts(self._runs[run_id] / "tags")) for run_id in run_ids},
            values_table(rows),
        )


def open_folder(folder: Path, name: str) -> FolderExperiment:
    """The experiment of this name or id. Raises RequestError, which names the nearest."""
    found = {path.parent: str(_yaml(path).get("name", path.parent.name)) for path in sorted(folder.glob(f"*/{_META}"))}
    chosen = [each for each, title in found.items() if name in (title, each.name)]
    if not chosen:
        raise RequestError(no_experiment(name, list(found.values()), str(folder)))
    best = min(chosen, key=lambda each: found[each] != name)
    return FolderExperiment(best, found[best])


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RequestError(f"MLflow store: '{path}' cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise RequestError(f"MLflow store: '{path}' is not of a run or an experiment")
    return content


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder, each with the name that it stands for."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    for name, path in _files(folder):
        yield name, path.read_text(encoding="utf-8", errors="replace")


def _values(run_id: str, folder: Path) -> Iterator[tuple[Any, ...]]:
    for name, path in _files(folder):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            words = line.split()
            try:
                value, step = float(words[1]), int(words[2]) if len(words) > 2 else 0
                yield run_id, name, step, int(words[0]), value, math.isnan(value)
            except (ValueError, IndexError):
                raise RequestError(f"MLflow store: '{path}', line {number} is no value: {line[:80]!r}") from None
