"""A kept model with its weights in the number format that it is to be served in."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from tracker.errors import HardwareError


def with_weights(model: nn.Module, weights: str, device: torch.device) -> nn.Module:
    """``model`` on ``device``, in evaluation mode, with weights in ``weights`` (tracker.training.workload.WEIGHTS).

    fp32 leaves them; bf16 rounds all of them, and activations with them; int8 quantises the weights of linear
    layers, each with one scale, and activations as they come (dynamic quantisation, on CPUs only). Raises
    HardwareError.
    """
    model = model.eval().requires_grad_(False)
    if weights == "int8":
        if device.type != "cpu":
            raise HardwareError(f"int8 weights are served on cpu only here, not on {device.type}")
        with warnings.catch_warnings(action="ignore"):  # torch announces another library for it
            return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    return model.to(device, torch.bfloat16 if weights == "bf16" else torch.float32)
