"""A kept model as MLflow serves it: the loader that an MLflow model of ours names, without pickled code.

MLflow calls ``_load_pyfunc`` with the folder of the kept files and ``predict`` of what it returns.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tracker.errors import RequestError
from tracker.study.document import short_name
from tracker.training.loading import load_workload
from tracker.training.workload import Predictor, Predicts

NOTE = "tracker.json"
"""The file beside a kept model's own that names its workload."""


def predictor_of(workload: str, folder: Path, weights: str, device: str) -> Predictor:
    """The kept model in ``folder``, ready to predict. Raises RequestError where its workload cannot, WorkloadError."""
    loaded = load_workload(workload)
    if not isinstance(loaded, Predicts):
        raise RequestError(
            f"workload '{short_name(workload)}' has no predictor(folder, weights, device),"
            " so its models cannot be served"
        )
    return loaded.predictor(folder, weights, torch.device(device))


class ServedModel:
    """What MLflow calls: a table, an array or a list of inputs to one answer each."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[Any]:
        """The answers. A table of one column gives its values, one of several a dict for each row."""
        del params
        return self._predictor(_rows(model_input))


def _rows(given: Any) -> list[Any]:
    if hasattr(given, "to_dict"):  # a pandas table, which MLflow makes of most requests
        rows: list[dict[str, Any]] = given.to_dict("records")
        return [next(iter(row.values())) for row in rows] if len(given.columns) == 1 else rows
    return list(given.tolist() if hasattr(given, "tolist") else given)


def _load_pyfunc(path: str) -> ServedModel:
    folder = Path(path)
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    return ServedModel(predictor_of(note["workload"], folder, "fp32", "cpu"))
