"""Ranks of trials at the same depth, by non-dominated sorting, as in multi-objective successive halving."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tracker.search.features import Array


class Ranks:
    """The first ``share`` of the trials at each level. Values at a level never change, so they are looked up once."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._gains: dict[int, dict[int, Array]] = {}  # level -> trial -> [D]
        self._first: dict[int, tuple[int, frozenset[int]]] = {}  # level -> of how many, which

    def first(self, level: int, peers: Sequence[int], gains_of: Callable[[int], Array]) -> frozenset[int]:
        """Which of the trials ``peers`` rank first; larger ``gains_of`` a trial [D] are better."""
        if self._first.get(level, (0, None))[0] != len(peers):
            here = self._gains.setdefault(level, {})
            for trial in peers:
                if trial not in here:
                    here[trial] = gains_of(trial)
            first = ranked(np.stack([here[trial] for trial in peers]), int(len(peers) * self._share))
            self._first[level] = len(peers), frozenset(peers[index] for index in first)
        return self._first[level][1]


def ranked(gains: Array, first: int) -> list[int]:
    """The ``first`` best of n points [n, D], by index: by non-dominated rank; of the same, the first is best."""
    as_good = np.ones((len(gains), len(gains)), dtype=np.bool_)
    for column in gains.T:
        as_good &= column[:, None] >= column[None, :]
    beats = as_good & ~np.tril(as_good & as_good.T)
    beaten_by = beats.sum(axis=0)
    order: list[int] = []
    while len(order) < first:
        front = np.flatnonzero(beaten_by == 0)
        order += front.tolist()
        beaten_by = beaten_by - beats[front].sum(axis=0)
        beaten_by[front] = len(gains) + 1  # ranked
    return order[:first]
