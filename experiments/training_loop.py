"""Training a classifier on batches, epoch by epoch: shared by every workload.

AdamW with linear warm-up and cosine decay, gradient clipping, mixed precision with loss scaling where the
precision asks for it, evaluation and a checkpoint after every epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.records import Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run

Batch = tuple[Tensor, Tensor]
"""Inputs, and the class of each."""

LOOP_KNOBS: Mapping[str, Knob] = {
    "learning_rate": Knob("float", 2e-3, "AdamW's learning rate after warm-up", low=0.0),
    "weight_decay": Knob("float", 0.05, "AdamW's decoupled decay of the weight matrices", low=0.0),
    "warmup_fraction": Knob("float", 0.1, "share of all steps in which the learning rate rises", low=0.0, high=1.0),
    "gradient_clip": Knob("float", 1.0, "gradients of a larger norm are scaled down to it; 0 for never", low=0.0),
    "batch_size": Knob("int", 64, "examples in one step", low=1),
    "epochs": Knob("int", 5, "passes over the training split", low=1),
}
"""The settings that ``fit`` reads."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How a model does on some examples: mean cross-entropy, the share that it gets right, predictions a second."""

    loss: float
    accuracy: float
    predictions_per_second: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What a training came to: examples seen, and the seconds spent on them, without evaluation."""

    samples: int
    seconds: float


def fit(
    run: Run,
    model: nn.Module,
    *,
    steps_per_epoch: int,
    train_batches: Callable[[int], Iterable[Batch]],
    validation_batches: Callable[[], Iterable[Batch]],
) -> Fit:
    """Train ``model``, reporting training_loss, validation_loss and accuracy after every epoch (from 1)."""
    settings = run.settings
    optimizer = adamw(model, settings)
    scaler = run.precision.scaler(run.device)
    epochs, clip = int(settings["epochs"]), float(settings["gradient_clip"])
    total_steps = epochs * steps_per_epoch
    step, samples, seconds = 0, 0, 0.0
    for epoch in range(1, epochs + 1):
        begin = time.perf_counter()
        model.train()
        loss_sum, count = torch.zeros((), device=run.device), 0
        for inputs, labels in train_batches(epoch):
            set_learning_rate(optimizer, settings, step / total_steps)
            with run.precision.autocast(run.device):
                loss = F.cross_entropy(model(inputs), labels)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            loss_sum += loss.detach() * len(labels)
            count += len(labels)
            step += 1
        training_loss = loss_sum.item() / count  # waits for the device: the clock is read after it
        samples, seconds = samples + count, seconds + time.perf_counter() - begin
        with run.evaluating():
            scores = evaluate(run, model, validation_batches())
        run.report(epoch, training_loss=training_loss, validation_loss=scores.loss, accuracy=scores.accuracy)
    return Fit(samples, seconds)


def evaluate(run: Run, model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """The model's scores on all batches together, without dropout and without gradients."""
    begin = time.perf_counter()
    model.eval()
    loss_sum, correct, count = torch.zeros((), device=run.device), torch.zeros((), device=run.device), 0
    with torch.no_grad():
        for inputs, labels in batches:
            with run.precision.autocast(run.device):
                logits = model(inputs)
            loss_sum += F.cross_entropy(logits.float(), labels, reduction="sum")
            correct += (logits.argmax(dim=1) == labels).sum()
            count += len(labels)
    loss, accuracy = loss_sum.item() / count, correct.item() / count  # waits for the device, as in fit
    return Scores(loss, accuracy, count / (time.perf_counter() - begin))


def adamw(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) that decays matrices, but no gain and no bias."""
    parameters = list(model.parameters())
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": float(settings["weight_decay"])},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=float(settings["learning_rate"]), betas=(0.9, 0.98), fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: Settings, progress: float) -> None:
    """Set the learning rate for the step at ``progress`` (0 is the first step, 1 the end of the training).

    It rises linearly during ``warmup_fraction``, then falls to zero along half a cosine.
    """
    warmup = float(settings["warmup_fraction"])
    if progress < warmup:
        factor = progress / warmup
    else:
        factor = (1 + math.cos(math.pi * (progress - warmup) / max(1.0 - warmup, 1e-9))) / 2
    for group in optimizer.param_groups:
        group["lr"] = float(settings["learning_rate"]) * factor
