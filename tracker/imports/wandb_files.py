"""Files that W&B's users export: a run's history, and a table of runs, as csv or parquet."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tracker.errors import RequestError
from tracker.imports import table_file
from tracker.imports.wandb_run import OWN, Floats, WandbRun, columns_of, flat_settings, run_state
from tracker.report.metric_names import stated_direction

_RUN_NAMES = ("run", "run_id", "run_name", "name", "Name")
_OF_A_RUNS_TABLE = ("Name", "State", "Created", "Runtime", "summary")
_NO_SETTINGS = {
    *("id", "name", "agent", "state", "notes", "user", "tags", "created", "updated", "end time", "runtime", "sweep"),
    *("hostname", "host", "github", "group", "job type", "heartbeat", "gpu count", "gpu type", "command", "summary"),
    "config",
}
"""Columns of a runs table that are about the run, in lower case."""
_PART_OF_RUNTIME = re.compile(r"([\d.]+)\s*([dhms])")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def read_export(path: Path, quality: str, name: str) -> tuple[list[WandbRun], int]:
    """The runs of an export, and how many rows of it are none; ``name`` is the run's where it is a history.

    Raises RequestError for a file that is neither a history nor a table of runs.
    """
    table = table_file.read_table_file(path)
    if any(each in table.column_names for each in _OF_A_RUNS_TABLE):
        return _runs_of_table(path, table, quality)
    if "_step" in table.column_names or "_timestamp" in table.column_names:
        return [_run_of_history(path, table, name)], 0
    if "Step" in table.column_names:
        raise RequestError(
            f"'{path}' is of a chart, without the times of its values: export the runs or a run's history"
        )
    raise RequestError(
        f"'{path}' is neither a W&B run's history (_step, _timestamp) nor a table of runs (Name, Created, Runtime); "
        "`tracker import table` reads any table with a column of times"
    )


def _run_of_history(path: Path, table: pa.Table, name: str) -> WandbRun:
    for each in _RUN_NAMES:
        if each in table.column_names and len(table[each].unique()) > 1:
            raise RequestError(
                f"'{path}' has several runs: `tracker import table {path.name} --run {each} --time _timestamp "
                "--step _step` reads it"
            )
    if "_timestamp" not in table.column_names and "_runtime" not in table.column_names:
        raise RequestError(f"'{path}' has no timestamps: it lacks _timestamp and _runtime")
    history = {}
    for each in table.column_names:
        if each == "_timestamp":
            history[each] = table_file.times(path, each, table[each])
        elif (numbers := table_file.numbers(table[each])) is not None:
            history[each] = numbers
    if "_timestamp" not in history:
        runtime = table_file.needed_numbers(path, "_runtime", table["_runtime"], "seconds")
        history["_timestamp"] = path.stat().st_mtime - np.nanmax(runtime, initial=0.0) + runtime
    metadata = _beside(path, "wandb-metadata.json")
    return WandbRun(
        id=name,
        name=name,
        history=history,
        settings=flat_settings(_beside(path, "config.json")),
        accelerators=int(metadata.get("gpu_count") or 0),
        user=str(metadata.get("username") or ""),
    )


def _beside(path: Path, name: str) -> Mapping[str, Any]:
    """What a JSON file beside a history holds, where that is the only table in its folder, or is named before it."""
    own = path.with_name(f"{path.name.partition('.')[0]}.{name}")
    alone = sum(map(table_file.is_table_file, path.parent.iterdir())) == 1
    file = own if own.exists() else path.with_name(name)
    if not file.exists() or (file != own and not alone):
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"'{file}' cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise RequestError(f"'{file}' is no table of names and values")
    return content


def _runs_of_table(path: Path, table: pa.Table, quality: str) -> tuple[list[WandbRun], int]:
    """A point a run, at its end; and how many runs have none."""
    lower = {name.lower(): name for name in reversed(table.column_names)}
    created = _created(path, table, lower)
    taken: list[WandbRun] = []
    for at, (row, start) in enumerate(zip(table.to_pylist(), created.tolist(), strict=True), start=1):
        about = {name: row.get(own) for name, own in lower.items()}
        summary = _dictionary(path, at, row.get("summary"))
        own = {**{name: value for name, value in row.items() if name.startswith(OWN)}, **summary}
        runtime = _seconds(about.get("runtime") if about.get("runtime") is not None else own.get("_runtime"))
        if math.isnan(start):
            start = _seconds(own.get("_timestamp")) - runtime
        if math.isnan(start) or math.isnan(runtime):
            continue
        metrics = {name: value for name, value in flat_settings(summary).items() if not name.startswith(OWN)}
        settings = flat_settings(_dictionary(path, at, row.get("config")))
        for name, value in row.items():
            if not (name.startswith(OWN) or name.lower() in _NO_SETTINGS or value is None or value == ""):
                place = metrics if _is_metric(name, quality) else settings
                place |= flat_settings({name: value if isinstance(value, bool | int | float) else str(value)})
        metrics["_step"] = own["_step"] if isinstance(own.get("_step"), int | float) else 1
        name = str(about.get("name") or about.get("id") or f"run {at}")
        taken.append(
            WandbRun(
                id=str(about.get("id") or f"{name} {start:.0f}"),
                name=name,
                history=columns_of([{**metrics, "_timestamp": start + runtime, "_runtime": runtime}]),
                settings=settings,
                state=run_state(str(about.get("state") or "finished").lower()),
                started_at=start,
                ended_at=start + runtime,
                user=str(about.get("user") or ""),
                accelerators=int(_number(about.get("gpu count"))),
            )
        )
    if not taken:
        raise RequestError(
            f"'{path}' has no timestamps: a table of runs needs Created (or _timestamp) and Runtime (or _runtime)"
        )
    return taken, len(table) - len(taken)


def _created(path: Path, table: pa.Table, lower: Mapping[str, str]) -> Floats:
    if "created" not in lower:
        return np.full(len(table), math.nan)
    return table_file.times(path, lower["created"], table[lower["created"]])


def _is_metric(name: str, quality: str) -> bool:
    """Whether a column of a runs table is a metric: the table does not say.

    The quality is, and what is below a folder (train/loss) or has a name that says which way is better.
    """
    return name == quality or "/" in name or stated_direction(name) is not None


def _dictionary(path: Path, row: int, text: Any) -> dict[str, Any]:
    """A cell that Python wrote: what ``run.summary._json_dict`` and ``run.config`` are in a csv."""
    if not isinstance(text, str) or not text:
        return text if isinstance(text, dict) else {}
    try:
        found = ast.literal_eval(re.sub(r"(?<=[:\[,] )-?(?:nan|inf)\b", "None", text))
    except (ValueError, SyntaxError):
        found = None
    if not isinstance(found, dict):
        raise RequestError(f"'{path}': row {row} has '{text[:40]}', which is no dictionary") from None
    return found


def _seconds(value: Any) -> float:
    """A runtime: a number of seconds, or a text such as 1h 2m 3s; NaN for none."""
    if isinstance(value, str):
        parts = _PART_OF_RUNTIME.findall(value)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else _to_float(value)
    return float(value) if isinstance(value, int | float) else math.nan


def _to_float(text: str) -> float:
    return float(pd.to_numeric(text, errors="coerce"))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value == value else 0.0
