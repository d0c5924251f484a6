"""What training code is handed: its settings, its device, and a way to report.

Nothing else of the tracker is needed to train: no MLflow, no Optuna, no configuration.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar

import torch
from torch import nn

from tracker.errors import TrainingFailedError
from tracker.records import BOOKED_METRICS, DataCard, Direction, QualityMetric, Settings, SettingValue, last_epoch_of
from tracker.training.meter import Meter
from tracker.training.precision import Precision
from tracker.training.state import SavedState, StateLostError, read_state, write_state

SAVING_SHARE = 0.05
"""States are saved at most so often that writing them takes about this share of the time: an assumption."""

Model = TypeVar("Model", bound=nn.Module)


class Paused(BaseException):
    """Raised out of ``Run.save`` where the attempt was asked to pause there; its text is the epoch."""


class Run:
    """One attempt at training, seen from the inside.

    Attributes:
        settings: every knob's value, the hardware knobs (device, threads, precision, compile, processes) among them.
        data: the study's ``[data]`` table.
        data_card: what ``Workload.prepare`` returned for it.
        seed: seeds every source of randomness that the training uses.
        device: where to put model and batches.
        precision: ``precision.autocast(device)`` and ``precision.scaler(device)`` do the right thing.
        cache: the folder that ``Workload.prepare`` was given.
        rank: which of the trial's processes this is, from 0; only process 0 reports, saves and keeps files.
        processes: how many processes train the one model together.
        folder: the trial's own folder, which later attempts at it find again; None outside a study.
        study, label: the study's name, and a text that names this attempt among all.
        tracking_uri: the study's MLflow store.
        accelerators: the indices of all GPUs that the attempt has.
        output: the file that the attempt's output goes to; None where it is not redirected.
        summary: what ``conclude`` was told.
        quality: the study's measure of quality: what to stop early by, for instance.
        reported: whether there was a report.
        pause_asked: whether the attempt is to pause at its next ``save``.
        improved: whether the last report's quality is better than that of every one before it.
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
        quality: QualityMetric,
        meter: Meter,
        write: Callable[[str, Mapping[str, Any]], None],
        promised_metrics: frozenset[str] = frozenset(),
        state_path: Path | None = None,
        pause_after_epoch: int | None = None,
        rank: int = 0,
        processes: int = 1,
        folder: Path | None = None,
        study: str = "",
        label: str = "",
        tracking_uri: str = "",
        accelerators: tuple[int, ...] = (),
        output: Path | None = None,
    ) -> None:
        self.settings = settings
        self.data = data
        self.data_card = data_card
        self.seed = seed
        self.device = device
        self.precision = precision
        self.cache = cache
        self.folder = folder
        self.study = study
        self.label = label
        self.tracking_uri = tracking_uri
        self.accelerators = accelerators
        self.output = output
        self.rank = rank
        self.processes = processes
        self.summary: dict[str, float] = {}
        self.quality = quality
        self.reported = False
        self.pause_asked = False
        self.improved = False
        self._artifacts = artifacts
        self._promised_metrics = promised_metrics | {quality.name}
        self._meter = meter
        self._write = write
        self._state_path = state_path
        self._pause_after_epoch = pause_after_epoch
        self._last_epoch = 0
        self._best: float | None = None
        self._next_save = 0.0
        self._together = False
        self._notes: set[str] = set()

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

    def report(self, epoch: int, **metrics: SupportsFloat) -> None:
        """A checkpoint: after ``epoch`` (from 1, rising) the model has these metrics, each a number.

        Raises TrainingFailedError(``not_finite``) where one is NaN or infinite: what was spent stays counted,
        and no such number is ever called a quality. Raises TrainingFailedError(``bad_report``) where the epoch
        is not a whole number above the last one, a metric that the workload or the study promised is missing or no
        number, or one has a name that the tracker keeps the books under (records.BOOKED_METRICS).
        """
        missing = self._promised_metrics - metrics.keys()
        if missing:
            raise TrainingFailedError("bad_report", f"epoch {epoch} reports no {', '.join(sorted(missing))}")
        if isinstance(epoch, bool) or not isinstance(epoch, int):
            raise TrainingFailedError("bad_report", f"epoch {epoch!r} is not a whole number of at least 1")
        if epoch <= self._last_epoch:
            raise TrainingFailedError("bad_report", f"epoch {epoch} was reported after epoch {self._last_epoch}")
        values = _numbers(metrics)
        broken = {name: value for name, value in values.items() if not math.isfinite(value)}
        if broken:
            told = ", ".join(f"{name} is {value}" for name, value in broken.items())
            raise TrainingFailedError("not_finite", f"{told} after epoch {epoch}")
        self._last_epoch, self.reported = epoch, True
        sign = 1 if self.quality.direction is Direction.MAXIMIZE else -1
        self.improved = self._best is None or sign * values[self.quality.name] > sign * self._best
        self._best = values[self.quality.name] if self.improved else self._best
        if self.rank == 0:
            seconds = self._meter.phases().evaluation_seconds
            self._write(
                "checkpoint",
                {"epoch": epoch, "metrics": values, "usage": self._meter.usage(), "evaluation_seconds": seconds},
            )

    def note(self, message: str) -> None:
        """A sentence for the person who runs the study; said once a study, however often it comes."""
        if self.rank == 0 and message not in self._notes:
            self._notes.add(message)
            self._write("note", {"message": message})

    def conclude(self, **figures: SupportsFloat) -> None:
        """Figures about the whole run, shown and logged but never told to the search.

        Such as ``test_accuracy``, ``parameters``, ``flops``, ``samples_per_second``. Raises
        TrainingFailedError(``bad_report``) for what is no number, and for a name of records.BOOKED_METRICS.
        """
        self.summary.update(_numbers(figures))

    def save(self, state: Mapping[str, Any]) -> None:
        """Offer what training could go on from after the last reported epoch; call it after each report.

        ``state`` is tensors, numbers and texts in dicts, lists and tuples: state dicts of models and optimizers
        are. It is written now and then, so that saving takes a small share of the time (SAVING_SHARE), and always
        where the attempt is to pause here: then this call does not return. After the last of the knob ``epochs``, where
        there is one, nothing is left to pause. Raises TrainingFailedError (``bad_state``) for what cannot be saved.
        """
        pause = self._pause_after_epoch is not None and self._last_epoch >= self._pause_after_epoch
        pause = (pause or self.pause_asked) and self._last_epoch != last_epoch_of(self.settings)
        if self._together:  # process 0 alone is asked to pause
            pause = bool(self.agree(pause))
        if self.rank == 0 and self._state_path is not None and (pause or time.monotonic() >= self._next_save):
            begin = time.monotonic()
            try:
                write_state(self._state_path, SavedState(self._last_epoch, self._best, dict(state)))
            except OSError as error:
                # A full disk costs the chance to resume here, not the training.
                print(f"the state after epoch {self._last_epoch} was not saved: {error.strerror}", flush=True)
            self._next_save = time.monotonic() + (time.monotonic() - begin) / SAVING_SHARE
            self._write("saved", {"epoch": self._last_epoch})
        if pause:
            raise Paused(self._last_epoch)

    def restore(self) -> dict[str, Any] | None:
        """The state that an earlier attempt at this trial saved last, on the CPU; None where training starts anew.

        Reports go on above the epoch that it was saved after. A state that cannot be read is lost: that is
        recorded, and training starts anew.
        """
        if self._state_path is None:
            return None
        try:
            saved = read_state(self._state_path)
        except FileNotFoundError:
            return None
        except StateLostError as error:
            self._state_path.unlink(missing_ok=True)
            self._write("state_lost", {"message": f"the saved state cannot be read ({error}): training starts anew"})
            return None
        self._last_epoch, self._best, self.reported = saved.epoch, saved.best_quality, True
        self._write("restored", {"epoch": saved.epoch})
        return saved.state

    def artifact(self, name: str) -> Path:
        """Where to write a file that is worth keeping with the run, such as the model's weights.

        Kept for runs on the frontier; deleted with the rest otherwise. Files below ``epoch-K/`` belong to the
        checkpoint after epoch K and are kept only where that one is on the frontier.
        """
        path = self._artifacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def distribute(self, model: Model) -> Model | nn.parallel.DistributedDataParallel:
        """``model``, its gradients averaged over the trial's processes; itself where there is only one."""
        if self.processes == 1:
            return model
        self._together = True
        return nn.parallel.DistributedDataParallel(model)

    def agree(self, value: float) -> float:
        """What process 0 says, to all of the trial's processes: each must call it. For decisions such as stopping."""
        if self.processes == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64 if self.device.type == "cpu" else torch.float32)
        told = told.to(self.device)
        torch.distributed.broadcast(told, src=0)
        return float(told.item())


def _numbers(figures: Mapping[str, SupportsFloat]) -> dict[str, float]:
    """The figures as numbers. Nothing that training code says may pass for what was measured of it."""
    if taken := sorted(figures.keys() & set(BOOKED_METRICS)):
        raise TrainingFailedError(
            "bad_report", f"{', '.join(taken)}: the tracker measures this itself; use another name"
        )
    values = {}
    for name, value in figures.items():
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            values[name] = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TrainingFailedError("bad_report", f"{name} is {value!r}, which is not a number") from None
    return values
