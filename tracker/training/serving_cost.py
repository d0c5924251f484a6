"""How fast a kept model predicts on this machine: latency, throughput and memory, in each format of its weights.

To be called in a child process, one model and one format a call: memory is that of the whole process.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracker.errors import RequestError, TrackerError
from tracker.records import Settings
from tracker.study.document import short_name
from tracker.training.loading import load_workload
from tracker.training.meter import bytes_below
from tracker.training.serving import predictor_of
from tracker.training.workload import Predictor, Predicts, ScoresAnswers

BATCH = 32
"""Predictions in one call where throughput is measured."""
FEWEST_CALLS = 20
WARM_UP_CALLS = 3


@dataclass(frozen=True, slots=True)
class Serving:
    """A kept model measured in one format of its weights.

    ``p50_ms`` and ``p99_ms`` are the time of one prediction alone, ``predictions_per_second`` those in batches of
    BATCH, ``peak_memory_bytes`` the process's, ``model_bytes`` the kept files'. ``answers`` are those to the inputs
    that were given, to be compared with another format's. ``problem`` says why there is no figure, "" where there is.
    ``varied`` is the key that all inputs had in addition, as "key=value", "" for inputs as they are; ``answer_quality``
    the study's quality of the answers on the test split, NaN where the workload cannot say.
    """

    weights: str
    p50_ms: float
    p99_ms: float
    predictions_per_second: float
    peak_memory_bytes: int
    model_bytes: int
    answers: tuple[Any, ...]
    problem: str = ""
    varied: str = ""
    answer_quality: float = math.nan


def serving_inputs(workload: str, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
    """Inputs of the test split to measure with. Raises RequestError where the workload has none, DataError."""
    loaded = load_workload(workload)
    if not isinstance(loaded, Predicts):
        raise RequestError(
            f"workload '{short_name(workload)}' has no predictor(folder, weights, device) and prediction_inputs(…):"
            " its models cannot be served"
        )
    inputs = loaded.prediction_inputs(data, settings, cache, limit)
    if not inputs:
        raise RequestError(f"workload '{short_name(workload)}' gives no inputs to predict")
    return inputs


def varied_inputs(inputs: Sequence[Any], key: str, value: Any) -> list[Any]:
    """The inputs with ``key`` set to ``value`` in each. Raises RequestError where they are no dicts."""
    if not all(isinstance(each, dict) for each in inputs):
        raise RequestError(f"vary {key}: an input of this workload is no table of keys that one could be added to")
    return [{**each, key: value} for each in inputs]


def answer_quality(
    workload: str,
    metric: str,
    inputs: Sequence[Any],
    answers: Sequence[Any],
    data: Mapping[str, Any],
    settings: Settings,
    cache: Path,
) -> float:
    """The ``metric`` of answers to inputs of the test split; NaN where the workload does not score answers."""
    loaded = load_workload(workload)
    if not isinstance(loaded, ScoresAnswers) or not answers:
        return math.nan
    return float(loaded.answer_scores(inputs, answers, data, settings, cache).get(metric, math.nan))


def measure_serving(
    workload: str, folder: Path, weights: str, device: str, threads: int, inputs: Sequence[Any], seconds: float
) -> Serving:
    """Measure for about ``seconds``, half of it one by one and half in batches. A failing format has a ``problem``."""
    torch.set_num_threads(threads)
    try:
        predictor = predictor_of(workload, folder, weights, device)
        answers = tuple(_batched(predictor, inputs))
        single = _call_seconds(predictor, [[each] for each in inputs], seconds / 2)
        batches = [list(inputs[at : at + BATCH]) for at in range(0, len(inputs), BATCH)]
        together = _call_seconds(predictor, batches, seconds / 2)
    except (TrackerError, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Serving(weights, math.nan, math.nan, math.nan, 0, 0, (), reason)
    sizes = np.array([len(batches[at % len(batches)]) for at in range(len(together))])
    return Serving(
        weights=weights,
        p50_ms=float(np.percentile(single, 50)) * 1000,
        p99_ms=float(np.percentile(single, 99)) * 1000,
        predictions_per_second=float(sizes.sum() / np.sum(together)),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        model_bytes=bytes_below(folder),
        answers=answers,
    )


def _batched(predictor: Predictor, inputs: Sequence[Any]) -> list[Any]:
    return [answer for at in range(0, len(inputs), BATCH) for answer in predictor(inputs[at : at + BATCH])]


def _call_seconds(predictor: Predictor, calls: Sequence[Sequence[Any]], seconds: float) -> list[float]:
    """The time of each call, over and over for about ``seconds``, at least FEWEST_CALLS."""
    for number in range(WARM_UP_CALLS):
        predictor(calls[number % len(calls)])
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < FEWEST_CALLS or time.perf_counter() < end:
        begin = time.perf_counter()
        predictor(calls[len(taken) % len(calls)])
        taken.append(time.perf_counter() - begin)
    return taken
