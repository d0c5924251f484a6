"""How fast the language model trains: against a minimal script that does the same work, and of what a GPU can do.

    python -m experiments.benchmarks.language_model [--json] [--rounds 5] [--epochs 5]

Every ratio is taken between two trainings of the same round, on all cores; the order is turned round from round to
round, and the median is reported. Speeds are in tokens a second from the end of the first epoch to that of the last,
evaluations and writing the best model included: compilation, which is over by then, is not. Model FLOPs utilisation
(Chowdhery et al. 2022, arXiv:2204.02311, appendix B) is measured where there is a GPU whose peak is known here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.minimal_gpt import train_minimal
from experiments.data.token_streams import prepare_streams
from experiments.workloads.gpt import Gpt, Shape
from experiments.workloads.language_model import LanguageModel
from tracker.engine.forkserver import Forkserver
from tracker.records import Direction, QualityMetric, Settings
from tracker.training.hardware import usable_cores
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Run

WORKLOAD = "experiments.workloads.language_model:LanguageModel"
DATA = {"source": "standard_library"}
SETTINGS = {"size": 2, "context_length": 256, "batch_size": 16, "train_bytes": 100_000, "validation_bytes": 40_000}
HARDWARE = {"device": "cpu", "precision": "fp32", "compile": False, "processes": 1}

GPT2_SMALL = {
    "size": 12, "context_length": 1024, "vocabulary_size": 50_257, "batch_size": 32, "validation_bytes": 100_000,
    "device": "cuda", "precision": "bf16", "compile": True, "epochs": 6,
}  # fmt: skip
"""124 million parameters."""

PEAK_FLOPS = {"H200": 989.5e12, "H100 80GB HBM3": 989.4e12, "A100": 312e12}
"""Dense bfloat16 operations a second by what a GPU calls itself: NVIDIA's data sheets of the H200, the H100 SXM and the
A100, the figures with sparsity halved (nvidia.com/en-us/data-center/h200, /h100 and /a100)."""

UTILISATION_TARGET = 0.5

RATIOS = (
    ("our speed / a minimal script's, fp32", "ours, fp32", "script, fp32", 1.0),
    ("the same, ours with compile", "ours, fp32, compiled", "script, fp32", 1.1),
    ("our speed / a minimal script's, bf16", "ours, bf16", "script, bf16", 1.1),
    ("the same, ours with compile ", "ours, bf16, compiled", "script, bf16", 1.1),
    ("ours in bf16 / a minimal script in fp32", "ours, bf16", "script, fp32", 1.1),
)
"""The name of a figure, what is measured, what it is measured against, and the least that it should be."""


def measure(rounds: int, epochs: int) -> Iterator[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="language-model-") as folder:
        home, forkserver = Path(folder), Forkserver(WORKLOAD)
        settings = {**SETTINGS, "epochs": epochs, "threads": usable_cores()}
        forkserver.call(_prepare, settings, home)
        cases = {
            f"{who}, {precision}{', compiled' if compiled else ''}": partial(
                forkserver.call, function, {**settings, "precision": precision, "compile": compiled}, home
            )
            for precision in ("fp32", "bf16")
            for who, function, compiled in (
                ("script", script_speed, False), ("ours", our_speed, False), ("ours", our_speed, True)
            )
        }  # fmt: skip
        speeds = _in_turns(rounds, cases)
        for name, measured, against, least in RATIOS:
            ratios = [ours / other for ours, other in zip(speeds[measured], speeds[against], strict=True)]
            value = statistics.median(ratios)
            holds = value >= least if least == 1.0 else value > least
            yield Figure(name, value, "×", f"{'>=' if least == 1.0 else '>'} {least}", holds, ratios)
        yield from _utilisation(forkserver, home)


def our_speed(settings: Settings, home: Path) -> float:
    """Tokens a second of the workload's own training, with nobody following it. For a child process."""
    moments: list[float] = []
    LanguageModel().train(_run(settings, home, lambda run: moments.append(time.perf_counter())))
    return _tokens_per_second(settings, moments)


def script_speed(settings: Settings, home: Path) -> float:
    """Tokens a second of the minimal script on the same work. For a child process."""
    run = _run(settings, home, lambda run: None)
    folder = prepare_streams(DATA, run.settings, home / "cache", _say_nothing)
    return _tokens_per_second(settings, [moment for moment, _ in train_minimal(run.settings, folder)])


def utilisation(home: Path) -> float:
    """The share of its peak that a GPU trains GPT-2's smallest model with. For a child process."""
    seconds: list[float] = []
    # A quality to be maximised that only falls: no model is written to disk between the epochs that are timed.
    run = _run(GPT2_SMALL, home, lambda run: seconds.append(run.train_seconds()), Direction.MAXIMIZE)
    LanguageModel().train(run)
    tokens = run.summary["flops"] / _flops_per_token(run.settings)
    per_second = tokens * (1 - 1 / len(seconds)) / (seconds[-1] - seconds[0])
    return per_second * _flops_per_token(run.settings) / _peak(torch.cuda.get_device_name())
