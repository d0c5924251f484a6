"""AdamW, and the learning rate over a training: shared by every workload."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from tracker.records import Settings
from tracker.study.knobs import Knob

OPTIMISER_KNOBS: Mapping[str, Knob] = {
    "learning_rate": Knob("float", 2e-3, "AdamW's learning rate after warm-up", low=0.0),
    "weight_decay": Knob("float", 0.05, "AdamW's decoupled decay of the weight matrices", low=0.0),
    "schedule": Knob("str", "cosine", "how the learning rate falls", choices=("cosine", "linear", "constant")),
    "warmup_fraction": Knob("float", 0.1, "share of all steps in which the learning rate rises", low=0.0, high=1.0),
    "gradient_clip": Knob("float", 1.0, "gradients of a larger norm are scaled down to it; 0 for never", low=0.0),
    "fused_optimiser": Knob("bool", True, "one kernel for all of AdamW's arithmetic"),
}


def make_optimiser(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) that decays matrices, but no gain and no bias."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": float(settings["weight_decay"])},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    rate, fused = float(settings["learning_rate"]), bool(settings["fused_optimiser"])
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=fused)


def set_learning_rate(optimiser: torch.optim.Optimizer, settings: Settings, progress: float) -> None:
    """Set the learning rate for the step at ``progress`` (0 is the first step, 1 the end of the training)."""
    rate = float(settings["learning_rate"]) * rate_factor(settings, progress)
    for group in optimiser.param_groups:
        group["lr"] = rate


def rate_factor(settings: Settings, progress: float) -> float:
    """The share of the learning rate at ``progress``.

    It rises linearly during ``warmup_fraction``; then it falls to zero along half a cosine or a line, or stays.
    """
    warmup, schedule = float(settings["warmup_fraction"]), settings["schedule"]
    if progress < warmup:
        return progress / warmup
    fallen = (progress - warmup) / max(1.0 - warmup, 1e-9)
    if schedule == "constant":
        return 1.0
    return 1.0 - fallen if schedule == "linear" else (1 + math.cos(math.pi * fallen)) / 2
