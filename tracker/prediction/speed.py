"""The method: how many times as fast a training step is on one accelerator as on another, with a 90 % range.

    speed-up = (peak_t / peak_s)^a × (bandwidth_t / bandwidth_s)^b × (power_t / power_s)^c, all raised to busy
    busy = 1 / (1 + (half / MFU)^slope)

``s`` is the source, where the run was measured, ``t`` the target. Peaks are the dense ones of the precision that ran,
power is the thermal design power: chips that may draw less hold lower clocks. MFU is the share of the source's peak
that the training used: a source that stood idle says that the step waits for the host, which no accelerator makes
faster, so the ratio nears 1. The five figures and the ranges are fitted on published measurements by
``python -m experiments.benchmarks.prediction --fit``, which also shows how it does on sources that it never saw.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.prediction.accelerators import AcceleratorColumns

COEFFICIENTS = Path(__file__).with_name("data") / "coefficients.json"
FITTED = ("peak", "bandwidth", "power", "half_mfu", "slope")
TYPICAL_MFU = 0.30
"""What is assumed of the source where its FLOPs are not known: the median of the rows that are fitted on is near."""
SHRINK = 0.5
"""How much the trainings that were measured on both devices are held back; of 0.1 to 2 the best on sources left out."""
IDLE_MFU = 0.06
"""Below it, the source stood idle for most of a step."""


class Pair(StrEnum):
    """How far source and target are apart: ranges differ by it."""

    SAME_CHIP = "same chip"
    SAME_GENERATION = "same generation"
    ADJACENT = "adjacent generation"
    FURTHER = "further generation"
    IDLE_SOURCE = "idle source"
    OTHER_MAKER = "other maker"


PAIRS = tuple(Pair)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The fitted figures: three exponents, the MFU at which half of a speed-up is left, and how steeply it falls.

    ``factors`` are the 90 % ranges by class of the pair: the truth is within the prediction × and / the factor.
    ``blind_factors`` are those where MFU is not known; ``measured_factors`` those where 1, 2, … other trainings of the
    same study were measured on source and target, the last one for more too.
    """

    peak: float
    bandwidth: float
    power: float
    half_mfu: float
    slope: float
    factors: Mapping[Pair, float]
    blind_factors: Mapping[Pair, float]
    measured_factors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SpeedUps:
    """Predicted speed-ups, ``factor`` to either side at 90 %, and the number in PAIRS of each; arrays of one shape."""

    ratio: NDArray[np.float64]
    factor: NDArray[np.float64]
    pair: NDArray[np.int64]


@cache
def load_coefficients() -> Coefficients:
    """Those that are installed with the tracker."""
    document = json.loads(COEFFICIENTS.read_text())
    known, blind = (
        {Pair(pair): float(factor) for pair, factor in document[name].items()} for name in ("factors", "blind_factors")
    )
    peak, bandwidth, power, half_mfu, slope = (float(document[name]) for name in FITTED)
    there = tuple(map(float, document["measured_factors"]))
    return Coefficients(peak, bandwidth, power, half_mfu, slope, known, blind, there)


def shift(errors: NDArray[np.float64]) -> float:
    """What the log of a prediction is moved by where k other trainings were measured on both: Σ errors / (k + SHRINK).

    ``errors`` are the logs of their true speed-ups or times over the predicted ones.
    """
    return float(np.sum(errors) / (len(errors) + SHRINK)) if len(errors) else 0.0


def measured_factor(trainings: int) -> float:
    """The factor of a range where so many other trainings, one or more, were measured on both accelerators."""
    factors = load_coefficients().measured_factors
    return factors[min(trainings, len(factors)) - 1]


def busy_share(mfu: NDArray[np.float64], half_mfu: float, slope: float) -> NDArray[np.float64]:
    """How much of the hardware's speed-up a step gets, from 0 to 1, by the source's MFU; NaN counts as TYPICAL_MFU."""
    used = np.where(np.isnan(mfu), TYPICAL_MFU, np.clip(mfu, 1e-6, 1.0))
    return np.asarray(1.0 / (1.0 + (half_mfu / used) ** slope), dtype=np.float64)


def speed_ups(
    source: AcceleratorColumns,
    target: AcceleratorColumns,
    mfu: NDArray[np.float64],
    coefficients: Coefficients | None = None,
) -> SpeedUps:
    """The speed-ups of training steps from each source to each target; arrays broadcast against one another.

    ``mfu`` is the model FLOPs utilisation at the source, from 0 to 1; NaN where the FLOPs are not known.
    """
    fitted = coefficients or load_coefficients()
    logs = (
        fitted.peak * np.log(target.peak / source.peak)
        + fitted.bandwidth * np.log(target.bandwidth / source.bandwidth)
        + fitted.power * np.log(target.power / source.power)
    )
    pair = pair_classes(source, target, mfu)
    known, blind = (np.array([ranges[each] for each in PAIRS]) for ranges in (fitted.factors, fitted.blind_factors))
    factor = np.where(np.isnan(mfu), blind[pair], known[pair])
    ratio = np.exp(logs * busy_share(mfu, fitted.half_mfu, fitted.slope))
    return SpeedUps(ratio, *np.broadcast_arrays(factor, pair))


def pair_classes(source: AcceleratorColumns, target: AcceleratorColumns, mfu: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number in PAIRS of each pair; arrays broadcast against one another."""
    apart = np.abs(source.generation - target.generation)
    found = np.select(
        [source.maker != target.maker, np.nan_to_num(mfu, nan=1.0) < IDLE_MFU, source.chip == target.chip,
         apart == 0, apart == 1],
        [PAIRS.index(each) for each in
         (Pair.OTHER_MAKER, Pair.IDLE_SOURCE, Pair.SAME_CHIP, Pair.SAME_GENERATION, Pair.ADJACENT)],
        PAIRS.index(Pair.FURTHER),
    )  # fmt: skip
    return np.asarray(found, dtype=np.int64)
