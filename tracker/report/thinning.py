"""Thinning of very many points so that the cloud keeps its shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_POINTS = 800
"""The most points off the frontier that a chart draws: browsers draw this many SVG points quickly."""
_FINEST = 160
"""Cells per side of the finest grid; a cell is a few pixels wide."""


def thinned(x: Floats, y: Floats, kind: NDArray[np.bool_], most: int = MOST_POINTS) -> NDArray[np.int64]:
    """The rows of n points to draw, by rising row: all of them, or one a cell of a grid over the plane.

    ``x`` and ``y`` [n] are places as they are drawn (logarithms on a logarithmic axis), finite; ``kind`` [n] separates
    two kinds of points, so that neither hides the other. The grid is the finest with at most ``most`` occupied cells.
    The first point of a cell represents it, so the same points stay while a study grows within its range; the four
    extremes are always included.
    """
    if len(x) <= most:
        return np.arange(len(x), dtype=np.int64)
    extremes = np.unique([x.argmin(), x.argmax(), y.argmin(), y.argmax()])
    side = _FINEST
    while True:
        rows = np.union1d(_first_in_cells(x, y, kind, side), extremes)
        if len(rows) <= most or side == 1:
            return rows.astype(np.int64)
        side = max(1, min(side - 1, int(side * (most / len(rows)) ** 0.5)))


def _first_in_cells(x: Floats, y: Floats, kind: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    cells = (_steps(x, side) * side + _steps(y, side)) * 2 + kind
    first = np.full(side * side * 2, -1, dtype=np.int64)
    first[cells[::-1]] = np.arange(len(x) - 1, -1, -1)  # of several points in a cell the last assignment wins
    return first[first >= 0]


def _steps(values: Floats, side: int) -> NDArray[np.int64]:
    low, span = float(values.min()), float(np.ptp(values))
    if span <= 0:
        return np.zeros(len(values), dtype=np.int64)
    return np.minimum(((values - low) / span * side).astype(np.int64), side - 1)
