"""What training code is handed: its settings, its device, and a way to report.

Nothing else of the tracker is needed to train: no MLflow, no Optuna, no configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tracker.errors import TrainingFailedError
from tracker.records import BOOKED_METRICS, DataCard, Settings, SettingValue
from tracker.training.meter import Meter
from tracker.training.precision import Precision


class Run:
    """One attempt at training, seen from the inside.

    Attributes:
        settings: every knob's value, the hardware knobs (device, threads, precision, compile) among them.
        data: the study's ``[data]`` table.
        data_card: what ``Workload.prepare`` returned for it.
        seed: seeds every source of randomness that the training uses.
        device: where to put model and batches.
        precision: ``precision.autocast(device)`` and ``precision.scaler(device)`` do the right thing.
        cache: the folder that ``Workload.prepare`` was given.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        data: Mapping[str, Any],
        data_card: DataCard,
        seed: int,
        device: torch.device,
        precision: Precision,
        cache: Path,
        artifacts: Path,
        quality_metrics: frozenset[str],
        meter: Meter,
        write: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.settings = settings
        self.data = data
        self.data_card = data_card
        self.seed = seed
        self.device = device
        self.precision = precision
        self.cache = cache
        self._artifacts = artifacts
        self._quality_metrics = quality_metrics
        self._meter = meter
        self._write = write
        self._last_epoch = 0
        self.summary: dict[str, float] = {}

    def __getitem__(self, knob: str) -> SettingValue:
        return self.settings[knob]

    def ready(self) -> None:
        """Say that model and data are loaded and training starts: start-up time ends here."""
        self._meter.ready()
        self._write("ready", {"startup_seconds": self._meter.phases().startup_seconds})

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time spent inside counts as evaluation, not as training; it is paid for all the same."""
        with self._meter.evaluating():
            yield

    def report(self, epoch: int, **metrics: float) -> None:
        """A checkpoint: after ``epoch`` (from 1, rising) the model has these metrics.

        Raises TrainingFailedError(``not_finite``) where one is NaN or infinite: what was spent stays counted,
        and no such number is ever called a quality. Raises TrainingFailedError(``bad_report``) where the epoch
        does not rise, a metric that the workload promised is missing, or one has a name that the tracker keeps the
        books under (records.BOOKED_METRICS).
        """
        missing = self._quality_metrics - metrics.keys()
        if missing:
            raise TrainingFailedError("bad_report", f"epoch {epoch} reports no {', '.join(sorted(missing))}")
        if epoch <= self._last_epoch:
            raise TrainingFailedError("bad_report", f"epoch {epoch} was reported after epoch {self._last_epoch}")
        _refuse_booked(metrics)
        values = {name: float(value) for name, value in metrics.items()}
        broken = {name: value for name, value in values.items() if not math.isfinite(value)}
        if broken:
            told = ", ".join(f"{name} is {value}" for name, value in broken.items())
            raise TrainingFailedError("not_finite", f"{told} after epoch {epoch}")
        self._last_epoch = epoch
        self._write("checkpoint", {"epoch": epoch, "metrics": values, "usage": self._meter.usage()})

    def conclude(self, **figures: float) -> None:
        """Figures about the whole run, shown and logged but never told to the search.

        Such as ``test_accuracy``, ``parameters``, ``flops``, ``samples_per_second``. Raises
        TrainingFailedError(``bad_report``) for a name of records.BOOKED_METRICS.
        """
        _refuse_booked(figures)
        self.summary.update({name: float(value) for name, value in figures.items()})

    def artifact(self, name: str) -> Path:
        """Where to write a file that is worth keeping with the run, such as the model's weights.

        Kept for runs on the frontier; deleted with the rest otherwise.
        """
        self._artifacts.mkdir(parents=True, exist_ok=True)
        return self._artifacts / name


def _refuse_booked(figures: Mapping[str, float]) -> None:
    """Nothing that training code says may pass for what was measured of it."""
    if taken := sorted(figures.keys() & set(BOOKED_METRICS)):
        raise TrainingFailedError(
            "bad_report", f"{', '.join(taken)}: the tracker measures this itself; use another name"
        )
