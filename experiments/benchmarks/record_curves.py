"""Records a table of learning curves: what many settings of a workload had reached, at what cost, after each epoch.

    python -m experiments.benchmarks.record_curves digits [--trials 300] [--processes 1] [--out FILE.npz]

Settings are drawn by Optuna's RandomSampler from a space of numbers; each is trained to its last epoch on one thread. A
checkpoint's seconds are those of the processor since the training was called, model and data included: on one thread
that is what it takes on a core of its own, and other work on the machine changes it little. A training that diverges
has no checkpoints after that: NaN in the table, and no row where it has none at all. What the arrays are, is in
experiments.benchmarks.curve_table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.benchmarks.bare_run import bare_run, default_settings
from tracker.errors import TrainingFailedError
from tracker.records import DataCard, Direction, QualityMetric, Settings
from tracker.search.sampler import Sampling, Trials
from tracker.study.domains import Domain, Range
from tracker.study.space import SearchSpace
from tracker.training.assignment import Place, Task
from tracker.training.hardware import describe_hardware
from tracker.training.loading import load_workload
from tracker.training.workload import Workload

FOLDER = Path("results/records/curves")
QUALITY = QualityMetric("accuracy", Direction.MAXIMIZE)
_SAVED_EVERY = 50


@dataclass(frozen=True, slots=True)
class Recording:
    """What is trained: a workload by name, its ``[data]``, what is fixed and what is drawn."""

    workload: str
    data: Mapping[str, Any]
    settings: Settings
    space: Mapping[str, Domain]


RECORDINGS: Mapping[str, Recording] = {
    "digits": Recording(
        "experiments.workloads.image_classifier:ImageClassifier",
        {"source": "digits"},
        {"architecture": "cnn", "epochs": 20},
        {
            "size": Range(1, 3, integer=True),
            "batch_size": Range(24, 256, log=True, integer=True),
            "learning_rate": Range(3e-4, 3e-2, log=True),
            "weight_decay": Range(1e-3, 1.0, log=True),
            "dropout": Range(0.0, 0.6),
            "shift": Range(0.0, 0.25),
            "train_share": Range(0.05, 0.7, log=True),
        },
    ),
    "breast_cancer": Recording(
        "experiments.workloads.tabular_classifier:TabularClassifier",
        {"source": "breast_cancer"},
        {"architecture": "mlp", "epochs": 30},
        {
            "width": Range(8, 512, log=True, integer=True),
            "depth": Range(1, 5, integer=True),
            "batch_size": Range(8, 256, log=True, integer=True),
            "learning_rate": Range(1e-4, 3e-2, log=True),
            "weight_decay": Range(1e-3, 1.0, log=True),
            "dropout": Range(0.0, 0.6),
            "train_share": Range(0.1, 1.0, log=True),
        },
    ),
}
"""The tables in results/records/curves, by task."""


class _Curve:
    """Takes a run's events: the quality at each checkpoint, and the processor's seconds until it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.quality: list[float] = []
        self._begin = time.process_time()

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        if event == "checkpoint":
            self.seconds.append(time.process_time() - self._begin)
            self.quality.append(float(fields["metrics"][QUALITY.name]))


def record(task: str, trials: int, seed: int, processes: int, out: Path) -> None:
    """Train ``trials`` settings of a recording and write their curves to ``out``, also at intervals on the way."""
    recording, machine = RECORDINGS[task], describe_hardware().label
    workload = load_workload(recording.workload)
    fixed = _fixed(workload, recording)
    space = SearchSpace(fixed, {"cpu": recording.space})
    drawn = Trials.create(None, task, {QUALITY.name: QUALITY.direction}, space, seed, Sampling("RandomSampler"))
    settings = [drawn.ask().settings for _ in range(trials)]
    about = {"task": task, "machine": machine, "date": str(date.today()), "seed": seed}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="curves-") as folder:
        cache = Path(folder) / "cache"
        card = workload.prepare(recording.data, fixed, cache, lambda _: None)
        train = partial(_train, recording, card, cache)
        warm_up = ({**settings[0], "epochs": 1},)
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, partial(_start, train), warm_up) as pool:
            curves: list[_Curve] = []
            for curve in pool.imap(train, settings):
                curves.append(curve)
                if len(curves) == trials or len(curves) % _SAVED_EVERY == 0:
                    _write(out, task, recording, settings, curves, about)
                    print(f"{task}: {len(curves)} of {trials}", flush=True)


def _fixed(workload: Workload, recording: Recording) -> Settings:
    return default_settings(workload, **recording.settings)


def _start(train: Callable[[Settings], _Curve], settings: Settings) -> None:
    """A process starts with this: one thread, and a training to warm up."""
    torch.set_num_threads(1)
    train(settings)


def _train(recording: Recording, card: DataCard, cache: Path, settings: Settings) -> _Curve:
    workload, curve = load_workload(recording.workload), _Curve()
    with tempfile.TemporaryDirectory(dir=cache.parent) as artifacts:
        task = Task(settings, recording.data, card, 0, QUALITY)
        run = bare_run(task, Place(cache, Path(artifacts)), curve.write)
        try:
            workload.train(run)
        except TrainingFailedError as error:
            print(f"{settings}: {error}", flush=True)
    return curve


def _write(
    out: Path,
    task: str,
    recording: Recording,
    settings: Sequence[Settings],
    curves: Sequence[_Curve],
    about: Mapping[str, Any],
) -> None:
    rows = [
        row for row in zip(settings, curves, strict=False) if row[1].seconds
    ]  # with no checkpoint there is no price
    epochs = int(recording.settings["epochs"])
    names = list(recording.space)
    origin = {
        **about,
        "workload": recording.workload,
        "fixed": dict(recording.settings),
        "seconds": "processor seconds of one thread since the training was called",
        "accuracy": "on the validation split",
    }
    arrays: dict[str, NDArray[Any]] = {
        "setting_names": np.array(names),
        f"{task}/settings": np.array([[each[name] for name in names] for each, _ in rows], np.float32),
        f"{task}/seconds": np.array([_padded(curve.seconds, epochs) for _, curve in rows], np.float32),
        f"{task}/accuracy": np.array([_padded(curve.quality, epochs) for _, curve in rows], np.float32),
        "about": np.array(json.dumps(origin)),
    }
    partial = out.with_name(f"{out.stem}.partial.npz")
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(out)


def _padded(values: Sequence[float], length: int) -> list[float]:
    return [*values, *[float("nan")] * (length - len(values))]


def main() -> None:
    """Parse the command line and record."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.record_curves")
    parser.add_argument("task", choices=tuple(RECORDINGS))
    parser.add_argument("--trials", type=int, default=300, help="settings that are trained")
    parser.add_argument("--seed", type=int, default=0, help="of the settings that are drawn")
    parser.add_argument("--processes", type=int, default=1, help="trainings side by side, each on one thread")
    parser.add_argument("--out", type=Path, help=f"the table; default {FOLDER}/TASK.npz")
    options = parser.parse_args()
    record(options.task, options.trials, options.seed, options.processes, options.out or FOLDER / f"{options.task}.npz")


if __name__ == "__main__":
    main()
