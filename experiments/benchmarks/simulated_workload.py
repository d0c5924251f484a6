"""A workload that is never trained: a simulated engine stands in for its workers."""

from __future__ import annotations

from tracker import workload


@workload(metrics={"accuracy": "maximize", "validation_loss": "minimize"})
def simulated(run, learning_rate: float = 0.01, width: int = 16, epochs: int = 16):
    """Two knobs whose best values the simulation knows."""
    raise NotImplementedError(f"{learning_rate}, {width}, {epochs}: only a simulated engine trains this")
