"""What the callbacks of all libraries do with a run: report what was validated, and count the time that it took."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import nn

from tracker.errors import HardwareError, TrainingFailedError, WorkloadError, did_you_mean
from tracker.training.run import Run


def not_installed(library: str, error: ImportError) -> ImportError:
    """The error that names the extra which brings ``library``; both have the same name."""
    return ImportError(f"{library} cannot be imported ({error}); pip install 'cost-quality-tracker[{library}]'")


def is_compiled(model: nn.Module) -> bool:
    """Whether a model, or a part of it, is compiled: what it computes cannot be counted then."""
    return any(
        type(each).__name__ == "OptimizedModule"  # its own module takes seconds to import
        or each._compiled_call_impl is not None
        or getattr(each, "_compiler_ctx", None)  # as Lightning has it
        for each in model.modules()
    )


class _AbandonedError(Exception):
    """A step was not carried out to its end."""


class Reporter:
    """Reports the validations of one training to its run.

    ``metrics`` maps the names to report to the library's own; None reports all that the library tells.
    ``evaluations`` counts the validations of the training so far, those of earlier attempts at it included.
    Raises WorkloadError where the trial has several processes.
    """

    def __init__(self, run: Run, metrics: Mapping[str, str] | None) -> None:
        if run.processes > 1:
            raise WorkloadError(f"a TrackerCallback follows one process; processes is {run.processes}; allowed: 1")
        self.run = run
        self.evaluations = 0
        self._metrics = metrics
        self._started = False
        self._counted, self._counts_as = ExitStack(), ""  # the phase that time is counted as, "" for training
        self._step = ExitStack()
        self._compiled: bool | None = None

    def start(self, device: torch.device, devices: int) -> None:
        """Training starts now, on ``devices`` of the kind of ``device``.

        Raises HardwareError where that is not what the trial was given and is billed for.
        """
        billed = self.run.device.type
        if device.type != billed or devices > 1:
            raise HardwareError(
                f"the Trainer takes {devices} × {device.type}, and this trial is billed for one {billed}; allowed: what"
                " trainer_arguments(run) says, where the process sees one GPU (CUDA_VISIBLE_DEVICES) or none"
            )
        self._started = True
        self.run.ready()

    def begin_evaluation(self) -> None:
        """From here on time is counted as evaluation; without effect before the training and within an evaluation."""
        if self._started and self._counts_as != "evaluation":
            self.end_waiting()
            self._count_as("evaluation", self.run.evaluating())

    def end_evaluation(self) -> None:
        """Time is counted as training again; without effect outside of an evaluation."""
        self._end("evaluation")

    def begin_waiting(self) -> None:
        """From here on time is counted as waiting for data, but within an evaluation and before the training."""
        if self._started and not self._counts_as:
            self._count_as("data", self.run.waiting_for_data())

    def end_waiting(self) -> None:
        """Time is counted as training again; without effect where it is not counted as waiting."""
        self._end("data")

    def begin_step(self, model: nn.Module) -> None:
        """A training step starts: what it computes is counted once a run, unless ``model`` is compiled."""
        self.abandon_step()
        if self._compiled is None:
            self._compiled = is_compiled(model)
        if not self._compiled:
            self._step.enter_context(self.run.counting_step())

    def end_step(self, steps_per_checkpoint: float) -> None:
        """A training step has ended; a checkpoint's number rises by 1 in so many of them, infinite where unknown."""
        self._step.close()
        if self.run.summary.get("steps_per_epoch") is None and math.isfinite(steps_per_checkpoint):
            self.run.conclude(steps_per_epoch=round(steps_per_checkpoint, 6))

    def abandon_step(self) -> None:
        """A step that was not carried out to its end is not counted; without effect where none was started."""
        with contextlib.suppress(_AbandonedError), self._step:
            raise _AbandonedError

    def _count_as(self, phase: str, context: AbstractContextManager[None]) -> None:
        self._counted.enter_context(context)
        self._counts_as = phase

    def _end(self, phase: str) -> None:
        if self._counts_as == phase:
            self._counted.close()
            self._counts_as = ""

    def report(self, epoch: int, found: Mapping[str, Any]) -> None:
        """Report a checkpoint with what the library ``found``; what it lacks of ``metrics``, quality apart, is noted.

        Raises what Run.report does, and TrainingFailedError(``bad_report``) where the quality metric was not found.
        """
        names = {name: name for name in found if name != "epoch"} if self._metrics is None else self._metrics
        for name in [name for name, original in names.items() if original not in found]:
            problem = f"epoch {epoch} has no '{names[name]}' to report as {name}; {did_you_mean(names[name], found)}"
            if name == self.run.quality.name:
                raise TrainingFailedError("bad_report", problem)
            self.run.note(f"some epochs have no '{names[name]}' to report as {name}: there it is left out")
        self.run.report(epoch, **{name: found[original] for name, original in names.items() if original in found})
