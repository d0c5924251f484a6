"""PyTorch Lightning: the Trainer's validations as checkpoints of a run.

trainer = Trainer(callbacks=[TrackerCallback(run)], max_epochs=3, **trainer_arguments(run))

One process trains: Lightning's own distribution over devices or machines is refused. Needs the extra ``lightning``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.integrations.random_states import random_states, set_random_states
from tracker.integrations.reporting import Reporter, not_installed
from tracker.training.run import Run

try:
    from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
    from lightning.pytorch.callbacks import (
        BaseFinetuning,
        ModelCheckpoint,
        ModelPruning,
        StochasticWeightAveraging,
    )
    from lightning.pytorch.profilers import PassThroughProfiler
    from lightning.pytorch.trainer.states import TrainerFn
except ImportError as error:
    raise not_installed("lightning", error) from error

PRECISIONS: Mapping[str, str] = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Lightning's name of each of the tracker's number formats; TensorFloat-32 is switched on by the tracker's worker."""

_NEXT_BATCH = "train_dataloader_next"
"""What Lightning calls, to its profilers, taking the next batch to train on."""

_NOT_RESUMED = (BaseFinetuning, ModelPruning, StochasticWeightAveraging)
"""Callbacks that change the model or its optimizers in ways that only a resuming by Lightning itself can repeat."""


def trainer_arguments(run: Run) -> dict[str, Any]:
    """Arguments of ``lightning.pytorch.Trainer`` that follow the run's settings.

    One device of the run's kind, its precision, and nothing that a trial pays for and nobody looks at: no progress
    bar, logger, checkpoint files or trial validation. With ``enable_checkpointing=True`` after them the files of a
    ModelCheckpoint go to the run's artifacts. The run's threads are the process's own: Lightning keeps them.
    """
    on_gpu = run.device.type == "cuda"
    return {
        "accelerator": "gpu" if on_gpu else "cpu",
        "devices": [run.device.index or 0] if on_gpu else 1,
        "precision": PRECISIONS[run.precision.name],
        "default_root_dir": str(run.artifact("lightning")),
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }


class TrackerCallback(Callback):
    """Reports a checkpoint for every validation of one ``Trainer.fit``, and lets the trial be paused and resumed.

    ``metrics`` maps names to report to names that the module logs, such as ``{"accuracy": "val_acc"}``; without it
    all of ``trainer.callback_metrics`` is reported. Where validation ends an epoch, the checkpoint has that epoch's
    number, and is reported when all of the epoch's metrics are known: just before the next one, or at the end. Where
    it comes more often, its number counts validations, and it is reported at once: what the module logs over a whole
    training epoch is then that of the epoch before.

    After an epoch with a report the run is offered the weights, the states of optimizers, schedulers, precision and
    other callbacks and of a data module, what ``on_save_checkpoint`` of module and callbacks adds, the loops' progress
    and the states of the random number generators of Python, NumPy and PyTorch. A later attempt resumes from there as
    if it had not been interrupted. Not saved: what a data loader keeps, such as a generator of its own. Where Lightning
    would not resume exactly (weight averaging by StochasticWeightAveraging, pruning, finetuning, files of the best that
    are not the trial's own), the trial runs without pausing, and the reason is said. With ``resumable=False`` nothing
    is saved either: for a module, a scheduler or a callback whose state has other objects than Run.save takes.

    Raises WorkloadError, and out of ``Trainer.fit`` HardwareError, TrainingFailedError and Paused, as Run does.
    """

    def __init__(self, run: Run, metrics: Mapping[str, str] | None = None, *, resumable: bool = True) -> None:
        self._run = run
        self._reporter = Reporter(run, metrics)
        self._resumable = resumable
        self._validated_epoch: int | None = None
        """The epoch whose validation is still to be reported."""
        self._to_save = False
        self._progress: dict[str, Any] = {}
        self._random_states: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Come before all other callbacks: they start from what is restored, and save what an epoch starts from."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, callbacks.pop(callbacks.index(self)))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resume where an earlier attempt was paused."""
        if self._resumable and (problem := self._problem_with_resuming(trainer)):
            self._resumable = False
            self._run.note(f"trials run without pausing: {problem}")
        if self._resumable and (state := self._run.restore()) is not None:
            self._restore(state, trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start-up ends here; from here on, waiting for batches is timed, unless another profiler is in use."""
        self._reporter.start(trainer.strategy.root_device, trainer.world_size)
        if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
            trainer.profiler = _WaitingForData(self._reporter)  # type: ignore[attr-defined]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch before this one, and save what this one starts from."""
        self._report_epoch(trainer)
        if self._random_states is not None:
            # An older Lightning shuffles here once more, a newer one has shuffled by now.
            if not getattr(trainer.fit_loop, "is_resuming", False):
                set_random_states(self._random_states, self._run.device)
            self._random_states = None
        if self._to_save and self._resumable:
            self._to_save = False
            self._run.save(self._state(trainer, pl_module))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """A step starts."""
        self._reporter.begin_step(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step has ended."""
        batches = trainer.num_training_batches if _validates_once_an_epoch(trainer) else trainer.val_check_batch
        self._reporter.end_step(math.inf if batches is None else float(batches))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluation starts."""
        self._reporter.begin_evaluation()

    on_test_start = on_validation_start

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All of the validation is logged now, by the module's own hooks too."""
        self._reporter.end_evaluation()
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self._reporter.evaluations += 1
        if _validates_once_an_epoch(trainer):
            self._validated_epoch = trainer.current_epoch + 1
        else:
            self._report(self._reporter.evaluations, trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluation ends."""
        self._reporter.end_evaluation()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the progress, which counts the epoch as finished only until the next one starts."""
        self._reporter.abandon_step()
        self._progress = trainer.fit_loop.state_dict()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the last epoch."""
        self._report_epoch(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """What goes wrong within an evaluation, or a step, ends it."""
        self._reporter.abandon_step()
        self._reporter.end_evaluation()

    def _report_epoch(self, trainer: Trainer) -> None:
        if self._validated_epoch is not None:
            epoch, self._validated_epoch = self._validated_epoch, None
            self._report(epoch, trainer)

    def _report(self, epoch: int, trainer: Trainer) -> None:
        self._reporter.report(epoch, {name: float(value) for name, value in trainer.callback_metrics.items()})
        self._to_save = True

    def _problem_with_resuming(self, trainer: Trainer) -> str:
        """Why another attempt would not train on as if it had not been interrupted; "" where it would."""
        own = self._run.artifact("lightning").parent.resolve()
        for each in self._others(trainer):
            if isinstance(each, _NOT_RESUMED):
                return f"{type(each).__name__} is not resumed from what it saves"
            if isinstance(each, ModelCheckpoint) and own not in Path(str(each.dirpath)).resolve().parents:
                return (
                    f"the files of {type(each).__name__} are in '{each.dirpath}', not in the trial's own folder, which"
                    " trainer_arguments(run) and run.artifact(...) give"
                )
        return ""

    def _state(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        """What the next epoch starts from, under the keys of Lightning's own checkpoints."""
        checkpoint: dict[str, Any] = {
            "state_dict": module.state_dict(),
            "optimizer_states": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "lr_schedulers": [each.scheduler.state_dict() for each in trainer.lr_scheduler_configs],
            "callbacks": {each.state_key: each.state_dict() for each in self._others(trainer)},
            "loops": {"fit_loop": self._progress},
        }
        for each in self._others(trainer):
            each.on_save_checkpoint(trainer, module, checkpoint)
        module.on_save_checkpoint(checkpoint)
        return {
            "checkpoint": checkpoint,
            "data": _data_module(trainer).state_dict(),
            "precision": trainer.precision_plugin.state_dict(),
            "random": random_states(self._run.device),
            "evaluations": self._reporter.evaluations,
        }

    def _restore(self, state: dict[str, Any], trainer: Trainer, module: LightningModule) -> None:
        checkpoint = state["checkpoint"]
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint["state_dict"], strict=module.strict_loading)
        _data_module(trainer).load_state_dict(state["data"])
        for each in self._others(trainer):
            each.on_load_checkpoint(trainer, module, checkpoint)
        for each in self._others(trainer):
            if each.state_key in checkpoint["callbacks"]:
                each.load_state_dict(checkpoint["callbacks"][each.state_key])
        for optimizer, saved in zip(trainer.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(saved)
        for config, saved in zip(trainer.lr_scheduler_configs, checkpoint["lr_schedulers"], strict=True):
            config.scheduler.load_state_dict(saved)
        trainer.precision_plugin.load_state_dict(state["precision"])
        trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])
        self._reporter.evaluations = state["evaluations"]
        self._random_states = state["random"]
        set_random_states(self._random_states, self._run.device)

    def _others(self, trainer: Trainer) -> list[Callback]:
        return [each for each in trainer.callbacks if each is not self]  # type: ignore[attr-defined]


class _WaitingForData(PassThroughProfiler):
    """Times one action of the Trainer: taking the next batch to train on."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def start(self, action_name: str) -> None:
        if action_name.endswith(_NEXT_BATCH):
            self._reporter.begin_waiting()

    def stop(self, action_name: str) -> None:
        if action_name.endswith(_NEXT_BATCH):
            self._reporter.end_waiting()


def _validates_once_an_epoch(trainer: Trainer) -> bool:
    """Whether each validation is that of a whole epoch, at its end."""
    every = trainer.val_check_batch
    return trainer.check_val_every_n_epoch is not None and every is not None and every >= trainer.num_training_batches


def _data_module(trainer: Trainer) -> LightningDataModule:
    """The trainer's data module; one without a state where it has none."""
    return trainer.datamodule or LightningDataModule()  # type: ignore[attr-defined]
