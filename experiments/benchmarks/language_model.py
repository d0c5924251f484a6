"""How fast the language model trains: against a minimal script that does the same work, and of what a GPU can do.

    python -m experiments.benchmarks.language_model [--json] [--rounds 5] [--epochs 5] [--threads 2]

Every ratio is taken between two trainings of the same round, on as many cores; the order is turned round from round to
round, and the median is reported. Speeds are in tokens a second from the end of the first epoch to that of the last,
evaluations and writing the best model included: compilation, which is over by then, is not. Model FLOPs utilisation
(Chowdhery et al. 2022, arXiv:2204.02311, appendix B) is measured where there is a GPU whose peak is known here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.gpt_speed import known_peak, our_speed, prepare, script_speed, utilisation
from tracker.engine.forkserver import Forkserver
from tracker.training.machine import usable_cores

WORKLOAD = "experiments.workloads.language_model:LanguageModel"
SETTINGS = {"size": 2, "context_length": 256, "batch_size": 16, "train_bytes": 100_000, "validation_bytes": 40_000}

UTILISATION_TARGET = 0.5

RATIOS = (
    ("our speed / a minimal script's, fp32", "ours, fp32", "script, fp32", 1.0),
    ("our speed with compile / the script's, fp32", "ours, fp32, compiled", "script, fp32", 1.1),
    ("our speed / the script's, bf16", "ours, bf16", "script, bf16", 1.1),
    ("our speed with compile / the script's, bf16", "ours, bf16, compiled", "script, bf16", 1.1),
    ("our speed in bf16 / the script's in fp32", "ours, bf16", "script, fp32", 1.1),
)
"""The name of a figure, what is measured, what it is measured against, and the least that it should be."""


def measure(rounds: int, epochs: int, threads: int) -> Iterator[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="language-model-") as folder:
        home, forkserver = Path(folder), Forkserver(WORKLOAD)
        settings = {**SETTINGS, "epochs": epochs, "threads": threads}
        forkserver.call(prepare, settings, home)
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


def _utilisation(forkserver: Forkserver, home: Path) -> Iterator[Figure]:
    name = "model FLOPs utilisation, 124M parameters in bf16"
    _, reason = forkserver.call(known_peak)
    if reason:
        print(f"{name}: skipped, {reason}", file=sys.stderr)
        return
    value = forkserver.call(utilisation, home)
    yield Figure(name, value, "of peak", f">= {UTILISATION_TARGET}", value >= UTILISATION_TARGET)


def _in_turns(rounds: int, cases: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each case gives in each round."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name in list(cases)[:: -1 if number % 2 else 1]:
            found[name].append(cases[name]())
    return found


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="trainings of each kind; the median ratio counts")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of 24 steps in each training, 2 or more")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="cores of each training; default all")


if __name__ == "__main__":
    main("language_model", _arguments, measure)
