"""A run outside any study: what a workload's training needs, and nothing that a tracker does with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tracker.records import DataCard, QualityMetric, Settings
from tracker.training.assignment import Place, Reporting, Saving, Seat, Task
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Run
from tracker.training.workload import Workload

_SEAT: Settings = {"device": "cpu", "precision": "fp32", "threads": 1, "compile": False, "processes": 1}


def default_settings(workload: Workload, **settings: Any) -> Settings:
    """A workload's own defaults, on one thread of the CPU in fp32, and ``settings`` before all of these."""
    defaults = {name: knob.default for name, knob in workload.knobs.items() if knob.default is not None}
    return {**defaults, **_SEAT, **settings}


def prepared_task(
    workload: Workload, settings: Settings, data: Mapping[str, Any], cache: Path, quality: QualityMetric, seed: int = 0
) -> Task:
    """The task of training a workload, its data prepared in ``cache``."""
    return Task(settings, data, workload.prepare(data, settings, cache, _ignore), seed, quality)


def bare_task(quality: QualityMetric, seed: int = 0, **settings: Any) -> Task:
    """A task without data, on the CPU unless ``settings`` say otherwise."""
    return Task({**_SEAT, **settings}, {}, DataCard("", "", {}), seed, quality)


def bare_run(
    task: Task,
    place: Place,
    write: Callable[..., None] | None = None,
    *,
    meter: Meter | None = None,
    declared_metrics: frozenset[str] = frozenset(),
    saving: Saving | None = None,
) -> Run:
    """A run at a task, on the device, in the precision and with as many threads as its settings say.

    ``write`` receives its events.
    """
    settings = {**_SEAT, **task.settings}
    threads = int(settings["threads"])
    torch.set_num_threads(threads)
    seat = Seat(torch.device(str(settings["device"])), PRECISIONS[str(settings["precision"])])
    meter = meter or Meter(asked_steady=time.monotonic(), cores=threads)
    return Run(task, seat, place, Reporting(meter, write or _ignore, declared_metrics=declared_metrics), saving)


def _ignore(*_: object) -> None:
    """Nothing is said and nothing recorded."""
