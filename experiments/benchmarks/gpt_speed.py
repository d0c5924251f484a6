"""The language model's training timed outside a study, and a minimal script's: for child processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.bare_run import bare_run, default_settings, prepared_task
from experiments.benchmarks.minimal_gpt import train_minimal
from experiments.data.token_streams import prepare_streams
from experiments.workloads.language_model import LanguageModel
from tracker.records import Direction, QualityMetric, Settings
from tracker.training.assignment import Place
from tracker.training.machine import usable_cores
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Run

DATA: Mapping[str, Any] = {"source": "standard_library"}

GPT2_SMALL: Settings = {
    "size": 12, "context_length": 1024, "vocabulary_size": 50_257, "batch_size": 32, "validation_bytes": 100_000,
    "device": "cuda", "precision": "bf16", "compile": True, "epochs": 6,
}  # fmt: skip
"""124 million parameters."""

PEAK_FLOPS = {"H200": 989.5e12, "H100 80GB HBM3": 989.4e12, "A100": 312e12}
"""Dense bfloat16 operations a second by what a GPU calls itself: NVIDIA's data sheets of the H200, the H100 SXM and the
A100, the figures with sparsity halved (nvidia.com/en-us/data-center/h200, /h100 and /a100)."""


def prepare(settings: Settings, home: Path) -> None:
    """Have the data ready for what is timed."""
    _run(settings, home, _say_nothing)


def our_speed(settings: Settings, home: Path) -> float:
    """Tokens a second of the workload's own training."""
    moments: list[float] = []
    LanguageModel().train(_run(settings, home, lambda _: moments.append(time.perf_counter())))
    return _tokens_per_second(settings, moments)


def script_speed(settings: Settings, home: Path) -> float:
    """Tokens a second of the minimal script on the same work."""
    run = _run(settings, home, _say_nothing)
    folder = prepare_streams(DATA, run.settings, home / "cache", _say_nothing)
    return _tokens_per_second(settings, [moment for moment, _ in train_minimal(run.settings, folder)])


def utilisation(home: Path) -> float:
    """The share of its peak that a GPU trains GPT-2's smallest model with."""
    seconds: list[float] = []
    # A quality to be maximised, which only falls: no model is written to disk between the epochs that are timed.
    run = _run(GPT2_SMALL, home, lambda meter: seconds.append(meter.phases().train_seconds), Direction.MAXIMIZE)
    LanguageModel().train(run)
    flops = run.summary["flops"] * (len(seconds) - 1) / len(seconds)  # of all epochs but the first
    return flops / (seconds[-1] - seconds[0]) / known_peak()[0]


def known_peak() -> tuple[float, str]:
    """The dense bfloat16 peak of this machine's GPU, and ""; or 0 and why there is none."""
    if not torch.cuda.is_available():
        return 0.0, "no CUDA device"
    name = torch.cuda.get_device_name()
    peaks = [peak for model, peak in PEAK_FLOPS.items() if model in name]
    return (peaks[0], "") if peaks else (0.0, f"no peak is known here of {name}; known: {', '.join(PEAK_FLOPS)}")


def _tokens_per_second(settings: Settings, moments: list[float]) -> float:
    window_bytes = int(settings["context_length"]) * int(settings["batch_size"])
    tokens_per_epoch = int(settings["train_bytes"]) // window_bytes * window_bytes
    return tokens_per_epoch * (len(moments) - 1) / (moments[-1] - moments[0])


def _run(
    settings: Settings, home: Path, checkpoint: Callable[[Meter], None], direction: Direction = Direction.MINIMIZE
) -> Run:
    """A run that calls ``checkpoint`` at each one and records nothing."""
    chosen = default_settings(LanguageModel(), **{"test_bytes": 1000, "threads": usable_cores(), **settings})
    PRECISIONS[str(chosen["precision"])].set_up()
    cache, quality = home / "cache", QualityMetric("bits_per_byte", direction)
    meter = Meter(asked_steady=time.monotonic(), cores=int(chosen["threads"]))

    def write(event: str, fields: Mapping[str, Any]) -> None:
        del fields
        if event == "checkpoint":
            checkpoint(meter)

    task = prepared_task(LanguageModel(), chosen, DATA, cache, quality)
    return bare_run(task, Place(cache, Path(tempfile.mkdtemp(dir=home))), write, meter=meter)


def _say_nothing(_: object) -> None:
    pass
