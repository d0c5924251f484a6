"""This machine without trying it: what can be found out in milliseconds, without torch or CUDA."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tracker.records import Hardware
from tracker.training.cgroup import cpu_limit, machine_memory_bytes

_MAKERS = re.compile(r"^((NVIDIA|Tesla|AMD|Instinct) )+")
_ACCELERATORS = (
    # (the driver's name without its makers, the name in the price book)
    (r"T4", "T4"),
    (r"V100-.*16GB.*", "V100"),
    (r"V100-.*32GB.*", "V100-32GB"),
    (r"A10G", "A10G"),
    (r"A10(-24Q)?", "A10"),  # -24Q is a whole A10, as Azure's NVads_A10_v5 hands it on
    (r"A100-.*40GB.*", "A100-40GB"),
    (r"A100[- ].*80GB.*", "A100-80GB"),
    (r"L4", "L4"),
    (r"L40S", "L40S"),
    (r"H100 80GB HBM3", "H100"),  # SXM; the PCIe card is another, slower one and keeps its own name
    (r"H100 NVL", "H100-NVL"),
    (r"H200", "H200"),
    (r"B200", "B200"),
    (r"B300( SXM6 AC)?", "B300"),
    (r"GB200", "GB200"),
    (r"RTX PRO 6000 Blackwell Server Edition", "RTXPRO6000"),
    (r"MI300X( VF)?", "MI300X"),
)
_ARCHITECTURES = {"amd64": "x86_64", "aarch64": "arm64"}
DEVICE_PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("fp32", "bf16"),
    "cuda": ("fp32", "tf32", "bf16", "fp16"),
}
"""The precisions that devices can have (training.precision.PRECISIONS); whether they work here is not tried."""


def untried_hardware() -> Hardware:
    """This machine as training.hardware.describe_hardware describes it, but that no precision is tried.

    GPUs are those of its first kind that the driver names and CUDA_VISIBLE_DEVICES leaves.
    """
    machine, gpus = machine_without_accelerators(), _gpus()
    alike = [gpu for gpu in gpus if gpu[0] == gpus[0][0]]
    devices = ("cpu", "cuda") if alike else ("cpu",)
    return replace(
        machine,
        accelerator=accelerator_name(alike[0][0]) if alike else "",
        accelerator_count=len(alike),
        accelerator_memory_bytes=alike[0][1] if alike else 0,
        precisions={device: DEVICE_PRECISIONS[device] for device in devices},
    )


def machine_without_accelerators() -> Hardware:
    """The machine's CPU and memory, as this process may use them."""
    machine = platform.machine().lower()
    return Hardware(
        system=f"{platform.system()} {platform.release()}",
        cpu_model=cpu_model(),
        architecture=_ARCHITECTURES.get(machine, machine),
        cores=usable_cores(),
        memory_bytes=machine_memory_bytes(),
    )


def accelerator_name(driver_name: str) -> str:
    """The price book's name for what the driver calls ``driver_name``; that name itself where it has none.

    A slice of a GPU (MIG) is not the GPU and keeps its name.

    >>> accelerator_name("NVIDIA A100-SXM4-80GB")
    'A100-80GB'
    """
    if " MIG " in driver_name:
        return driver_name
    name = _MAKERS.sub("", driver_name)
    return next((known for pattern, known in _ACCELERATORS if re.fullmatch(pattern, name)), driver_name)


def usable_cores() -> int:
    """Logical CPUs that this process may use: its affinity, and whole CPUs of its control group's quota."""
    affinity = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, int(min(affinity, cpu_limit())))


def cpu_model() -> str:
    """The processor's name as it gives it, or the architecture where it gives none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def compiler_problem() -> str:
    """Why torch.compile cannot work here, in a sentence; "" where there is a C++ compiler."""
    default = "clang++" if sys.platform == "darwin" else "g++"  # as torch chooses
    compiler = next(iter(shlex.split(os.environ.get("CXX", ""))), default)
    if shutil.which(compiler):
        return ""
    return f"torch.compile needs a C++ compiler, and there is no {compiler} on this machine"


def _gpus() -> list[tuple[str, int]]:
    """The name and the bytes of memory of each GPU that a training here can use, by the driver; none without one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = [
            (str(pynvml.nvmlDeviceGetName(each)), int(pynvml.nvmlDeviceGetMemoryInfo(each).total)) for each in handles
        ]
    except Exception:  # noqa: BLE001 - no library, no driver: then there is none
        return []
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return found
    chosen = [device.strip() for device in listed.split(",") if device.strip() not in ("", "-1")]
    if all(device.isdecimal() for device in chosen):
        return [found[int(device)] for device in chosen if int(device) < len(found)]
    return found[: len(chosen)]  # by their ids: of one kind, as a study needs them
