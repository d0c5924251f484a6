"""The Pareto frontier of quality against price: the non-dominated points, and their hypervolume.

Point a dominates point b where a is at least as good and costs at most as much, and is better or cheaper. A point whose
quality or price is not finite is ignored: it is never on the frontier and dominates nothing. Prices are compared as
they are and measured on a logarithmic scale, because halving a price is worth as much at $0.001 as at $1,000.

Every function takes one-dimensional arrays of one shape [n] and raises ValueError where shapes differ
or where a price is zero or negative.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.records import Direction

MANY = 20_000
"""Points from which on it pays to leave out the plainly dominated ones before sorting."""
_STAIRCASE = 1_000
"""How many of them tell which are plainly dominated: so few are looked up at once."""
POINT = 0.01
"""The step of quality that a slope is for: one point of accuracy."""


def frontier_mask(quality: ArrayLike, price_usd: ArrayLike, direction: Direction) -> NDArray[np.bool_]:
    """Which of n points are non-dominated: True for each of them; of equal points the first only.

    Sorts by price and sweeps once, O(n log n): a point stays where it is better than everything
    that costs as much or less (Kung, Luccio and Preparata, 1975, in two dimensions).
    """
    gain, price = _checked(quality, price_usd, direction)
    mask = np.zeros(gain.shape, dtype=np.bool_)
    usable = np.flatnonzero(np.isfinite(gain) & np.isfinite(price) & ~_clearly_dominated(gain, price))
    # lexsort is stable: equal points keep their order, so the first of them is met first.
    order = usable[np.lexsort((-gain[usable], price[usable]))]
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], gain[order])))[:-1]
    mask[order[gain[order] > best_before]] = True
    return mask


def _clearly_dominated(gain: NDArray[np.float64], price: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of very many points some of them beat in both: most of them, without sorting all.

    Those of some points that are non-dominated make a staircase; what is under it need not be sorted.
    """
    if len(gain) < MANY:
        return np.zeros(len(gain), dtype=np.bool_)
    few = np.arange(0, len(gain), max(1, len(gain) // _STAIRCASE))
    few = few[np.isfinite(gain[few]) & np.isfinite(price[few])]
    if not len(few):
        return np.zeros(len(gain), dtype=np.bool_)
    few = few[np.argsort(price[few], kind="stable")]
    best = np.maximum.accumulate(gain[few])
    before = np.searchsorted(price[few], price, side="left") - 1  # the last that is cheaper
    return (before >= 0) & (best[before] > gain)


def hypervolume(
    quality: ArrayLike,
    price_usd: ArrayLike,
    direction: Direction,
    reference_quality: float,
    reference_price_usd: float,
) -> float:
    """The area that n points dominate, up to a reference point; in quality times decades of price.

    Exact: the sum over the steps of the frontier, each as wide as log10(next price / its price).
    Points that do not beat the reference in both add nothing. Only figures with the same reference
    can be compared. Raises ValueError also where the reference is not finite or its price not positive.
    """
    _check_reference(reference_quality, reference_price_usd)
    gain, price = _checked(quality, price_usd, direction)
    floor = _sign(direction) * reference_quality
    inside = (gain > floor) & (price < reference_price_usd)
    gain, price = gain[inside], price[inside]
    kept = frontier_mask(gain, price, Direction.MAXIMIZE)
    order = np.argsort(price[kept])
    steps, heights = np.log10(price[kept][order]), gain[kept][order] - floor
    widths = np.diff(np.append(steps, np.log10(reference_price_usd)))
    return float(widths @ heights)


def hypervolume_growth(
    quality: ArrayLike,
    price_usd: ArrayLike,
    direction: Direction,
    reference_quality: float,
    reference_price_usd: float,
) -> NDArray[np.float64]:
    """The hypervolume of the first point, of the first two, …, of all n: [n], never falling.

    The same figures as ``hypervolume`` of each beginning, without recomputing each: a point that the frontier so
    far dominates adds nothing and is passed over in bulk; another adds the area between it and that frontier.
    Raises ValueError where ``hypervolume`` does.
    """
    _check_reference(reference_quality, reference_price_usd)
    gain, price = _checked(quality, price_usd, direction)
    front = _Front(_sign(direction) * reference_quality, reference_price_usd)
    inside = (gain > front.gains[0]) & (price < reference_price_usd)
    added = np.zeros(len(gain))
    begin, size = 0, 1024
    while begin < len(gain):
        chunk = slice(begin, begin + size)
        for at in begin + np.flatnonzero(inside[chunk] & ~front.covers(gain[chunk], price[chunk])):
            added[at] = front.add(float(gain[at]), float(price[at]))
        begin, size = begin + size, min(2 * size, 65_536)
    return np.cumsum(added)


class _Front:
    """The frontier so far, by rising price and gain; the first entry stands for having nothing, at no price."""

    def __init__(self, floor: float, reference_price_usd: float) -> None:
        self.gains = [floor]
        self._prices = [0.0]
        self._reference_price_usd = reference_price_usd

    def covers(self, gain: NDArray[np.float64], price: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points add nothing."""
        places = np.searchsorted(np.array(self._prices), price, side="right") - 1
        return np.asarray(np.array(self.gains)[places] >= gain)

    def add(self, gain: float, price: float) -> float:
        """The area that a point adds; what it dominates leaves the frontier."""
        first = bisect_right(self._prices, price)
        if self.gains[first - 1] >= gain:
            return 0.0
        area, last = 0.0, first
        while True:
            until = self._prices[last] if last < len(self._prices) else self._reference_price_usd
            since = price if last == first else self._prices[last - 1]
            area += (np.log10(until) - np.log10(since)) * (gain - self.gains[last - 1])
            if last == len(self._prices) or self.gains[last] > gain:
                break
            last += 1
        if self._prices[first - 1] == price:
            first -= 1
        self._prices[first:last], self.gains[first:last] = [price], [gain]
        return float(area)


def slope_per_point(quality: ArrayLike, price_usd: ArrayLike, direction: Direction) -> NDArray[np.float64]:
    """What one more point of quality (0.01) costs between neighbours of a frontier, in dollars.

    The n points are a frontier by rising price. Entry i is the way from point i - 1 to point i; the
    first is NaN, for nothing is cheaper. Raises ValueError also where the points are not a frontier.
    """
    gain, price = _checked(quality, price_usd, direction)
    if not (np.diff(gain) > 0).all() or not (np.diff(price) > 0).all():
        raise ValueError("slopes need a frontier: both price and quality must improve from each point to the next")
    slopes = np.full(gain.shape, np.nan)
    slopes[1:] = np.diff(price) / (np.diff(gain) / POINT)
    return slopes


def _check_reference(quality: float, price_usd: float) -> None:
    if not np.isfinite(quality) or not np.isfinite(price_usd) or price_usd <= 0:
        raise ValueError(
            f"reference point ({quality}, {price_usd}): quality must be finite, price finite and above zero"
        )


def _sign(direction: Direction) -> float:
    return 1.0 if direction == Direction.MAXIMIZE else -1.0


def _checked(
    quality: ArrayLike, price_usd: ArrayLike, direction: Direction
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quality turned so that more is better, and price; both as [n] arrays."""
    gain = np.asarray(quality, dtype=np.float64) * _sign(direction)
    price = np.asarray(price_usd, dtype=np.float64)
    if gain.ndim != 1 or gain.shape != price.shape:
        raise ValueError(f"quality {gain.shape} and price {price.shape} must be two arrays of one shape [n]")
    if (price <= 0).any():
        raise ValueError(f"every price must be above zero; the lowest given is {np.nanmin(price)}")
    return gain, price
