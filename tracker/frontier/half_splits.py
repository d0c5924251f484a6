"""How much a study's hypervolume at given dollars would scatter, were the study run again: from one study alone.

A plain bootstrap is no answer: a hypervolume is made of the best points, a resample lacks each of them with a
probability of 0.37, and the bootstrap of an extreme value is inconsistent (Bickel and Freedman 1981, Annals of
Statistics 9). Two halves of a study are: parted by chance, its trials make two studies of half the money, and where
trials are exchangeable these are independent of each other. Half of their squared difference is then an unbiased
estimate of the variance of such a study's hypervolume (the random groups of Mahalanobis 1946; McCarthy 1969, Review of
the International Statistical Institute 37, for half samples). It is averaged over many ways to part.

At what both halves have the money for, they are compared there: nothing is extrapolated. Beyond it they are compared at
the most that both have, which errs on the wide side: more money scatters less, for all searches come nearer to the best
there is. Each half keeps the order that its trials were trained in.

What this cannot see: a search learns from all its trials, so that its halves are not independent. How often the
intervals hold the truth all the same is measured by experiments.benchmarks.coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.frontier.pareto import hypervolume_growth
from tracker.records import Direction

Floats = NDArray[np.float64]

DEGREES = 2
"""Of freedom that this estimate of a deviation is taken to have: few trials decide it, however many there are."""
FEWEST_TRIALS = 6
"""With fewer, a half is one or two trials: nothing to judge by."""
SPLITS = 200
_LEAST_SPLITS = 20
_CELLS = 60_000
"""Of splits times points that matter: a study with many of them needs fewer splits."""
_MANY, _LAYERS = 2_000, 10
"""Of more points than this, those are left out that every one of so many layers of earlier points dominates: a half
has hardly any of those on its frontier (2^-10)."""


@dataclass(frozen=True, slots=True)
class Payments:
    """What a study paid, in the order of time; every array is [n].

    ``trial`` is which trial a payment is of. ``quality`` and ``price_usd`` are the point that it led to, NaN where it
    led to none; ``paid_usd`` are at least 0.
    """

    trial: NDArray[np.int64]
    paid_usd: Floats
    quality: Floats
    price_usd: Floats


@dataclass(frozen=True, slots=True)
class Corner:
    """Where a hypervolume is measured from: a quality and a price in USD, and which way quality gets better."""

    quality: float
    price_usd: float
    direction: Direction


def hypervolume_at(payments: Payments, spend_usd: Floats, corner: Corner) -> Floats:
    """The hypervolume of what was reached when so much was spent, for each of ``spend_usd`` [k]: [k]; 0 before all."""
    spent = np.cumsum(payments.paid_usd)
    return _at(spend_usd, spent, _growth(payments.quality, payments.price_usd, corner))


def scatter_between_halves(payments: Payments, spend_usd: Floats, corner: Corner, seed: int = 0) -> Floats:
    """The standard deviation [k] of the hypervolume at ``spend_usd`` [k]; NaN of fewer than FEWEST_TRIALS trials.

    ``seed`` is that of the splits.
    """
    trials, places = np.unique(payments.trial, return_inverse=True)
    if len(trials) < FEWEST_TRIALS:
        return np.full(len(spend_usd), np.nan)
    generator = np.random.default_rng(seed)
    contenders = _contenders(payments, corner)
    splits = max(_LEAST_SPLITS, min(SPLITS, _CELLS // (1 + len(contenders))))
    squares = np.zeros(len(spend_usd))
    for _ in range(splits):
        first = np.zeros(len(trials), dtype=np.bool_)
        first[generator.permutation(len(trials))[: len(trials) // 2]] = True
        chosen = first[places]
        halves = chosen, ~chosen
        spent = [np.cumsum(np.where(half, payments.paid_usd, 0.0)) for half in halves]
        comparable = np.minimum(spend_usd, min(each[-1] for each in spent))
        volumes = []
        for half, paid in zip(halves, spent, strict=True):
            at = contenders[half[contenders]]
            growth = _growth(payments.quality[at], payments.price_usd[at], corner)
            volumes.append(_at(comparable, paid[at], growth))
        squares += (volumes[0] - volumes[1]) ** 2
    return np.sqrt(squares / (2 * splits))


def _growth(quality: Floats, price_usd: Floats, corner: Corner) -> Floats:
    return hypervolume_growth(quality, price_usd, corner.direction, corner.quality, corner.price_usd)


def _at(spend_usd: Floats, spent: Floats, growth: Floats) -> Floats:
    """What had grown at ``spend_usd`` [k], ``growth`` [n] being reached when ``spent`` [n] was spent."""
    # Sums of the same payments differ in their last digits by the order that they are added in.
    return np.append(0.0, growth)[np.searchsorted(spent, spend_usd * (1 + 1e-9), side="right")]


def _contenders(payments: Payments, corner: Corner) -> NDArray[np.intp]:
    """The payments whose points may be on the frontier of a half."""
    left = np.flatnonzero(np.isfinite(payments.quality) & np.isfinite(payments.price_usd))
    if len(left) <= _MANY:
        return left
    layers = []
    for _ in range(_LAYERS):
        growth = _growth(payments.quality[left], payments.price_usd[left], corner)
        added = np.diff(growth, prepend=0.0) > 0
        layers.append(left[added])
        left = left[~added]
    return np.sort(np.concatenate(layers))
