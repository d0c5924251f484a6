"""Runs of Weights & Biases, from what it leaves on disk or exports, as a source of past runs. W&B is not needed.

A run's log (imports.wandb_log), its history exported as csv or parquet, a folder of such files, or a table of runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import RequestError
from tracker.imports.past_runs import RUN_COLUMNS
from tracker.imports.read_runs import LoggedRows, ReadRuns, counted, run_starts
from tracker.imports.table_file import is_table_file, unchanged
from tracker.imports.wandb_files import read_export
from tracker.imports.wandb_log import read_wandb_log
from tracker.imports.wandb_run import OWN, Floats, WandbRun
from tracker.report.words import several

_LOG_ENDING = ".wandb"
Integers = NDArray[np.int64]


def wandb_runs(path: Path, quality: str) -> ReadRuns:
    """The runs of an export or a log, or of all that are in a folder and those below it. Raises RequestError."""
    remarks, found = [], []
    for file in _files(path):
        with unchanged(file):
            if file.name.endswith(_LOG_ENDING):
                run = read_wandb_log(file)
                if run is None:
                    remarks.append(f"{file.name} has nothing in it: its run was killed as it started")
                else:
                    found.append(run)
                continue
            runs, left_out = read_export(file, quality, _name(file, path))
        found += runs
        if left_out:
            remarks.append(f"{several(left_out, 'run')} of {file.name} without a start or a runtime: left out")
    return _source(f"W&B runs in {path.resolve()}", _resumed(found), remarks)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise RequestError(f"there is no file or folder '{path}'")
    if path.is_file():
        return [path]
    every = {file.resolve(): file for file in sorted(path.rglob("*")) if file.is_file()}  # latest-run is a link
    logs = [file for file in every if file.name.endswith(_LOG_ENDING)]
    files = logs or [file for file in every if is_table_file(file)]  # beside logs a table is what a run saved
    if not files:
        raise RequestError(f"'{path}' has neither a W&B log (run-ID{_LOG_ENDING}) nor a csv or parquet export")
    return files


def _name(file: Path, root: Path) -> str:
    """What a run is called whose history is in this file: as the file, or as its folder where the file says nothing."""
    stem = file.name.partition(".")[0]
    named = file.parent if stem.lower() in ("history", "run_history", "scan_history") else file.with_name(stem)
    base = root.resolve() if root.is_dir() else file.parent
    return named.name if named == base else named.resolve().relative_to(base).as_posix()


def _resumed(runs: Sequence[WandbRun]) -> list[WandbRun]:
    """Each run once: one that was resumed has a log for each time."""
    found: dict[str, WandbRun] = {}
    for run in sorted(runs, key=lambda each: (each.id, each.started_at)):
        before = found.get(run.id)
        if before is not None:
            history = _stacked([before, run], list({**before.history, **run.history}))
            settings = {**before.settings, **run.settings}
            run = dataclasses.replace(run, history=history, settings=settings, started_at=before.started_at)
        found[run.id] = run
    return list(found.values())


def _stacked(runs: Sequence[WandbRun], names: Sequence[str]) -> dict[str, Floats]:
    """The histories of runs below each other, NaN where a run lacks a column."""
    lengths = [len(next(iter(run.history.values()), ())) for run in runs]
    columns = {name: np.full(sum(lengths), np.nan) for name in names}
    ends = np.cumsum(lengths).tolist()
    for run, length, end in zip(runs, lengths, ends, strict=True):
        for name, values in run.history.items():
            columns[name][end - length : end] = values
    return columns


def _source(origin: str, runs: Sequence[WandbRun], remarks: list[str]) -> ReadRuns:
    names = list(dict.fromkeys(name for run in runs for name in run.history))
    columns = _stacked(runs, names)
    run = np.repeat(np.arange(len(runs)), [len(next(iter(each.history.values()), ())) for each in runs])
    missing = np.full(len(run), np.nan)
    times, steps = columns.get("_timestamp", missing), columns.get("_step", missing)
    order = np.lexsort((steps, times, run))
    order = order[~np.isnan(times[order])]
    if len(run) and not len(order):
        raise RequestError(f"{origin} have no timestamps: _timestamp is empty")
    run, times, steps = run[order], times[order], steps[order]
    steps = np.where(np.isnan(steps), counted(run), steps).astype(np.int64)
    logged, starts = np.unique(run), np.array([each.started_at for each in runs])
    if len(run):
        first = run_starts(np.searchsorted(logged, run), times, _runtime(columns, order))
        starts[logged] = np.where(np.isnan(starts[logged]), first, starts[logged])
    rows = LoggedRows(run, times, steps, {name: columns[name][order] for name in names if not name.startswith(OWN)})
    _refuse_falling(rows, runs)
    heads = {
        "id": [each.id for each in runs],
        "name": [each.name for each in runs],
        "state": [str(each.state[0]) for each in runs],
        "reason": [each.state[1] for each in runs],
        "message": [each.state[2] for each in runs],
        "started_at": starts,
        "ended_at": [each.ended_at for each in runs],
        "user": [each.user for each in runs],
    }
    return ReadRuns(
        origin,
        pd.DataFrame(heads)[list(RUN_COLUMNS)],
        rows,
        [each.settings for each in runs],
        accelerators=[each.accelerators for each in runs],
        remarks=remarks,
    )


def _runtime(columns: dict[str, Floats], order: Integers) -> Floats | None:
    found = columns.get("_runtime")
    return None if found is None or np.isnan(found).all() else found[order]


def _refuse_falling(rows: LoggedRows, runs: Sequence[WandbRun]) -> None:
    at = rows.first_fall()
    if at is not None:
        raise RequestError(
            f"the steps of W&B run '{runs[rows.run[at]].name}' fall from {rows.steps[at - 1]} to {rows.steps[at]} in "
            "the order of _timestamp: the file is not as W&B wrote it"
        )
