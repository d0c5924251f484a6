"""How long a run of the past worked, by when it logged: pauses and clocks that jump are left out.

The rule: a run worked from its start to its end, but for pauses. A pause is a time without any logged value that is
longer than an hour and longer than five times the median time between two values of its quality, or where that has
fewer than three, of the metric that was logged most often (or longer than what the user says). Of a pause, that median
time counts. Where no metric has three values, nothing says how often the run should have logged: only the time after
the last value can be a pause. The time until the first value always counts: trainings load their data and compile then.
A run without an end ended with its last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST_PAUSE_SECONDS = 3600.0
TIMES_THE_MEDIAN = 5.0
_CLOCK_TOLERANCE_SECONDS = 1.0
_FEWEST_VALUES = 3
_PAUSED, _AFTER = "without a value", "after its last value"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A time that does not count: from when to when (seconds since 1970), how much of it, and why in words."""

    since: float
    until: float
    seconds: float
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """When a run worked: at each of ``moments`` (seconds since 1970, rising), for how long until then."""

    moments: Floats
    worked_seconds: Floats
    left_out: tuple[LeftOut, ...] = ()

    def at(self, moments: Floats) -> Floats:
        """For how many seconds the run had worked at some moments."""
        return np.asarray(np.interp(moments, self.moments, self.worked_seconds), dtype=np.float64)


def usual_seconds(quality_at: Floats, others_at: Sequence[Floats]) -> float | None:
    """The median time between two values of a run's quality, or of the metric that was logged most often.

    None where none of them has three values.
    """
    times = quality_at
    if len(times) < _FEWEST_VALUES:
        times = max((*others_at, times), key=len)
    return float(np.median(np.diff(np.sort(times)))) if len(times) >= _FEWEST_VALUES else None


def run_clock(
    started_at: float, ended_at: float, logged_at: Floats, usual: float | None, longest_pause_seconds: float | None
) -> Clock:
    """The clock of a run that logged at ``logged_at`` (in any order), every ``usual`` seconds (usual_seconds).

    NaN is a start or an end that is not known: the first and the last value stand for it.
    """
    values = np.unique(logged_at)
    known = values if len(values) else np.array([started_at if started_at == started_at else 0.0])
    start = min(started_at, known[0]) if started_at == started_at else known[0]
    end = max(ended_at, known[-1]) if ended_at == ended_at else known[-1]
    moments = np.unique(np.concatenate([[start], values, [end]]))
    counted = np.diff(moments)
    is_after = moments[:-1] >= known[-1]
    if longest_pause_seconds is not None:
        paused = counted > longest_pause_seconds
    else:
        paused = counted > max(SHORTEST_PAUSE_SECONDS, TIMES_THE_MEDIAN * (usual or 0.0))
        paused &= is_after | (usual is not None)
    paused &= (moments[:-1] >= known[0]) & bool(len(values))
    of_pause = np.minimum(usual or 0.0, counted)
    left_out = tuple(
        LeftOut(float(moments[at]), float(moments[at + 1]), float(counted[at] - of_pause[at]), why)
        for at, why in zip(np.flatnonzero(paused), np.where(is_after[paused], _AFTER, _PAUSED).tolist(), strict=True)
    )
    counted[paused] = of_pause[paused]
    return Clock(moments, np.concatenate([[0.0], np.cumsum(counted)]), left_out)


def clock_put_right(logged_at: Sequence[float] | Floats) -> tuple[Floats, float]:
    """Times of values in the order of their steps, as if the clock had never been set back; and by how much it was.

    Where it was set back by more than a second, what follows is moved by so much, and the median time between two
    values lies in between.
    """
    times = np.array(logged_at, dtype=np.float64)
    steps = np.diff(times)
    back = steps < -_CLOCK_TOLERANCE_SECONDS
    if not back.any():
        return np.maximum.accumulate(times), 0.0
    forward = steps[steps >= 0]
    usual = float(np.median(forward)) if len(forward) else 0.0
    moved = np.concatenate([[0.0], np.cumsum(np.where(back, usual - steps, 0.0))])
    return np.maximum.accumulate(times + moved), float(-steps[back].sum())
