"""The seconds that the training steps of runs would take on one accelerator: likely, and a 90 % range, or why not.

Three ways, by where a run was measured:

- on an accelerator: its seconds over the speed-up of ``speed.speed_ups``;
- on a processor, and its FLOPs are known: FLOPs / (peak × UTILISATION), within a factor of FROM_FLOPS to either side,
  and never below what launching its operations one by one takes the host. Where launching takes longer, no faster
  accelerator helps; where the operations are not counted, the range reaches up to what the processor took;
- on a processor for another processor, with as many cores: the same seconds, within ANOTHER_PROCESSOR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.prediction.accelerators import OLDEST, Accelerator, AcceleratorColumns
from tracker.prediction.speed import PAIRS, SpeedUps, speed_ups

Floats = NDArray[np.float64]

UTILISATION = 0.25
FROM_FLOPS = 4.0
"""From FLOPs alone: 90 % of 21,320 throughputs of image models on four accelerators (RTX 3090, 4090, 5090 and PRO 6000;
github.com/huggingface/pytorch-image-models, results/, November 2026) lie within × / ÷ 3.6 of a quarter of the peak."""
LAUNCH_SECONDS = (5e-6, 7e-6, 10e-6)
"""What one operation costs the host that launches it: at least, likely, at most. An assumption: PyTorch's eager mode
takes 5 to 10 µs an operation on current processors."""
CUDA_START_SECONDS = (1.0, 3.0, 6.0)
"""What a start on a GPU takes beyond one on a processor: at least, likely, at most. An assumption: making a context and
loading kernels takes seconds."""
ANOTHER_PROCESSOR = 2.0
"""An assumption: cores of server processors of the last ten years differ by less than this in training. Not fitted."""
FROM_PROCESSOR, BOUND_BY_LAUNCHES, OTHER_PROCESSOR = "from FLOPs alone", "bound by launches", "another processor"
"""What is said of a prediction in place of the class of a pair (speed.Pair)."""
_GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class Source:
    """What runs were measured on: ``count`` accelerators of a kind, or processes on processors, in one precision.

    ``refused`` is why nothing is predicted from here, "" where something is.
    """

    accelerator: Accelerator | None
    precision: str
    count: int = 1
    refused: str = ""

    @property
    def peak(self) -> float:
        """The dense peak of all in FLOP/s; NaN for a processor."""
        return self.accelerator.peak(self.precision) * max(self.count, 1) if self.accelerator else np.nan

    @property
    def bandwidth(self) -> float:
        """The memory bandwidth of all in bytes/s; NaN for a processor."""
        return self.accelerator.bandwidth * max(self.count, 1) if self.accelerator else np.nan


@dataclass(frozen=True, slots=True)
class MeasuredSteps:
    """The training steps of n runs as measured: [n] each, NaN for what is not known.

    ``codes`` says of each which of ``sources`` it ran on. ``step_seconds`` are those of the training steps alone,
    ``flops`` the multiplications and additions in them, ``launches`` their operations; ``memory_bytes`` is the peak of
    the accelerator's memory.
    """

    sources: Sequence[Source]
    codes: NDArray[np.int64]
    step_seconds: Floats
    flops: Floats
    launches: Floats
    memory_bytes: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def utilisation(self) -> Floats:
        """The model FLOPs utilisation [n]: FLOPs a second over the dense peak; NaN on processors."""
        peaks = np.array([each.peak for each in self.sources], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.flops / self.step_seconds / peaks[self.codes], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class PredictedSteps:
    """Seconds of n runs' training steps on one target, likely and its 90 % range, all [n]; NaN where ``refused``.

    ``basis`` says what each rests on: a speed.Pair, or FROM_PROCESSOR and the like; ``refused`` why there is none, ""
    where there is one.
    """

    seconds: Floats
    low: Floats
    high: Floats
    basis: NDArray[np.object_]
    refused: NDArray[np.object_]


def predict_on(target: Accelerator | None, runs: MeasuredSteps) -> PredictedSteps:
    """The steps of ``runs`` on one accelerator of this kind, or with as many cores on another processor (None)."""
    refused = _refusals(target, runs)
    found = _on_another_processor(runs) if target is None else _on_accelerator(target, runs)
    seconds, low, high = (np.where(refused == "", each, np.nan) for each in found[:3])
    return PredictedSteps(seconds, low, high, found[3], refused)


def _on_another_processor(runs: MeasuredSteps) -> tuple[Floats, Floats, Floats, NDArray[np.object_]]:
    seconds, basis = runs.step_seconds, np.full(len(runs), OTHER_PROCESSOR, dtype=object)
    return seconds, seconds / ANOTHER_PROCESSOR, seconds * ANOTHER_PROCESSOR, basis


def _on_accelerator(target: Accelerator, runs: MeasuredSteps) -> tuple[Floats, Floats, Floats, NDArray[np.object_]]:
    computing = runs.flops / np.array([target.peak(each.precision) for each in runs.sources])[runs.codes] / UTILISATION
    least, likely, most = (runs.launches * each for each in LAUNCH_SECONDS)
    low = np.fmax(computing / FROM_FLOPS, least)
    # Without a count of its launches, a step is only known not to take longer than on the processor.
    high = np.where(np.isnan(most), np.maximum(computing * FROM_FLOPS, runs.step_seconds), computing * FROM_FLOPS)
    high = np.fmax(high, most)
    seconds = np.where(np.isnan(likely), np.sqrt(low * high), np.fmax(computing, likely))
    basis = np.where(likely >= computing, BOUND_BY_LAUNCHES, FROM_PROCESSOR).astype(object)
    known = [number for number, each in enumerate(runs.sources) if each.accelerator is not None]
    at = np.flatnonzero(np.isin(runs.codes, known))
    if len(at):
        ups = _speed_ups(target, runs, at)
        seconds[at] = runs.step_seconds[at] / ups.ratio
        low[at], high[at] = seconds[at] / ups.factor, seconds[at] * ups.factor
        basis[at] = np.array([str(each) for each in PAIRS], dtype=object)[ups.pair]
    return seconds, low, high, basis


def _speed_ups(target: Accelerator, runs: MeasuredSteps, at: NDArray[np.int64]) -> SpeedUps:
    """Those of the runs ``at`` these places, which ran on accelerators."""
    codes = runs.codes[at]
    stand_in = next(each.accelerator for each in runs.sources if each.accelerator is not None)
    precisions = [each.precision for each in runs.sources]
    origin = AcceleratorColumns.of([each.accelerator or stand_in for each in runs.sources], precisions).take(codes)
    goal = AcceleratorColumns.of([target] * len(precisions), precisions).take(codes)
    return speed_ups(origin, goal, runs.utilisation()[at])


def _refusals(target: Accelerator | None, runs: MeasuredSteps) -> NDArray[np.object_]:
    """Why the steps of each run on the target cannot be predicted, "" where they can: [n]."""
    of_sources = np.array([_refusal(target, each) for each in runs.sources], dtype=object)
    refused = of_sources[runs.codes] if len(runs) else np.empty(0, dtype=object)
    untimed = ~(runs.step_seconds > 0)
    refused[(refused == "") & untimed] = "how long its training steps took is not known"
    if target is None:
        return refused
    processors = np.array([each.accelerator is None for each in runs.sources], dtype=bool)[runs.codes]
    refused[(refused == "") & processors & np.isnan(runs.flops)] = (
        "its FLOPs are not known: from a processor nothing else tells how long it takes"
    )
    needed = runs.memory_bytes / _GIB
    for row in np.flatnonzero((refused == "") & ~processors & (needed > target.memory_gb)):
        refused[row] = f"it needs {needed[row]:.1f} GiB of memory, {target.name} has {target.memory_gb:g}"
    return refused


def _refusal(target: Accelerator | None, source: Source) -> str:
    """Why nothing is predicted from this source for the target; "" where something is."""
    if source.refused:
        return source.refused
    origin = source.accelerator
    if source.count > 1:
        kind = origin.name if origin else "processes or machines"
        return f"it ran on {source.count} × {kind}: what several exchange is not predicted"
    if target is None:
        return "" if origin is None else "from an accelerator nothing is predicted for a processor"
    for each in (target, origin):
        if each is not None and each.is_too_old:
            return f"{each.name} is older than {OLDEST}: the method does not hold there"
        if each is not None and not each.has(source.precision):
            return f"{each.name} does not compute in {source.precision}"
        if each is not None and np.isnan(each.peak(source.precision)):
            return f"no peak of {each.name} in {source.precision} is known"
    return ""
