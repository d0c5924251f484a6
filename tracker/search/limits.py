"""The limits of a study, on what trials report: checkpoints beyond them do not count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tracker.study.spec import Limit

MEMORY = "peak_memory_bytes"


class Limits:
    """Limits on reported metrics, ``on_metrics``, and the least one on peak_memory_bytes, ``memory_bytes``.

    ``outside`` has a value beyond each limit on a metric: one that is not reported counts as that.
    """

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        self.on_metrics: Sequence[Limit] = [limit for limit in limits if limit.metric != MEMORY]
        bounds = [limit.high for limit in limits if limit.metric == MEMORY and limit.high is not None]
        self.memory_bytes: float = min(bounds, default=math.inf)
        self.outside: Mapping[str, float] = {limit.metric: limit.outside for limit in self.on_metrics}

    def keeps(self, metrics: Mapping[str, float]) -> bool:
        """Whether metrics keep every limit on them; one that is missing keeps none."""
        return all(limit.excess(metrics.get(limit.metric, math.nan)) <= 0 for limit in self.on_metrics)

    def has_room(self, memory_bytes: float) -> bool:
        """Whether a trial that needs so much memory keeps the limit on it."""
        return memory_bytes <= self.memory_bytes

    def admits(self, values: Mapping[str, float]) -> bool:
        """Whether a checkpoint keeps every limit."""
        return self.keeps(values) and self.has_room(values.get(MEMORY, 0.0))
