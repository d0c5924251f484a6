"""The checkpoints that a run of the past reached, from what it logged.

Each step at which the quality has a value is a checkpoint, at the time of that value, as for a command that logs to
MLflow while it is watched (training.mlflow_pickup): the last of several values of a step counts; a value at a step that
does not rise is none; values that all have step 0 are counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.imports.clock import Clock, LeftOut, clock_put_right, run_clock, usual_seconds

SYSTEM = "system/"
"""What the names of MLflow's own measurements of the machine begin with."""

Floats = NDArray[np.float64]


class Logged(NamedTuple):
    """The values of one metric of a run by time, arrays of shape [values]; NaN is a timestamp that is not known."""

    steps: NDArray[np.int64]
    timestamps: Floats
    values: Floats

    def at(self, rows: NDArray[np.intp] | slice) -> Logged:
        """Those in these rows."""
        return Logged(self.steps[rows], self.timestamps[rows], self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """What a run reached, arrays of shape [checkpoints]: the epoch, when, after how many seconds, and its metrics.

    ``wall_seconds`` is how long the run worked in all; ``last`` are the last values of all metrics; ``falling`` counts
    the values of the quality at a step that did not rise; ``set_back_seconds`` is by how much its clock was set back;
    ``without_timestamps`` says that the quality had none.
    """

    started_at: float
    wall_seconds: float
    epochs: NDArray[np.int64]
    timestamps: Floats
    elapsed_seconds: Floats
    metrics: Mapping[str, Floats]
    last: Mapping[str, float]
    left_out: tuple[LeftOut, ...] = ()
    falling: int = 0
    set_back_seconds: float = 0.0
    without_timestamps: bool = False


def reached(
    logged: Mapping[str, Logged], quality: str, started_at: float, ended_at: float, longest_pause_seconds: float | None
) -> Reached:
    """The checkpoints of one run, by what it logged of each metric.

    Where the quality has values without any timestamp there is one checkpoint, at the run's end.
    """
    own = {name: metric for name, metric in logged.items() if not name.startswith(SYSTEM)}
    last = {name: float(metric.values[-1]) for name, metric in own.items()}
    of_quality = own.get(quality, _NOTHING)
    of_quality = of_quality.at(np.flatnonzero(~np.isnan(of_quality.values)))
    timed = of_quality.at(np.flatnonzero(~np.isnan(of_quality.timestamps)))
    times = np.concatenate([metric.timestamps for metric in logged.values()]) if logged else np.empty(0)
    times = times[~np.isnan(times)]
    others_at = [metric.timestamps[~np.isnan(metric.timestamps)] for name, metric in own.items() if name != quality]
    if not len(timed.steps):
        usual = usual_seconds(times[:0], others_at)
        return _at_the_end(run_clock(started_at, ended_at, times, usual, longest_pause_seconds), of_quality, last)
    chosen, counted, falling = _checkpoints(timed)
    put_right, set_back_seconds = clock_put_right(chosen.timestamps)
    if set_back_seconds:
        times, others_at = put_right, []  # of the others it is not known when the clock was set back
        ended_at += set_back_seconds
    usual = usual_seconds(put_right, others_at)
    clock = run_clock(started_at, ended_at, times, usual, longest_pause_seconds)
    beside = _counted_beside if counted else _same_step
    others = {name: beside(chosen, metric) for name, metric in own.items() if name != quality}
    return Reached(
        started_at=float(clock.moments[0]),
        wall_seconds=float(clock.worked_seconds[-1]),
        epochs=np.arange(1, len(chosen.steps) + 1) if counted else chosen.steps,
        timestamps=put_right,
        elapsed_seconds=clock.at(put_right),
        metrics={quality: chosen.values, **others},
        last=last,
        left_out=clock.left_out,
        falling=falling,
        set_back_seconds=set_back_seconds,
    )


def by_own_seconds(found: Reached, metric: str) -> Reached:
    """The same run, which took the seconds that it logged itself as ``metric``, whatever its timestamps say.

    A checkpoint without a value has that of the one before, the first one that of the next. Unchanged where the run has
    not logged it.
    """
    total = found.last.get(metric, math.nan)
    if not math.isfinite(total):
        return found
    elapsed = pd.Series(found.metrics.get(metric, np.full(len(found.epochs), total)), dtype=np.float64)
    seconds = np.maximum.accumulate(elapsed.ffill().bfill().fillna(total).to_numpy())
    wall_seconds = max(total, float(seconds[-1])) if len(seconds) else total
    return replace(found, elapsed_seconds=seconds, wall_seconds=wall_seconds, left_out=(), set_back_seconds=0.0)


def _checkpoints(quality: Logged) -> tuple[Logged, bool, int]:
    """The values that are checkpoints; whether they are counted because all have step 0; and how many are none."""
    if len(quality.steps) > 1 and not (quality.steps > 0).any():
        return quality, True, 0
    if (np.diff(quality.steps) < 0).any() and len(np.unique(quality.steps)) == len(quality.steps):
        # Each step was reached once: what is out of order is the clock, not the training.
        return quality.at(np.argsort(quality.steps)), False, 0
    rises = np.flatnonzero(quality.steps >= np.maximum.accumulate(quality.steps))
    rising = quality.at(rises)
    is_last_of_step = np.append(rising.steps[1:] != rising.steps[:-1], True)
    return rising.at(np.flatnonzero(is_last_of_step)), False, len(quality.steps) - len(rises)


def _same_step(checkpoints: Logged, other: Logged) -> Floats:
    """Another metric at each checkpoint: its last value of the same step, NaN where there is none."""
    order = np.argsort(other.steps, kind="stable")
    places = np.searchsorted(other.steps[order], checkpoints.steps, side="right") - 1
    at = order[np.maximum(places, 0)]
    return np.where((places >= 0) & (other.steps[at] == checkpoints.steps), other.values[at], np.nan)


def _counted_beside(checkpoints: Logged, other: Logged) -> Floats:
    """Another metric at each counted value: as many, or else its latest by then."""
    if len(other.values) == len(checkpoints.values):
        return other.values
    places = np.searchsorted(other.timestamps, checkpoints.timestamps, side="right") - 1
    return np.where(places >= 0, other.values[np.maximum(places, 0)], np.nan)


def _at_the_end(clock: Clock, quality: Logged, last: Mapping[str, float]) -> Reached:
    """The one checkpoint of a run whose quality has no timestamps; none where it has no values either."""
    end = slice(-1, None) if len(quality.steps) else slice(0, 0)
    return Reached(
        started_at=float(clock.moments[0]),
        wall_seconds=float(clock.worked_seconds[-1]),
        epochs=np.maximum(quality.steps[end], 1),
        timestamps=clock.moments[end],
        elapsed_seconds=clock.worked_seconds[end],
        metrics={name: np.full(len(quality.steps[end]), value) for name, value in last.items()},
        last=last,
        left_out=clock.left_out,
        without_timestamps=bool(len(quality.steps)),
    )


_NOTHING = Logged(np.empty(0, np.int64), np.empty(0), np.empty(0))
