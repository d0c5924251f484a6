"""Measures the stored models of a study's frontier, each format of each model in a separate process."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tracker.engine.forkserver import Forkserver
from tracker.errors import RequestError, StoreError
from tracker.pricing.price_point import PricePoint, price_point_from_row
from tracker.report.serving import MeasuredPoint, serving_table
from tracker.report.tables import frontier_table
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.training.machine import usable_cores
from tracker.training.serving_cost import answer_quality, measure_serving, serving_inputs, varied_inputs

INPUTS = 256
"""The most inputs of the test split to predict."""


def measure_frontier(
    table: StudyTable,
    home: Home,
    weights: Sequence[str],
    threads: int,
    seconds: float,
    points: int,
    notify: Callable[[str], None],
    vary: tuple[str, Sequence[Any]] = ("", ()),
) -> pd.DataFrame:
    """The cost of serving each of at most ``points`` frontier models on this machine's CPU; see ``serving_table``.

    ``weights`` are formats of tracker.training.workload.WEIGHTS; fp32 is always measured, as the reference. ``vary`` is
    a key of inputs and values: each model is measured with each of them too. Raises RequestError where there are no
    stored models, the workload cannot predict, or ``threads`` exceeds the cores, StoreError where the study was not
    read from MLflow.
    """
    if table.notice:
        raise StoreError(f"the models to serve are in MLflow, which lacks some, or cannot be read: {table.notice}")
    if threads > usable_cores():
        raise RequestError(f"threads {threads}: this machine has {usable_cores()} cores to use")
    document = folder_of(home, table.study).document()
    workload, data = document.workload or "", document.content.get("data", {})
    frontier = frontier_table(table)
    chosen = frontier.iloc[np.unique(np.linspace(0, len(frontier) - 1, min(points, len(frontier))).astype(int))]
    forkserver = Forkserver(workload)
    formats = list(dict.fromkeys(["fp32", *weights]))
    measured, inputs = [], None
    for row in chosen.to_dict("records"):
        folder = _model_files(home, row["run_id"], row["epoch"])
        if folder is None:
            notify(f"trial #{row['trial']} has no stored model after epoch {row['epoch']}: left out")
            continue
        if inputs is None:
            inputs = forkserver.call(serving_inputs, workload, data, row["settings"], home.cache, INPUTS)
        notify(f"measuring trial #{row['trial']} after epoch {row['epoch']}")
        servings = []
        for varied, asked in [("", inputs), *_varied(inputs, *vary)]:
            for each in formats:
                arguments = workload, folder, each, "cpu", threads, asked, seconds
                serving = forkserver.call(measure_serving, *arguments)
                judged = asked, serving.answers, data, row["settings"], home.cache
                quality = forkserver.call(answer_quality, workload, table.quality.name, *judged)
                servings.append(replace(serving, varied=varied, answer_quality=quality))
        measured.append(MeasuredPoint(row, servings))
    if not measured:
        raise RequestError(
            f"study '{table.study}' has no stored model that can be served: its workload needs a predictor"
        )
    return serving_table(measured, _cpu_point(table), table.terms, threads)


def _varied(inputs: Sequence[Any], key: str, values: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    return [(f"{key}={value}", varied_inputs(inputs, key, value)) for value in values]


def _model_files(home: Home, run_id: str, epoch: int) -> Path | None:
    """The stored files of a run's epoch on this machine; None where there are none."""
    models: Any = importlib.import_module("tracker.store.mlflow_models")  # imports MLflow
    found: Path | None = models.fetch(home.tracking_uri, run_id, epoch)
    return found


def _cpu_point(table: StudyTable) -> PricePoint:
    """The rate of this machine's CPU in the study: that of preparing the data."""
    rows = table.runs[(table.runs["role"] == "preparation") & (table.runs["price_point"] != "")]
    if rows.empty:
        raise RequestError(f"study '{table.study}' does not say what its machine's CPU is billed as")
    return price_point_from_row(json.loads(rows.iloc[0]["price_point"]), "preparation")
