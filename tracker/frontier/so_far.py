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
    """Which checkpoints are on the frontier, as they come in; those that are beaten never return to it."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._points: dict[tuple[str, int], Point] = {}
        self._plane = np.empty((0, 2))
        """The same points, a row each."""
        self._epochs: Mapping[str, frozenset[int]] = {}

    def enter(self, label: str, points: Mapping[int, Point]) -> None:
        """The points that the run of this label has reached, by epoch; those known before stay."""
        new = {
            (label, epoch): point
            for epoch, point in points.items()
            if (label, epoch) not in self._points and not self._beaten(point)
        }
        if not new:
            return
        owners = [*self._points.items(), *new.items()]
        plane = np.concatenate([self._plane, np.array(list(new.values()))])
        kept = frontier_mask(plane[:, 0], plane[:, 1], self._direction)
        self._points = {owner: point for (owner, point), on_it in zip(owners, kept, strict=True) if on_it}
        self._plane = plane[kept]
        found = defaultdict(set)
        for run, epoch in self._points:
            found[run].add(epoch)
        self._epochs = {run: frozenset(epochs) for run, epochs in found.items()}

    def _beaten(self, point: Point) -> bool:
        """Whether a point of the frontier is as good and as cheap: most points are beaten when they come in."""
        quality, price_usd = self._plane[:, 0], self._plane[:, 1]
        as_good = quality >= point[0] if self._direction is Direction.MAXIMIZE else quality <= point[0]
        return bool(np.any(as_good & (price_usd <= point[1])))

    @property
    def epochs(self) -> Mapping[str, frozenset[int]]:
        """The epochs on the frontier of each run that has one there, by its label."""
        return self._epochs

    @property
    def best(self) -> tuple[str, Point] | None:
        """The run that reached the best quality of all at the lowest price, and that point; None before any."""
        if not self._points:
            return None
        label, epoch = self.by_price[-1]
        return label, self.point(label, epoch)

    @property
    def cheapest_usd(self) -> float:
        """The lowest price in USD at which anything was reached; NaN before any."""
        return min((price for _, price in self._points.values()), default=math.nan)

    def point(self, label: str, epoch: int) -> Point:
        """What the run of this label reached after an epoch that is on the frontier."""
        return self._points[label, epoch]

    @property
    def by_price(self) -> list[tuple[str, int]]:
        """The label and epoch of each point on the frontier, by rising price: its best one is the last."""
        return sorted(self._points, key=lambda owner: self._points[owner][1])
