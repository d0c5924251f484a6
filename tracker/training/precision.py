"""The number formats that matrix products can be computed in: one table, used by every workload.

| name | weights | matrix products | devices | loss scaling |
|------|---------|-----------------|---------|--------------|
| fp32 | fp32    | fp32            | all     | no           |
| tf32 | fp32    | TensorFloat-32  | CUDA    | no           |
| bf16 | fp32    | bfloat16        | all     | no           |
| fp16 | fp32    | float16         | CUDA    | yes          |

Half formats run under torch autocast, which keeps the weights and the delicate operations in fp32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Precision:
    """One row of the table above; ``autocast_dtype`` None means that nothing is cast."""

    name: str
    autocast_dtype: torch.dtype | None
    devices: tuple[str, ...]
    tf32: bool = False
    scales_loss: bool = False

    def set_up(self) -> None:
        """Switch this process's global matrix-product mode; called once, before training."""
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = self.tf32

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context to compute a forward pass and its loss in."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.autocast_dtype)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """A gradient scaler that passes everything through where no scaling is needed."""
        return torch.amp.GradScaler(device.type, enabled=self.scales_loss)


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("fp32", None, ("cpu", "cuda")),
        Precision("tf32", None, ("cuda",), tf32=True),
        Precision("bf16", torch.bfloat16, ("cpu", "cuda")),
        Precision("fp16", torch.float16, ("cuda",), scales_loss=True),
    )
}


def works(precision: Precision, device: torch.device) -> bool:
    """Whether a small training step in this precision runs on ``device`` and gives finite numbers."""
    if device.type not in precision.devices:
        return False
    if precision.tf32 and torch.cuda.get_device_capability(device) < (8, 0):
        return False  # older chips accept the switch and compute fp32 all the same
    try:
        precision.set_up()
        weight = torch.randn(16, 16, device=device, requires_grad=True)
        with precision.autocast(device):
            loss = (torch.randn(8, 16, device=device) @ weight).square().mean()
        precision.scaler(device).scale(loss).backward()  # type: ignore[no-untyped-call]
        return bool(torch.isfinite(loss)) and weight.grad is not None and bool(torch.isfinite(weight.grad).all())
    except (RuntimeError, TypeError):
        return False
    finally:
        PRECISIONS["fp32"].set_up()
