"""The gallery's training loop against the plainest one that does the same work, workload by workload.

    python -m experiments.benchmarks.loops [--json] [--pairs 5] [--seconds 5] [--only NAME]

A pair of measurements is taken one right after the other, in alternating order, each in a process of its own; the
median of the ratios is reported. Time is that of training and its evaluations, from ready to the end of fit. The plain
loop of fine-tuning is the Trainer of transformers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.gallery_training import LOOPS, prepare, smoke_study, train
from tracker.engine.forkserver import Forkserver
from tracker.training.machine import usable_cores

GALLERY = (
    "docstrings",
    "language_model",
    "translator",
    "image_classifier",
    "tabular_classifier",
    "audio_classifier",
    "video_classifier",
    "image_generator",
    "question_answerer",
    "object_detector",
    "fine_tuner",
    "classifier_tuner",
)


def measure(pairs: int, seconds: float, only: str | None) -> Iterator[Figure]:
    """The speed of our loop over that of the plain one, for each workload of the gallery."""
    forkserver = Forkserver()
    with tempfile.TemporaryDirectory(prefix="loops-") as folder:
        for name in [only] if only else GALLERY:
            study, threads = smoke_study(name), usable_cores()
            card = forkserver.call(prepare, study, threads, Path(folder))
            once = forkserver.call(train, study, threads, Path(folder), card, "ours", 1)
            epochs = max(1, round(seconds / once))
            ratios = []
            for pair in range(pairs):
                taken = {
                    loop: forkserver.call(train, study, threads, Path(folder), card, loop, epochs)
                    for loop in (LOOPS if pair % 2 else reversed(LOOPS))
                }
                ratios.append(taken["plain"] / taken["ours"])
            value = statistics.median(ratios)
            yield Figure(f"{name}: speed of our loop / a plain one's", value, "×", ">= 1.0", value >= 1.0, ratios)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=5, help="pairs of measurements for each workload")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long one measured training lasts, about")
    parser.add_argument("--only", choices=GALLERY, help="one workload alone")


if __name__ == "__main__":
    main("loops", _arguments, measure)
