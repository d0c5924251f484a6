"""Describes this machine. It initialises CUDA: call it in a child process."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tracker.records import Hardware
from tracker.training.cgroup import cpu_limit, machine_memory_bytes
from tracker.training.precision import PRECISIONS, works

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


def describe_hardware() -> Hardware:
    """This machine as this process may use it, with the precisions that really work on each device.

    Several GPUs of different kinds count as those that are like the first: trials must be alike.
    """
    gpus = _gpus()
    alike = [gpu for gpu in gpus if gpu[0] == gpus[0][0]]
    machine = platform.machine().lower()
    devices = ("cpu", "cuda") if gpus else ("cpu",)
    return Hardware(
        system=f"{platform.system()} {platform.release()}",
        cpu_model=cpu_model(),
        architecture=_ARCHITECTURES.get(machine, machine),
        cores=usable_cores(),
        memory_bytes=machine_memory_bytes(),
        accelerator=accelerator_name(alike[0][0]) if alike else "",
        accelerator_count=len(alike),
        accelerator_memory_bytes=alike[0][1] if alike else 0,
        torch_version=str(torch.__version__),
        precisions={device: _working_precisions(torch.device(device)) for device in devices},
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


def can_compile(device: str = "cpu") -> str:
    """Why torch.compile does not work on ``device`` here, in a sentence; "" where it does.

    Compiles a tiny training step in a cache of its own that is then deleted: some ten seconds.
    Without a C++ compiler it answers at once. Call it in a process that compiles nothing afterwards:
    torch remembers files in that cache.
    """
    missing = _missing_compiler()
    if missing:
        return missing
    with tempfile.TemporaryDirectory(prefix="tracker-compile-", ignore_cleanup_errors=True) as cache:
        try:
            with _environment(TORCHINDUCTOR_CACHE_DIR=cache, TRITON_CACHE_DIR=cache):
                _compiled_step(torch.device(device))
        except Exception as error:  # noqa: BLE001 (a compiler fails in any way; each is an answer)
            return f"torch.compile does not work on {device} here: {_short_reason(error)}"
    return ""


def _gpus() -> list[tuple[str, int]]:
    """The name and the bytes of memory of each GPU."""
    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [(gpu.name, gpu.total_memory) for gpu in found]


def _working_precisions(device: torch.device) -> tuple[str, ...]:
    return tuple(name for name, precision in PRECISIONS.items() if works(precision, device))


def _missing_compiler() -> str:
    default = "clang++" if sys.platform == "darwin" else "g++"  # as torch chooses
    compiler = next(iter(shlex.split(os.environ.get("CXX", ""))), default)
    if shutil.which(compiler):
        return ""
    return f"torch.compile needs a C++ compiler, and there is no {compiler} on this machine"


def _compiled_step(device: torch.device) -> None:
    layer = torch.nn.Linear(16, 16).to(device)
    options: dict[str, str | int | bool | Callable[..., Any]] = {
        "compile_threads": 1,  # more would leave a pool of processes behind
        "cpp_cache_precompile_headers": False,  # written elsewhere, and three times the cost of this one kernel
        "cpp.vec_isa_ok": False,  # what fails of the vector instructions, torch finds out and leaves out itself
    }
    model = torch.compile(torch.nn.Sequential(layer, torch.nn.GELU()), options=options)
    model(torch.randn(4, 16, device=device)).square().mean().backward()
    if layer.weight.grad is None or not torch.isfinite(layer.weight.grad).all():
        raise RuntimeError("the compiled step gives no finite gradient")


def _short_reason(error: Exception) -> str:
    """The line of a compiler's long message that says what is wrong, or its first one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if "error: " in line), lines[0])[:300]


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
