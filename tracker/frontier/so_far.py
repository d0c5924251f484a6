"""The frontier of a study that is still running."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.frontier.pareto import frontier_mask
from tracker.records import Direction


class FrontierSoFar:
    """Who is on the frontier, as checkpoints come in. Points are (quality, price in USD)."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._points: dict[str, Sequence[tuple[float, float]]] = {}
        self._labels: frozenset[str] | None = None

    def enter(self, label: str, points: Sequence[tuple[float, float]]) -> None:
        """All the points that the run of this label has reached by now."""
        if len(points) != len(self._points.get(label, ())):
            self._points[label] = points
            self._labels = None

    @property
    def labels(self) -> frozenset[str]:
        """The labels of the runs with at least one point on the frontier."""
        if self._labels is None:
            owners = [label for label, points in self._points.items() for _ in points]
            plane = np.array([point for points in self._points.values() for point in points]).reshape(-1, 2)
            mask = frontier_mask(plane[:, 0], plane[:, 1], self._direction)
            self._labels = frozenset(label for label, kept in zip(owners, mask, strict=True) if kept)
        return self._labels

    @property
    def best(self) -> tuple[float, float] | None:
        """The best quality of all and the lowest price in USD that reached it; None before any."""
        sign = 1.0 if self._direction is Direction.MAXIMIZE else -1.0
        points = [point for points in self._points.values() for point in points]
        return max(points, key=lambda point: (sign * point[0], -point[1]), default=None)
