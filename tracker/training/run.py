"""The object that training code receives: its settings, its device, and a way to report.

Nothing else of the tracker is needed to train: no MLflow, no Optuna, no configuration.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar

import torch
from torch import nn

from tracker.errors import TrainingFailedError
from tracker.records import Direction, SettingValue
from tracker.training.assignment import Place, Reporting, Saving, Seat, Task
from tracker.training.reports import Reports
from tracker.training.state import SavedState, StateLostError, read_state, write_state
from tracker.training.step_counts import StepCounting

SAVING_SHARE = 0.05
"""The share of the time that saving states may take: an assumption."""

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")


class Paused(BaseException):
    """Raised by ``Run.save`` where the attempt was asked to pause; its text is the epoch."""


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
        place: where its other files are, and what a command must know of its study.
        accelerators: the indices of all GPUs that the attempt has.
        summary: what ``conclude`` received.
        quality: the study's measure of quality: what to stop early by, for instance.
        reported: whether there was a report.
        pause_asked: whether the attempt is to pause at its next ``save``.
        improved: whether the last report's quality is better than that of every one before it.
    """

    def __init__(
        self, task: Task, seat: Seat, place: Place, reporting: Reporting, saving: Saving | None = None
    ) -> None:
        self.settings = task.settings
        self.data = task.data
        self.data_card = task.data_card
        self.seed = task.seed
        self.quality = task.quality
        self.device = seat.device
        self.precision = seat.precision
        self.rank = seat.rank
        self.processes = seat.processes
        self.accelerators = seat.accelerators
        self.cache = place.cache
        self.folder = place.folder
        self.place = place
        self.summary: dict[str, float] = {}
        self.reported = False
        self.pause_asked = False
        self.improved = False
        self._reports = Reports(task.quality.name, reporting.needed_metrics, reporting.declared_metrics, self.note)
        self._noted: set[str] = set()
        self._meter = reporting.meter
        self._write = reporting.write
        self._saving = saving or Saving()
        alone_and_eager = seat.processes == 1 and not task.settings.get("compile", False)
        self._step_counting = StepCounting(self.conclude, off=not alone_and_eager)
        self._restored: SavedState | None = None
        self._best: float | None = None
        self._next_save = 0.0
        self._together = False

    def __getitem__(self, knob: str) -> SettingValue:
        return self.settings[knob]

    def ready(self) -> None:
        """Mark that model and data are loaded and training starts: start-up time ends here."""
        self._meter.clock.ready()
        self._write("ready", {"startup_seconds": self._meter.clock.startup_seconds})

    def evaluating(self) -> AbstractContextManager[None]:
        """Count the time inside as evaluation instead of training; it is paid for as well."""
        return self._meter.clock.evaluating()

    def saving(self) -> AbstractContextManager[None]:
        """Count the time inside as saving instead of training, where files are written; ``save`` does it by itself."""
        return self._meter.clock.saving()

    def waiting_for_data(self) -> AbstractContextManager[None]:
        """Count the time inside as waiting for data instead of training; on a GPU, as ``batches`` does."""
        return self._meter.clock.waiting_for_data()

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches to train on, one after another; the time until each is there counts as waiting for data.

        So it does on the CPU. The host runs ahead of a GPU, which trains while the host reads the next batch: there
        the time counts in which the GPU has nothing left to do, or works on the batch itself. Start-up time ends with
        the first batch at the latest.
        """
        if not self._meter.clock.is_ready:
            self.ready()
        with self.waiting_for_data():
            remaining = iter(batches)
        while True:
            with self.waiting_for_data():
                try:
                    batch = next(remaining)
                except StopIteration:
                    return
            yield batch

    def counting_step(self) -> AbstractContextManager[None]:
        """Put every training step into it: what one step computes is counted once a run, and logged at once.

        The figures are ``step_flops``, the floating-point operations of matrix products, convolutions and attention
        (a multiplication and an addition are two), ``step_bytes``, what operators read and write, caches aside, and
        ``step_operations``, the number of kernels that are started.
        What is recomputed counts as often as it is computed. The second step is counted, because the first one sets
        the optimizer up: a training of a single step has no figures. Nothing is counted where the training is resumed,
        compiled (the setting ``compile``) or in several processes. Counting changes no result.
        """
        return self._step_counting.step()

    def report(self, epoch: int, /, **metrics: SupportsFloat) -> None:
        """Report a checkpoint: after step ``epoch`` the model has these metrics.

        Steps are whole numbers of at least 0 that rise: epochs, iterations, whatever the training counts. The quality
        metric must be among the metrics. Raises TrainingFailedError(``not_finite``) where it, an objective or a limit
        is NaN or infinite: what was spent stays counted. Raises TrainingFailedError(``bad_report``) where the step
        does not rise, or the quality metric is missing or no number. Any other metric that is not a finite
        number, or that the tracker measures itself (records.BOOKED_METRICS), is left out, and that is said once.
        """
        self.reached([(epoch, metrics, None)])

    def reached(self, checkpoints: Iterable[tuple[Any, Mapping[str, Any], float | None]]) -> None:
        """Checkpoints as ``report`` takes them, each with when it was reached, in seconds since 1970; None for now.

        Those before one that makes no sense are reported, and then it raises.
        """
        found: list[dict[str, Any]] = []
        try:
            for step, metrics, at in checkpoints:
                epoch, values = self._reports.checkpoint(step, metrics)
                self.reported, self._restored = True, None
                sign = 1 if self.quality.direction is Direction.MAXIMIZE else -1
                self.improved = self._best is None or sign * values[self.quality.name] > sign * self._best
                self._best = values[self.quality.name] if self.improved else self._best
                if self.rank == 0:
                    reading = self._meter.moment(at)
                    place = {"epoch": epoch, "metrics": values, "usage": reading.usage, "time": reading.timestamp}
                    found.append({**place, "evaluation_seconds": reading.evaluation_seconds})
        finally:
            if found:
                self._write("checkpoint", *found)

    def measured(self) -> None:
        """Stop measuring: nothing from now on is billed to the attempt."""
        self._meter.end()

    def conclude(self, **figures: SupportsFloat) -> None:
        """Log figures about the whole run, as soon as they are known; the search does not use them.

        Such as ``test_accuracy``, ``parameters``, ``flops``, ``samples_per_second``. A trial that is paused or stopped
        keeps those that it has logged by then. What is not a finite number, or is measured by the tracker itself, is
        left out, and that is said once.
        """
        known = self._reports.figures(figures)
        self.summary.update(known)
        if known:
            self._write("figures", {"figures": known})

    def note(self, message: str) -> None:
        """Show a sentence to the user; each is shown once per study."""
        if self.rank == 0 and message not in self._noted:
            self._noted.add(message)
            self._write("note", {"message": message})

    def save(self, state: Mapping[str, Any]) -> None:
        """Offer a state that training can resume from after the last reported epoch; call it after each report.

        ``state`` is tensors, numbers and texts in dicts, lists and tuples: state dicts of models and optimizers
        are. It is written now and then, so that saving takes a small share of the time (SAVING_SHARE), and always
        where the attempt is to pause here: then this call does not return. After the training's own last epoch, where
        that is known, nothing is left to pause. Raises TrainingFailedError (``bad_state``) for what cannot be saved.
        """
        epoch = self._reports.last_step
        if epoch is None:
            return  # nothing is reported yet: there is no checkpoint that it could be resumed after
        pause = self._saving.pause_after_epoch is not None and epoch >= self._saving.pause_after_epoch
        pause = (pause or self.pause_asked) and epoch != self._saving.own_last_epoch
        if self.rank == 0 and self._saving.path is not None and (pause or time.monotonic() >= self._next_save):
            begin = time.monotonic()
            try:
                saved = SavedState(epoch, self._best, dict(state), self._saving.source_files.hashes())
                with self.saving():
                    write_state(self._saving.path, saved)
                self._write("saved", {"epoch": epoch})
            except OSError as error:
                # A full disk costs the chance to resume after this epoch, not the training.
                self.note(f"a state could not be saved ({error.strerror}): the one before it, if any, is kept")
                pause = pause and self._saving.path.exists()
            self._next_save = time.monotonic() + (time.monotonic() - begin) / SAVING_SHARE
        if self._together:  # process 0 alone is asked to pause
            pause = bool(self.agree(pause))
        if pause:
            raise Paused(epoch)

    def restore(self) -> dict[str, Any] | None:
        """The state that an earlier attempt at this trial saved last, on the CPU; None where training starts from
        scratch.

        Reports continue above the epoch that it was saved after. A state that cannot be read is lost: that is recorded,
        and training starts from scratch.
        """
        if self._saving.path is None:
            return None
        try:
            saved = read_state(self._saving.path)
        except FileNotFoundError:
            return None
        except StateLostError as error:
            self._saving.path.unlink(missing_ok=True)
            self._write(
                "state_lost", {"message": f"the saved state cannot be read ({error}): training starts from scratch"}
            )
            return None
        self._reports.last_step, self._best, self.reported = saved.epoch, saved.best_quality, True
        self._restored, self._step_counting.off = saved, True
        self._write("restored", {"epoch": saved.epoch})
        return saved.state

    def explained(self, error: Exception) -> Exception:
        """What a training failed by: TrainingFailedError(``code_changed``) where a saved state no longer fits the code.

        That is where it fails between ``restore`` and the next report, and source files changed since it was saved.
        """
        if self._restored is None or isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
            return error
        changed = self._saving.source_files.changed_since(self._restored.source_files)
        if not changed:
            return error
        reason = str(error) if isinstance(error, TrainingFailedError) else f"{type(error).__name__}: {error}"
        return TrainingFailedError(
            "code_changed",
            f"{', '.join(changed)} changed since the state after epoch {self._restored.epoch} was saved, and the state "
            f"does not fit any more: {reason}",
        )

    def artifact(self, name: str) -> Path:
        """Where to write a file that is worth keeping with the run, such as the model's weights.

        Kept for runs on the frontier; deleted with the rest otherwise. Files below ``epoch-K/`` belong to the
        checkpoint after epoch K and are kept only where that one is on the frontier.
        """
        path = self.place.artifacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def distribute(self, model: Model) -> Model | nn.parallel.DistributedDataParallel:
        """``model``, its gradients averaged over the trial's processes; itself where there is only one."""
        if self.processes == 1:
            return model
        self._together = True
        return nn.parallel.DistributedDataParallel(model)

    def agree(self, value: float) -> float:
        """Broadcast process 0's value to all of the trial's processes, which must all call it; to agree on a stop."""
        if self.processes == 1:
            return value
        reading = torch.tensor([value], dtype=torch.float64 if self.device.type == "cpu" else torch.float32)
        reading = reading.to(self.device)
        torch.distributed.broadcast(reading, src=0)
        return float(reading.item())
