"""A workload of the gallery trained by a given loop outside a study: what benchmarks.loops times."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.bare_run import bare_run, default_settings
from experiments.benchmarks.plain_fit import plain_fit
from experiments.training_loop import Fit, fit
from tracker.records import DataCard, Direction, QualityMetric
from tracker.training.assignment import Place, Task
from tracker.training.loading import load_workload

STUDIES = Path(__file__).parents[1] / "studies"
LOOPS = {"ours": fit, "plain": plain_fit}
TRAINER = "experiments.benchmarks.trainer_fit"
TUNED = ("fine_tuner", "classifier_tuner")
"""Studies whose plain loop is the Trainer of transformers."""


def smoke_study(name: str) -> dict[str, Any]:
    """A study of the gallery with its [smoke] settings and data."""
    study = tomllib.loads((STUDIES / f"{name}.toml").read_text(encoding="utf-8"))
    smoke = {knob: value for knob, value in study.get("smoke", {}).items() if knob not in ("trials", "data")}
    data = {**study.get("data", {}), **study.get("smoke", {}).get("data", {})}
    return {**study, "settings": {**study.get("settings", {}), **smoke}, "data": data}


def prepare(study: Mapping[str, Any], threads: int, home: Path) -> DataCard:
    """Make the data ready. For a child process."""
    workload, settings = load_workload(study["workload"]), _settings(study, threads, 1)
    return workload.prepare(study.get("data", {}), settings, home / "cache", _say_nothing)


def train(study: Mapping[str, Any], threads: int, home: Path, card: DataCard, loop: str, epochs: int) -> float:
    """Seconds from ready to the end of fit. For a child process: the loop is put in its workload's place for good."""
    torch.set_num_threads(threads)
    reference = study["workload"]
    workload, module = load_workload(reference), importlib.import_module(reference.partition(":")[0])
    clock: dict[str, float] = {}
    by_trainer = loop == "plain" and study["name"] in TUNED
    chosen = importlib.import_module(TRAINER).trainer_fit if by_trainer else LOOPS[loop]

    def timed(*arguments: Any, **named: Any) -> Fit:
        clock["begin"] = time.perf_counter()
        done = chosen(*arguments, **named)
        clock["end"] = time.perf_counter()
        raise _FitDoneError(done)

    module.fit = timed
    quality = QualityMetric(study["quality"]["metric"], Direction(study["quality"].get("direction", "maximize")))
    task = Task(_settings(study, threads, epochs), study.get("data", {}), card, 0, quality)
    run = bare_run(task, Place(home / "cache", Path(tempfile.mkdtemp(dir=home))))
    with contextlib.suppress(_FitDoneError):
        workload.train(run)
    return clock["end"] - clock["begin"]


class _FitDoneError(Exception):
    """Ends a training where the loop has ended: what comes after it is not measured."""


def _settings(study: Mapping[str, Any], threads: int, epochs: int) -> dict[str, Any]:
    alone = {"device": "cpu", "threads": threads, "precision": "fp32", "compile": False, "processes": 1}
    return default_settings(load_workload(study["workload"]), **{**study["settings"], **alone, "epochs": epochs})


def _say_nothing(message: str) -> None:
    del message
