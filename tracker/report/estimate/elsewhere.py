"""What past runs would have taken on another machine: as many times their seconds, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tracker.prediction.accelerators import Accelerator
from tracker.prediction.step_times import CUDA_START_SECONDS, MeasuredSteps, predict_on
from tracker.report.estimate.past import PastRun

Array = NDArray[np.float64]
_MEASURED = ("seconds", "flops", "launches", "memory_bytes")
_DEVIATIONS = 1.645
"""Standard deviations from the middle of a range of 90 % to its end."""


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """Of n runs, how many times its seconds each would take: ``ratios`` [n], of which the logarithm's standard
    deviation is ``deviation``. ``refused`` is why there is none, "" where there is."""

    ratios: Array
    deviation: float
    basis: str = ""
    refused: str = ""


def elsewhere(runs: Sequence[PastRun], target: Accelerator | None) -> Elsewhere:
    """The seconds of ``runs``, each with its steps, on one accelerator of a kind, or on another processor (None).

    Only training steps are predicted (report.predictions): start-up, evaluation and saving stay as measured. Where some
    runs are refused, the others stand for them.
    """
    steps = [run.steps for run in runs if run.steps is not None]
    if len(steps) < len(runs) or not steps:
        return Elsewhere(np.ones(len(runs)), 0.0, refused="how long its training steps took is not known")
    measured = MeasuredSteps(
        [each.source for each in steps],
        np.arange(len(steps), dtype=np.int64),
        *(np.array([getattr(each, name) for each in steps]) for name in _MEASURED),
    )
    found = predict_on(target, measured)
    known = found.refused == ""
    if not known.any():
        return Elsewhere(np.ones(len(runs)), 0.0, refused=str(found.refused[0]))
    wall = np.array([run.seconds for run in runs])
    startup = np.minimum([run.startup_seconds for run in runs], wall)
    training = (wall - startup) * np.array([each.share for each in steps])
    starts = [0.0 if target is None or each.source.accelerator else CUDA_START_SECONDS[1] for each in steps]
    with np.errstate(divide="ignore", invalid="ignore"):
        likely = wall - training + training * found.seconds / measured.step_seconds + starts
        spread = np.log(found.high / found.low) / (2 * _DEVIATIONS) * training / wall
    ratios = np.where(known, likely / wall, np.nan)
    ratios = np.where(known, ratios, np.exp(np.nanmean(np.log(ratios))))
    return Elsewhere(ratios, float(np.nanmean(np.where(known, spread, np.nan))), str(found.basis[known][0]))


def moved(runs: Sequence[PastRun], there: Elsewhere, hardware: str) -> list[PastRun]:
    """Runs as they would have been on another machine, called ``hardware``."""
    return [
        replace(
            run,
            hardware=hardware,
            seconds=run.seconds * ratio,
            reached=tuple((step, seconds * ratio) for step, seconds in run.reached),
        )
        for run, ratio in zip(runs, there.ratios.tolist(), strict=True)
        if math.isfinite(ratio)
    ]
