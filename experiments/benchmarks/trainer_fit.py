"""Fine-tuning by the Trainer of transformers: what experiments.training_loop is measured against there.

The same model, batches, loss, evaluations, optimiser and schedule, without the tracker; the Trainer moves the batches,
clips gradients, steps and keeps its own logs. Source: https://huggingface.co/docs/transformers/main_classes/trainer
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from experiments.optimiser import make_optimiser, rate_factor
from experiments.training_loop import Batch, Fit
from tracker.training.run import Run

NAMES = ("tokens", "targets", "positions")
"""What the Trainer calls the parts of a batch, of which there may be fewer."""


def trainer_fit(
    run: Run,
    model: nn.Module,
    *,
    steps_per_epoch: int,
    train_batches: Callable[[int], Iterable[Batch]],
    loss: Callable[[nn.Module, Batch], Tensor],
    evaluate: Callable[[nn.Module], Mapping[str, float]],
    keep: Callable[[nn.Module, Path], None] | None = None,
) -> Fit:
    """Train as experiments.training_loop.fit does, reporting and keeping nothing."""
    del keep
    settings, epochs = run.settings, int(run.settings["epochs"])
    total, batches = epochs * steps_per_epoch, _Batches(train_batches)
    optimiser = make_optimiser(model, {**settings, "fused_optimiser": False})
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(settings, min(1.0, step / total)))
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = _Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=total,
                per_device_train_batch_size=1,  # the data set gives whole batches
                max_grad_norm=float(settings["gradient_clip"]),
                use_cpu=run.device.type == "cpu",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                remove_unused_columns=False,
            ),
            train_dataset=batches,
            data_collator=lambda given: given[0],
            optimizers=(optimiser, schedule),
            callbacks=[_Evaluations(run, steps_per_epoch, evaluate)],
        )
        trainer.mean_loss = loss
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return Fit(model, batches.samples, time.perf_counter() - begin)


class _Trainer(Trainer):
    """The Trainer with the workload's loss."""

    mean_loss: Callable[[nn.Module, Batch], Tensor]

    def compute_loss(self, model: nn.Module, inputs: Mapping[str, Tensor], *_: Any, **__: Any) -> Tensor:
        """The mean loss of a batch."""
        return self.mean_loss(model, tuple(inputs.values()))


class _Batches(IterableDataset[dict[str, Tensor]]):
    """The batches of one epoch after the other."""

    def __init__(self, train_batches: Callable[[int], Iterable[Batch]]) -> None:
        self.train_batches = train_batches
        self.epoch, self.samples = 0, 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        self.epoch += 1
        for batch in self.train_batches(self.epoch):
            self.samples += len(batch[0])
            yield dict(zip(NAMES, batch, strict=False))


class _Evaluations(TrainerCallback):
    """Evaluates after every epoch."""

    def __init__(self, run: Run, steps: int, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> None:
        self.run, self.steps, self.evaluate = run, steps, evaluate

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Evaluate where the step was the last of an epoch."""
        del args, control
        if state.global_step % self.steps == 0:
            given["model"].eval()
            with torch.no_grad():
                self.evaluate(given["model"])
            given["model"].train()
