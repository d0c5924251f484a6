"""Ranks of trials at the same depth, by non-dominated sorting, as in multi-objective successive halving."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.search.features import Array


class Ranks:
    """The first ``share`` of the trials at each level. Values at a level never change, so they are looked up once."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._gains: dict[int, Array] = {}  # level -> [trial, D], NaN for trials that did not come there
        self._first: dict[int, tuple[int, frozenset[int]]] = {}  # level -> of how many, which

    def first(self, level: int, peers: Sequence[int], gains_of: Callable[[int], Array]) -> frozenset[int]:
        """Which of the trials ``peers`` rank first; larger ``gains_of`` a trial [D] are better."""
        if self._first.get(level, (0, None))[0] != len(peers):
            trials = np.array(peers)
            gains = self._gains_at(level, trials, gains_of)[trials]
            first = ranked(gains, int(len(peers) * self._share))
            self._first[level] = len(peers), frozenset(peers[index] for index in first)
        return self._first[level][1]

    def _gains_at(self, level: int, trials: NDArray[np.int64], gains_of: Callable[[int], Array]) -> Array:
        here = self._gains.get(level)
        if here is None:
            here = np.full((1, len(gains_of(int(trials[0])))), np.nan)
        if (lacking := trials.max() + 1 - len(here)) > 0:
            here = np.pad(here, ((0, max(lacking, len(here))), (0, 0)), constant_values=np.nan)
        for trial in trials[np.isnan(here[trials, 0])]:
            here[trial] = gains_of(int(trial))
        self._gains[level] = here
        return here


def ranked(gains: Array, first: int) -> list[int]:
    """The ``first`` best of n points [n, D], by index: by non-dominated rank; of the same, the first is best."""
    fronts = _fronts_in_a_plane(gains) if gains.shape[1] == 2 else _fronts(gains)
    order: list[int] = np.argsort(fronts, kind="stable")[:first].tolist()
    return order


def _fronts_in_a_plane(gains: Array) -> list[int]:
    """The non-dominated front of each point [n, 2], from 0.

    Sweeps once, O(n log n): from the best in one dimension on, the front of a point is the first whose best so far in
    the other is worse (Jensen, IEEE Transactions on Evolutionary Computation 7, 2003).
    """
    one, other = gains.T
    fronts, losses = [0] * len(gains), list[float]()  # the least loss in the other dimension, by front: it rises
    for index in np.lexsort((-other, -one)).tolist():
        loss = -float(other[index])
        front = fronts[index] = bisect.bisect_right(losses, loss)
        losses[front : front + 1] = [loss]
    return fronts


def _fronts(gains: Array) -> list[int]:
    """The non-dominated front of each point [n, D], from 0; O(n²)."""
    as_good = np.ones((len(gains), len(gains)), dtype=np.bool_)
    for column in gains.T:
        as_good &= column[:, None] >= column[None, :]
    beats = as_good & ~np.tril(as_good & as_good.T)
    beaten_by, fronts, front = beats.sum(axis=0), np.full(len(gains), -1), 0
    while (left := fronts < 0).any():
        best = np.flatnonzero(left & (beaten_by == 0))
        fronts[best] = front
        beaten_by = beaten_by - beats[best].sum(axis=0)
        front += 1
    found: list[int] = fronts.tolist()
    return found
