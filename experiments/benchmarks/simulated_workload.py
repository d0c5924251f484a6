"""A workload that is never trained: a simulated engine, or simulated hosts, stand in for its workers."""

from __future__ import annotations

import math

from tracker import workload
from tracker.records import Settings


@workload(metrics={"accuracy": "maximize", "validation_loss": "minimize"})
def simulated(run, learning_rate: float = 0.01, width: int = 16, epochs: int = 16):
    """Two knobs whose best values the simulation knows."""
    raise NotImplementedError(f"{learning_rate}, {width}, {epochs}: only a simulation trains this")


def quality_of(settings: Settings) -> float:
    """The accuracy that a simulated training tends towards."""
    rate, width = float(settings.get("learning_rate", 1e-2)), float(settings.get("width", 16))
    return 0.95 - 0.08 * abs(math.log10(rate) + 2) - 0.4 / math.sqrt(width)


def metrics_after(epoch: int, quality: float) -> dict[str, float]:
    """What a simulated training that tends towards ``quality`` reports after an epoch."""
    reached = quality * (1 - 0.7**epoch)
    return {"accuracy": reached, "validation_loss": 1 - reached}
