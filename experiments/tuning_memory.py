"""Whether tuning a base model fits into memory, from the heads of its weight files: before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch

from experiments.data.base_models import BaseModel
from experiments.tuned_models import Tuning, tuning_of
from tracker.errors import DataError
from tracker.records import Settings
from tracker.training.machine import machine_memory_bytes

GIB = 2**30
WEIGHT_BYTES: Mapping[str, float] = {"fp32": 4, "bf16": 2, "int8": 1, "nf4": 0.5}
OF_TRAINED_BYTES = 4 + 4 + 4 + 4
"""For each parameter that is trained: it, its gradient, and AdamW's two moments, in fp32."""

NOT_QUANTISED = ("embed", "wte", "wpe", "lm_head", "score", "classifier")


def needed_bytes(base: BaseModel, tuning: Tuning, *, averaged: bool = False) -> int:
    """Bytes that weights, gradients and the optimizer take, at least: activations come on top of it.

    Quantised weights are loaded in bf16 first. ``averaged`` is a second model, of the weights' moving average.
    """
    matrices = {name: shape for name, shape in base.shapes.items() if len(shape) == 2 and not _stays(name)}
    quantised = sum(rows * columns for rows, columns in matrices.values())
    kept = 4 if tuning.base_weights == "fp32" else 2
    of_base = (base.parameters - quantised) * kept + quantised * WEIGHT_BYTES[tuning.base_weights]
    trained = _trained(base, tuning, matrices)
    of_training = trained * OF_TRAINED_BYTES - (of_base if tuning.method == "full" else 0)
    needed = max(base.parameters * kept, of_base + of_training)
    return round(needed + (of_base if averaged else 0))


def check_memory(base: BaseModel, tuning: Tuning, settings: Settings, device: torch.device) -> None:
    """Raises DataError where it does not fit: into memory_gb, or into what the device or this machine has."""
    needed = needed_bytes(base, tuning, averaged=bool(settings.get("weight_average")))
    if device.type == "cuda":
        room, whose = torch.cuda.get_device_properties(device).total_memory, "the GPU has"
    elif settings.get("memory_gb"):
        room, whose = int(float(settings["memory_gb"]) * GIB), "memory_gb is"
    else:
        room, whose = machine_memory_bytes(), "this machine has"
    if needed > room:
        raise DataError(
            f"base model '{base.name}' with {base.parameters:,} parameters does not fit: method = {tuning.method} with"
            f" base_weights = {tuning.base_weights} needs at least {needed / GIB:,.3g} GiB for weights, gradients and"
            f" the optimizer, {whose} {room / GIB:,.3g}; smaller: method = lora, base_weights = bf16, int8 or nf4"
        )


def check_least(base: BaseModel, settings: Settings, progress: Callable[[str], None]) -> None:
    """Before a study: refuse a base model that no settings can make fit, and say where the usual ones do not.

    A study may search the method and the weights, which are not known yet. Raises DataError.
    """
    usual, cpu = tuning_of(settings), torch.device("cpu")
    smaller = (replace(usual, method=method, rank=1, base_weights="nf4") for method in ("head", "lora"))
    least = usual if usual.method == "full" else min(smaller, key=partial(needed_bytes, base))
    check_memory(base, least, settings, cpu)
    try:
        check_memory(base, usual, settings, cpu)
    except DataError as error:
        progress(f"{error}; trials with these settings will fail at their start")


def _trained(base: BaseModel, tuning: Tuning, matrices: Mapping[str, tuple[int, ...]]) -> int:
    hidden = int(base.configuration.get("hidden_size") or base.configuration.get("n_embd") or 0)
    head = (tuning.classes or base.vocabulary_size) * hidden
    if tuning.method == "head":
        return head
    if tuning.method == "full":
        return base.parameters
    chosen = tuning.target_modules.split()
    sides = [sum(shape) for name, shape in matrices.items() if not chosen or name.split(".")[-2:][0] in chosen]
    return tuning.rank * sum(sides) + (head if tuning.classes else 0)


def _stays(name: str) -> bool:
    return any(part in name for part in NOT_QUANTISED)
