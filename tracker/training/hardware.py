"""Describes this machine. It initialises CUDA: call it in a child process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from tracker.records import Hardware
from tracker.training.machine import accelerator_name, compiler_problem, machine_without_accelerators
from tracker.training.precision import PRECISIONS, works


def describe_hardware() -> Hardware:
    """This machine as this process may use it, with the precisions that really work on each device.

    Several GPUs of different kinds count as those that are like the first: trials must be alike.
    """
    gpus = _gpus()
    alike = [gpu for gpu in gpus if gpu[0] == gpus[0][0]]
    devices = ("cpu", "cuda") if gpus else ("cpu",)
    return replace(
        machine_without_accelerators(),
        accelerator=accelerator_name(alike[0][0]) if alike else "",
        accelerator_count=len(alike),
        accelerator_memory_bytes=alike[0][1] if alike else 0,
        torch_version=str(torch.__version__),
        precisions={device: _working_precisions(torch.device(device)) for device in devices},
    )


def can_compile(device: str = "cpu") -> str:
    """Why torch.compile does not work on ``device`` here, in a sentence; "" where it does.

    Compiles a tiny training step in a cache of its own that is then deleted: some ten seconds.
    Without a C++ compiler it answers at once. Call it in a process that compiles nothing afterwards:
    torch remembers files in that cache.
    """
    missing = compiler_problem()
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
