"""How many GPUs this machine gives its processes, found without CUDA: whoever asks never holds one."""

from __future__ import annotations

import os


def visible_accelerators() -> int:
    """The number of GPUs that a training here can use: what CUDA_VISIBLE_DEVICES lists, or all that the driver has."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return len([device for device in listed.split(",") if device.strip() not in ("", "-1")])
    try:
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except Exception:  # noqa: BLE001 - no library, no driver: then there is none
        return 0
