"""The frontier of a study that is still running."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from tracker.frontier.pareto import frontier_mask
from tracker.records import Direction

Point = tuple[float, float]
"""A quality and a price in USD."""


class FrontierSoFar:
    """Which checkpoints are on the frontier, as they come in."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._points: dict[str, dict[int, Point]] = defaultdict(dict)
        self._epochs: Mapping[str, frozenset[int]] | None = None

    def enter(self, label: str, points: Mapping[int, Point]) -> None:
        """The points that the run of this label has reached, by epoch; those known before stay."""
        if points.keys() - self._points[label].keys():
            self._points[label] |= points
            self._epochs = None

    @property
    def epochs(self) -> Mapping[str, frozenset[int]]:
        """The epochs on the frontier of each run that has one there, by its label."""
        if self._epochs is None:
            owners = [(label, epoch) for label, points in self._points.items() for epoch in points]
            plane = np.array([self._points[label][epoch] for label, epoch in owners]).reshape(-1, 2)
            found = defaultdict(set)
            for (label, epoch), kept in zip(
                owners, frontier_mask(plane[:, 0], plane[:, 1], self._direction), strict=True
            ):
                if kept:
                    found[label].add(epoch)
            self._epochs = {label: frozenset(epochs) for label, epochs in found.items()}
        return self._epochs

    @property
    def best(self) -> tuple[str, Point] | None:
        """The run that reached the best quality of all at the lowest price, and that point; None before any."""
        sign = 1.0 if self._direction is Direction.MAXIMIZE else -1.0
        owned = [(label, point) for label, points in self._points.items() for point in points.values()]
        return max(owned, key=lambda each: (sign * each[1][0], -each[1][1]), default=None)

    @property
    def cheapest_usd(self) -> float:
        """The lowest price in USD at which anything was reached; NaN before any."""
        return min((price for points in self._points.values() for _, price in points.values()), default=math.nan)

    def point(self, label: str, epoch: int) -> Point:
        """What the run of this label reached after an epoch."""
        return self._points[label][epoch]

    @property
    def by_price(self) -> list[tuple[str, int]]:
        """The label and epoch of each point on the frontier, by rising price: its best one is the last."""
        on_it = [(label, epoch) for label, epochs in self.epochs.items() for epoch in epochs]
        return sorted(on_it, key=lambda owner: self.point(*owner)[1])
