"""A frozen network's linear layers with weights in 8 or 4 bits, by bitsandbytes, where the machine can."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import torch
from torch import nn

from experiments import lazy
from tracker.errors import HardwareError

QUANTISED = ("int8", "nf4")
"""int8: rows of whole numbers (Dettmers et al. 2022, arXiv:2208.07339); nf4: 4 bits (2023, arXiv:2305.14314)."""

LARGEST_DIFFERENCE = 0.2
"""Of a layer's results, as a share: 4 bits give about 0.09."""


def quantise(network: nn.Module, kind: str, device: torch.device, *, except_for: Collection[str] = ()) -> None:
    """Replace the linear layers of ``network``, but for modules of these names, by ``kind``, one of QUANTISED.

    Raises HardwareError where this machine cannot, which is tried, not guessed; and where the network has no such
    layer, as GPT-2, whose layers are transformers' Conv1D.
    """
    if problem := quantising_problem(kind, device):
        raise HardwareError(f"base_weights = {kind} is impossible on {device.type} here: {problem}")
    layers = [(name, layer) for name, layer in network.named_modules() if type(layer) is nn.Linear]
    chosen = [(name, layer) for name, layer in layers if name not in except_for]
    if not chosen:
        raise HardwareError(
            f"base_weights = {kind} is impossible for {type(network).__name__}: none of its layers is torch.nn.Linear,"
            " but for the output layer; allowed: fp32 or bf16"
        )
    for name, layer in chosen:
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, _quantised(layer, kind, device))


@cache
def quantising_problem(kind: str, device: torch.device) -> str:
    """Why such weights cannot be had on ``device``: what a small layer failed by; empty where it works."""
    layer = nn.Linear(64, 128, dtype=torch.bfloat16).requires_grad_(False)
    given = torch.randn(4, 64, dtype=torch.bfloat16)
    expected = layer(given).float()
    try:
        made = _quantised(layer, kind, device)
        moved = given.to(device).requires_grad_(True)
        found = made(moved)
        found.float().sum().backward()  # type: ignore[no-untyped-call]
    except ImportError as error:
        return f"{error}; pip install bitsandbytes"
    except Exception as error:  # noqa: BLE001 (of many kinds, by library and machine)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    difference = float((found.detach().float().cpu() - expected).abs().mean() / expected.abs().mean())
    if moved.grad is None or not bool(torch.isfinite(moved.grad).all()) or not difference < LARGEST_DIFFERENCE:
        return f"the results of a layer differ by {difference:.0%}, or it has no gradient"
    return ""


def _quantised(layer: nn.Linear, kind: str, device: torch.device) -> nn.Module:
    """The same layer with its weights in ``kind``, on ``device``."""
    made: Any = lazy.call(
        f"bitsandbytes.nn:{'Linear4bit' if kind == 'nf4' else 'Linear8bitLt'}",
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        **(
            {"quant_type": "nf4", "compute_dtype": layer.weight.dtype} if kind == "nf4" else {"has_fp16_weights": False}
        ),
    )
    made.load_state_dict(layer.state_dict())
    return made.requires_grad_(False).to(device)  # type: ignore[no-any-return]
