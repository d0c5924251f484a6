"""The method: how many times as fast a training step is on one accelerator as on another, with a 90 % range.

    speed-up = (peak_t / peak_s)^a × (bandwidth_t / bandwidth_s)^b × (power_t / power_s)^c, all raised to busy
    busy = 1 / (1 + (half / MFU)^slope)

``s`` is the source, where the run was measured, ``t`` the target. Peaks are the dense ones of the precision that ran,
power is the thermal design power: chips that may draw less hold lower clocks. MFU is the share of the source's peak
that the training used: a source that stood idle says that the step waits for the host, which no accelerator makes
faster, so the ratio nears 1. A range is as wide as the two are apart (``Spread``). All figures are fitted on published
measurements by ``python -m experiments.benchmarks.prediction --fit``, which also shows how they do on sources that they
never saw.
"""

from __future__ import annotations

import json
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
OTHER_MAKER_FACTOR = 2.0
"""The least factor of a range between chips of two makers: one source alone has such pairs, so its bias cannot be
seen."""


class Pair(StrEnum):
    """How far source and target are apart, in words."""

    SAME_CHIP = "same chip"
    SAME_GENERATION = "same generation"
    ADJACENT = "adjacent generation"
    FURTHER = "further generation"
    IDLE_SOURCE = "idle source"
    OTHER_MAKER = "other maker"


PAIRS = tuple(Pair)


@dataclass(frozen=True, slots=True)
class Spread:
    """The 90 % range by how far source and target are apart: the log of its factor is √(near² + (far × apart)²).

    ``near`` is what remains between chips of the same specifications, ``far`` what each unit of ``log_distance`` adds.
    """

    near: float
    far: float

    def log_factors(self, apart: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logs of the factors at these distances."""
        return np.hypot(self.near, self.far * apart)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The fitted figures: three exponents, the MFU at which half of a speed-up is left, and how steeply it falls.

    ``spread`` is the 90 % range: the truth is within the prediction × and / its factor; ``blind_spread`` the one where
    MFU is not known. ``measured_shares`` are what is left of a factor's log where 1, 2, … other trainings of the same
    study were measured on source and target, the last one for more too.
    """

    peak: float
    bandwidth: float
    power: float
    half_mfu: float
    slope: float
    spread: Spread
    blind_spread: Spread
    measured_shares: tuple[float, ...]


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
    known, blind = (Spread(**document[name]) for name in ("spread", "blind_spread"))
    peak, bandwidth, power, half_mfu, slope = (float(document[name]) for name in FITTED)
    return Coefficients(peak, bandwidth, power, half_mfu, slope, known, blind, tuple(document["measured_shares"]))


def shift(errors: NDArray[np.float64]) -> float:
    """What the log of a prediction is moved by where k other trainings were measured on both: Σ errors / (k + SHRINK).

    ``errors`` are the logs of their true speed-ups or times over the predicted ones.
    """
    return float(np.sum(errors) / (len(errors) + SHRINK)) if len(errors) else 0.0


def measured_share(trainings: int) -> float:
    """The share of a factor's log that is left where so many other trainings were measured on both accelerators."""
    shares = load_coefficients().measured_shares
    return shares[min(trainings, len(shares)) - 1] if trainings else 1.0


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
    peak, bandwidth, power = _log_ratios(source, target)
    logs = fitted.peak * peak + fitted.bandwidth * bandwidth + fitted.power * power
    apart = log_distance(source, target)
    known, blind = (each.log_factors(apart) for each in (fitted.spread, fitted.blind_spread))
    factor = np.exp(np.where(np.isnan(mfu), blind, known))
    factor = np.where(source.maker == target.maker, factor, np.maximum(factor, OTHER_MAKER_FACTOR))
    ratio = np.exp(logs * busy_share(mfu, fitted.half_mfu, fitted.slope))
    return SpeedUps(ratio, *np.broadcast_arrays(factor, pair_classes(source, target, mfu)))


def log_distance(source: AcceleratorColumns, target: AcceleratorColumns) -> NDArray[np.float64]:
    """How far accelerators are apart: the root mean square of the logs of their ratios of peak, bandwidth and power."""
    return np.asarray(np.sqrt(sum(each**2 for each in _log_ratios(source, target)) / 3), dtype=np.float64)


def _log_ratios(source: AcceleratorColumns, target: AcceleratorColumns) -> list[NDArray[np.float64]]:
    return [np.log(getattr(target, name)) - np.log(getattr(source, name)) for name in ("peak", "bandwidth", "power")]


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
