"""Hugging Face transformers: the Trainer's evaluations as checkpoints of a run.

follow = TrackerCallback(run)
trainer = Trainer(model, TrainingArguments(num_train_epochs=3, **trainer_arguments(run)), callbacks=[follow], ...)
trainer.train(resume_from_checkpoint=follow.checkpoint())

One process trains on one device: the library's own distribution is refused. The Trainer takes every GPU that the
process sees, so a machine with several is to show one (CUDA_VISIBLE_DEVICES). Needs the extra ``transformers``.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from tracker.errors import WorkloadError
from tracker.integrations.reporting import Reporter, not_installed
from tracker.training.run import Run

try:
    import transformers
    from safetensors import safe_open
    from transformers import TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise not_installed("transformers", error) from error

PREFIX = "eval_"
"""What the Trainer puts before the name of each metric of an evaluation."""

_SPEEDS = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "jit_compilation_time")
_NOT_TO_RESUME_FROM = "training_args.bin"  # a pickled object, which nothing reads


def trainer_arguments(run: Run) -> dict[str, Any]:
    """Arguments of ``transformers.TrainingArguments`` that follow the run's settings.

    Its device, precision, seed and ``compile``; an evaluation after every epoch; no checkpoint files, progress bar or
    reports to other services. Files that the Trainer writes go to the run's artifacts. What its callbacks keep, such
    as the patience of EarlyStoppingCallback, outlives a pause. The run's threads are the process's own: the Trainer
    keeps them.
    """
    on_gpu = run.device.type == "cuda"
    return {
        "output_dir": str(run.artifact("trainer")),
        "use_cpu": not on_gpu,
        "bf16": run.precision.name == "bf16",
        "fp16": run.precision.name == "fp16",
        "tf32": run.precision.tf32 if on_gpu else None,
        "torch_compile": bool(run.settings.get("compile", False)),
        "dataloader_pin_memory": on_gpu,
        "seed": run.seed,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "restore_callback_states_from_checkpoint": True,
        "report_to": "none",
        "disable_tqdm": True,
    }


class TrackerCallback(transformers.TrainerCallback):
    """Reports a checkpoint for every evaluation of one ``Trainer.train``, and lets the trial be paused and resumed.

    ``metrics`` maps names to report to the Trainer's, such as ``{"validation_loss": "eval_loss"}``; without it
    everything that an evaluation finds is reported under its name without ``eval_``, but for the Trainer's own
    measurements of speed. With ``eval_strategy="epoch"`` a checkpoint has its epoch's number, otherwise that of the
    evaluation. With several data sets to evaluate on, all of their metrics make up one checkpoint.

    Raises WorkloadError, and out of ``Trainer.train`` HardwareError, TrainingFailedError and Paused, as Run does.
    """

    def __init__(self, run: Run, metrics: Mapping[str, str] | None = None) -> None:
        self._run = run
        self._reporter = Reporter(run, metrics)
        self._all_metrics = metrics is None
        self._found: dict[str, Any] = {}
        """The metrics of an evaluation that is still to be reported."""
        self._reported_step = 0
        self._resumable = False
        self._in_epoch = False
        self._folder: TemporaryDirectory[str] | None = None

    def checkpoint(self) -> str | None:
        """What to give to ``Trainer.train(resume_from_checkpoint=...)``: None where training starts from scratch.

        Where this is called, the Trainer writes a checkpoint of its own after every evaluation, which the run is
        offered: training resumes from it as if it had not been interrupted. Where it is not called, nothing is saved
        and the trial runs without pausing; until the next file, where ``save_strategy="best"`` leaves one out. Where
        the Trainer could not resume exactly from its checkpoint, the trial runs without pausing too,
        and the reason is said. What a callback keeps counts where it is a ``transformers`` ExportableState.
        """
        self._resumable = True
        state = self._run.restore()
        if state is None:
            return None
        self._reporter.evaluations = state["evaluations"]
        self._folder = TemporaryDirectory(prefix="checkpoint-", ignore_cleanup_errors=True)
        _unpack(state["files"], Path(self._folder.name))
        return self._folder.name

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start-up ends here. Raises WorkloadError where the Trainer's files are not the trial's own."""
        self._check_folder(args)
        if self._resumable and (problem := _problem_with_resuming(args, state)):
            self._run_on(problem)
        self._reporter.start(args.device, max(1, args.n_gpu) * args.world_size)
        self._found = {}

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The batch is there, and a step starts; report an evaluation that what comes before ended with."""
        self._report(args, state)
        self._reporter.begin_step(kwargs["model"])

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report an evaluation that what comes before ended with; the Trainer takes the first batch next."""
        self._report(args, state)
        self._in_epoch = True
        self._wait_for_data(control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report an evaluation of the epoch's last step; another may begin, or the Trainer takes the next batch."""
        by_epoch = args.eval_strategy == "epoch" and state.epoch
        self._reporter.end_step(state.global_step / state.epoch if by_epoch else state.eval_steps)
        self._report(args, state)
        if control.should_evaluate:
            self._reporter.begin_evaluation()
        self._wait_for_data(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report an evaluation of the epoch's last step; another may begin."""
        self._in_epoch = False
        self.on_step_end(args, state, control, **kwargs)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """What comes after a step may end with this: then the Trainer takes the next batch."""
        self._wait_for_data(control)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """An evaluation that no hook announced, such as one after the training, counts after its first batch."""
        self._reporter.begin_evaluation()

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        """Evaluation ends."""
        self._reporter.end_evaluation()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """One data set is evaluated; the Trainer is asked for a checkpoint of its own."""
        self._reporter.end_evaluation()
        if not state.global_step:
            return  # nothing is trained yet
        self._found.update(metrics or {})
        control.should_save = control.should_save or self._resumable
        self._wait_for_data(control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report the evaluation, and offer the run the checkpoint that the Trainer has written."""
        self._report(args, state)
        if not self._resumable or self._reported_step != state.global_step:
            return
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        try:
            if foreign := _foreign_weights(folder, kwargs["model"]):
                self._run_on(f"the Trainer would not find its model's weights in its checkpoint, which names {foreign}")
            elif not control.should_training_stop:  # what is left then is to load the best, in this attempt
                self._run.save({"files": _packed(folder), "evaluations": self._reporter.evaluations})
        finally:
            if args.save_strategy == "no":
                shutil.rmtree(folder, ignore_errors=True)
        self._wait_for_data(control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report the last evaluation."""
        self._in_epoch = False
        self._report(args, state)
        if self._folder is not None:
            self._folder.cleanup()

    def _wait_for_data(self, control: TrainerControl) -> None:
        """Count time as waiting for data where the Trainer has nothing to do before the next step."""
        if self._in_epoch and not (control.should_log or control.should_evaluate or control.should_save):
            self._reporter.begin_waiting()

    def _run_on(self, problem: str) -> None:
        self._resumable = False
        self._run.note(f"trials run without pausing: {problem}")

    def _check_folder(self, args: TrainingArguments) -> None:
        """Trials that write to one folder would overwrite each other's checkpoints, and load each other's best."""
        own, chosen = self._run.artifact("trainer").parent.resolve(), Path(str(args.output_dir)).resolve()
        if (self._resumable or args.save_strategy != "no") and own not in chosen.parents:
            raise WorkloadError(
                f"output_dir is '{args.output_dir}', which trials would share: each would overwrite the others'"
                " checkpoints; allowed: the trial's own, as of trainer_arguments(run) or run.artifact(...)"
            )

    def _report(self, args: TrainingArguments, state: TrainerState) -> None:
        """Report what was found and not reported yet."""
        self._reporter.end_waiting()
        self._reporter.end_evaluation()
        if not self._found:
            return
        found, self._found = self._found, {}
        if self._all_metrics:
            found = {
                name.removeprefix(PREFIX): value
                for name, value in found.items()
                if name.startswith(PREFIX) and not name.endswith(_SPEEDS)
            }
        self._reporter.evaluations += 1
        by_epoch = args.eval_strategy == "epoch" and state.epoch is not None
        self._reporter.report(math.ceil(state.epoch) if by_epoch else self._reporter.evaluations, found)
        self._reported_step = state.global_step


def _problem_with_resuming(args: TrainingArguments, state: TrainerState) -> str:
    """Why the Trainer, resumed from its checkpoint, would not train as if never interrupted; "" if it does."""
    if args.save_only_model:
        return "save_only_model leaves out of the Trainer's checkpoints what to resume from"
    # The Trainer lists the callbacks that have a state, and itself, by their classes.
    kept_by: dict[str, Any] = state.stateful_callbacks  # type: ignore[assignment]  # what it becomes when it is made
    stateful = {name: kept for name, kept in kept_by.items() if name != "TrainerControl"}
    if stateful and not args.restore_callback_states_from_checkpoint:
        return (
            f"the Trainer would forget what {', '.join(stateful)} keeps; it remembers with"
            " restore_callback_states_from_checkpoint=True, which trainer_arguments(run) has"
        )
    if several := [name for name, kept in stateful.items() if isinstance(kept, list)]:
        return f"the Trainer mixes up what several of {', '.join(several)} keep"
    return ""


def _foreign_weights(folder: Path, model: torch.nn.Module) -> str:
    """A name in the checkpoint's weights that the model does not know: the Trainer passes over it in silence."""
    known = model.state_dict().keys()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - it is no dictionary
                if name not in known:
                    return f"'{name}'"
    return ""


def _packed(folder: Path) -> dict[str, torch.Tensor]:
    """The files below a folder by their path in it, each as its bytes (uint8), as Run.save takes them."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != _NOT_TO_RESUME_FROM]
    return {str(path.relative_to(folder)): torch.from_numpy(np.fromfile(path, dtype=np.uint8)) for path in paths}


def _unpack(files: Mapping[str, torch.Tensor], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.numpy().tofile(path)
