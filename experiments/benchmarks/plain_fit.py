"""The training loop as PyTorch's tutorials write it: what experiments.training_loop is measured against.

The same model, batches, loss, evaluations, optimiser and schedule, without the tracker: torch.optim.AdamW as it
comes, a LambdaLR, clip_grad_norm_, and the loss read at every step.
Source: https://pytorch.org/tutorials/beginner/basics/optimization_tutorial.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.optimiser import rate_factor
from experiments.training_loop import Batch, Fit
from tracker.training.run import Run


def plain_fit(
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
    settings, total = run.settings, int(run.settings["epochs"]) * steps_per_epoch
    decayed = [each for each in model.parameters() if each.ndim > 1]
    others = [each for each in model.parameters() if each.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": float(settings["weight_decay"])},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=float(settings["learning_rate"]), betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(settings, min(1.0, step / total)))
    samples, seconds = 0, 0.0
    for epoch in range(1, int(settings["epochs"]) + 1):
        begin = time.perf_counter()
        model.train()
        running_loss = 0.0
        for batch in train_batches(epoch):
            optimiser.zero_grad()
            with run.precision.autocast(run.device):
                mean = loss(model, batch)
            mean.backward()
            nn.utils.clip_grad_norm_(model.parameters(), float(settings["gradient_clip"]))
            optimiser.step()
            schedule.step()
            running_loss += mean.item()
            samples += len(batch[0])
        seconds += time.perf_counter() - begin
        model.eval()
        with torch.no_grad():
            evaluate(model)
    return Fit(model, samples, seconds)
