"""A study that ``tracker report --format csv`` or ``parquet`` exported, read back from its folder as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tracker.errors import RequestError
from tracker.export.study_file import NAME
from tracker.imports.export_files import read_document, read_table
from tracker.pricing.energy import grams_per_kwh
from tracker.pricing.price_point import price_point_from_row
from tracker.records import Direction, QualityMetric, TrialState
from tracker.store.attempts import COUNTED, SeveralAttempts
from tracker.store.run_table import CHECKPOINT_COLUMNS, PROVENANCE, RUN_COLUMNS, CheckpointMetrics, StudyTable
from tracker.store.setting_texts import setting_value
from tracker.study.costs import CostTerms
from tracker.study.spec import Limit
from tracker.study.tags import tag_problems

_RUN = (*RUN_COLUMNS, "price_point")
_CHECKPOINT = tuple(name for name in CHECKPOINT_COLUMNS if name != "run")
_ATTEMPT = ("run_id", "attempt", "started_at", "ended_at", *COUNTED)


def read_export(folder: Path) -> StudyTable:
    """The study that was exported into ``folder``: of parquet and csv, parquet.

    Raises RequestError where there is no export, half of one, one that lacks columns or rows that study.json tells
    of, one by a newer tracker, and one at other prices than those that were billed.
    """
    document = read_document(folder)
    try:
        return _study_table(folder, document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RequestError(f"'{folder / NAME}' is not as an export has it ({reason}); export the study again") from None


def _study_table(folder: Path, document: Mapping[str, Any]) -> StudyTable:
    quality = QualityMetric(document["quality"]["name"], Direction(document["quality"]["direction"]))
    exported_runs = read_table(folder, "runs", document["tables"]["runs"], _RUN)
    exported_steps = read_table(folder, "checkpoints", document["tables"]["checkpoints"], _CHECKPOINT)
    exported_attempts = read_table(folder, "attempts", document["tables"]["attempts"], _ATTEMPT)
    points = [_price_point(point) for point in document["price_points"]]
    if document["country"]:
        grams_per_kwh(document["country"])  # one that is not known would fail whatever reads the study
    runs = _runs(exported_runs, points)
    rows, steps = _checkpoints(exported_steps, runs)
    metrics = {name: _floats(values)[rows] for name, values in _own(exported_steps, "metrics").items()}
    attempts = _several(exported_attempts, runs)
    index = pd.RangeIndex(len(runs))
    budget = document["budget_usd"]
    return StudyTable(
        study=str(document["study"]),
        quality=quality,
        budget_usd=None if budget is None else float(budget),
        price_book=str(document["price_book"]),
        state=TrialState(document["state"]),
        runs=runs,
        settings=pd.DataFrame(
            {name: _settings(values) for name, values in _own(exported_runs, "settings").items()},
            index=index,
            dtype=object,
        ),
        summary=pd.DataFrame(
            {name: _floats(values) for name, values in _own(exported_runs, "summary").items()}, index=index, dtype=float
        ),
        checkpoints=steps,
        metrics=CheckpointMetrics.of({quality.name: steps["quality"].to_numpy(), **metrics}),
        attempts=SeveralAttempts(lambda: attempts),
        limits=tuple(Limit(**limit) for limit in document["limits"]),
        terms=CostTerms(**document["costs"]),
        country=str(document["country"]),
        data=str(document["data"]),
        provenance={name: str(text) for name, text in document["provenance"].items() if name in PROVENANCE},
        tags=_tags(document["tags"]),
        user=str(document["user"]),
    )


def _price_point(row: Mapping[str, str]) -> str:
    """A machine and its rate as StudyTable.runs has them; a PriceBookError where they are none."""
    price_point_from_row(row, f"{NAME}, price_points")
    return json.dumps(row, ensure_ascii=False)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    if problems := tag_problems(tags):
        raise ValueError("; ".join(f"tags.{key}: {problem}" for key, problem in problems.items()))
    return dict(tags)


def _own(table: pa.Table, kind: str) -> dict[str, pa.ChunkedArray]:
    """The columns that begin with ``kind`` and a dot, by the name after it."""
    return {
        name.removeprefix(f"{kind}."): table.column(name) for name in table.column_names if name.startswith(f"{kind}.")
    }


def _runs(exported: pa.Table, points: list[str]) -> pd.DataFrame:
    runs = pd.DataFrame({name: _column(exported.column(name)) for name in RUN_COLUMNS})
    if runs["run_id"].duplicated().any():
        twice = runs.loc[runs["run_id"].duplicated(), "run_id"].iloc[0]
        raise RequestError(f"the exported runs have run_id '{twice}' more than once")
    places = exported.column("price_point").fill_null(-1).to_numpy().astype(np.int64)
    if len(places) and not (places.min() >= -1 and places.max() < len(points)):
        raise ValueError(f"a run has price_point {places.max()}, of {len(points)} price_points")
    return runs.assign(price_point=pd.array(np.array([*points, ""], dtype=object)[places], dtype="str"))


def _checkpoints(exported: pa.Table, runs: pd.DataFrame) -> tuple[np.ndarray[Any, Any], pd.DataFrame]:
    """The checkpoints by run and epoch, and the rows that they have in the export."""
    steps = pd.DataFrame({name: _column(exported.column(name)) for name in _CHECKPOINT})
    at = pd.Index(runs["run_id"]).get_indexer(pd.Index(steps["run_id"]))
    if (at < 0).any():
        raise RequestError(
            f"half an export: run '{steps['run_id'][at < 0].iloc[0]}' has checkpoints and is not in runs"
        )
    rows = np.lexsort((steps["epoch"].to_numpy(), at))
    return rows, steps.assign(run=at).iloc[rows].reset_index(drop=True)[list(CHECKPOINT_COLUMNS)]


def _several(exported: pa.Table, runs: pd.DataFrame) -> pd.DataFrame:
    """StudyTable.attempts: those at runs that had more than one."""
    attempts = pd.DataFrame({name: _column(exported.column(name)) for name in _ATTEMPT})
    at = pd.Index(runs["run_id"]).get_indexer(pd.Index(attempts["run_id"]))
    attempts = attempts.assign(run=at).sort_values(["run", "attempt"], kind="stable")
    chosen = (attempts["run"] >= 0) & attempts["run"].duplicated(keep=False)
    numbers = ("started_at", "ended_at", *COUNTED)
    return attempts.loc[chosen, ["run", *numbers]].reset_index(drop=True).astype(dict.fromkeys(numbers, float))


def _column(values: pa.ChunkedArray) -> Any:
    if pa.types.is_floating(values.type) or pa.types.is_null(values.type):
        return _floats(values)
    if pa.types.is_string(values.type):
        return pd.array(values.fill_null("").to_pylist(), dtype="str")
    return values.to_numpy()


def _floats(values: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers: np.ndarray[Any, np.dtype[np.float64]] = values.cast(pa.float64()).to_numpy().astype(np.float64)
    return numbers


def _settings(values: pa.ChunkedArray) -> list[Any]:
    known: list[Any] = values.to_pylist()
    if not pa.types.is_string(values.type):
        return known
    return [None if value is None else setting_value(value) for value in known]
