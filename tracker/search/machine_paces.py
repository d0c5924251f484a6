"""How long an epoch takes on one kind of machine beside another: measured there, or expected with an interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from tracker.frontier.student_t import CONFIDENCE, t_quantile

_ONE_ALONE = math.log(2.0)
"""Half of the interval where one trial tells nothing of how trials differ: a factor of two to either side."""


@dataclass(frozen=True, slots=True)
class PaceForecast:
    """How many times as long an epoch takes elsewhere, ``low`` to ``high`` with student_t.CONFIDENCE.

    ``why`` says what it rests on.
    """

    ratio: float
    low: float
    high: float
    why: str


class MachinePaces:
    """The seconds that an epoch of each trial took on each kind of machine."""

    def __init__(self) -> None:
        self._seconds: dict[Hashable, dict[int, float]] = {}

    def enter(self, trial: int, kind: Hashable, seconds_an_epoch: float) -> None:
        """Enter what was measured last of a trial on a kind of machine; what is not above 0 tells nothing."""
        if seconds_an_epoch > 0 and math.isfinite(seconds_an_epoch):
            self._seconds.setdefault(kind, {})[trial] = seconds_an_epoch

    def forecast(self, trial: int, old: Hashable, new: Hashable) -> PaceForecast | None:
        """What to expect of a trial that moves; None where nothing was measured on one of the two.

        Its own epochs on both kinds, else the ratio of trials that were on both, else the trials of each kind: the
        interval is that of one more trial, by Student's t over the logarithms.
        """
        before, after = self._seconds.get(old, {}), self._seconds.get(new, {})
        if trial in before and trial in after:
            ratio = after[trial] / before[trial]
            return PaceForecast(ratio, ratio, ratio, "its own epochs on both")
        both = [math.log(after[each] / before[each]) for each in before if each in after]
        if both:
            half = _half_width(both) * math.sqrt(1 + 1 / len(both))
            return _around(statistics.fmean(both), half, f"{_trials(len(both))} on both")
        if not before or not after:
            return None
        logs = [_logs(before), _logs(after)]
        middle = statistics.fmean(logs[1]) - statistics.fmean(logs[0])
        half = math.hypot(*(_half_width(each) * math.sqrt(1 + 1 / len(each)) for each in logs))
        return _around(middle, half, f"{_trials(len(before))} here and {len(after)} there, none on both")


def _logs(seconds: Mapping[int, float]) -> Sequence[float]:
    return [math.log(each) for each in seconds.values()]


def _half_width(logs: Sequence[float]) -> float:
    """Half of the interval in which one value lies."""
    if len(logs) < 2:
        return _ONE_ALONE
    return t_quantile(len(logs) - 1, CONFIDENCE) * statistics.stdev(logs)


def _around(middle: float, half: float, why: str) -> PaceForecast:
    half = min(half, 20.0)  # beyond it nobody tells one from the other
    return PaceForecast(math.exp(middle), math.exp(middle - half), math.exp(middle + half), why)


def _trials(count: int) -> str:
    return f"{count} trial{'s' * (count != 1)}"
