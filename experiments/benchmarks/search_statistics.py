"""The results of replaying several searches: hypervolumes, the dollars they took, and who is ahead, with intervals.

On one task intervals are over seeds, on several over tasks: there the mean over seeds of each task is one sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binom, t

from experiments.benchmarks.replay import Trace

SHARES_OF_BUDGET = (0.1, 0.25, 0.5, 1.0)
MEASURE = "tpe"
"""The method whose hypervolume after the whole budget the others are to reach."""
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Replayed:
    """One search: what was replayed by which method with which seed, and how its hypervolume grew."""

    task: str
    method: str
    seed: int
    budget_usd: float
    trace: Trace
    trials: int
    steps: int
    decision_ms: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over samples, and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def mean(cls, samples: Sequence[float]) -> Estimate:
        """The mean, by Student's t; of one sample there is no interval."""
        value, count = float(np.mean(samples)), len(samples)
        if count < 2:
            return cls(value, math.nan, math.nan)
        half = float(t.ppf((1 + _CONFIDENCE) / 2, count - 1) * np.std(samples, ddof=1) / math.sqrt(count))
        return cls(value, value - half, value + half)

    @classmethod
    def share(cls, samples: Sequence[float]) -> Estimate:
        """The mean of shares, within 0 and 1: by Student's t on the logit of the mean.

        Its standard error there is by the delta method (Oehlert, The American Statistician 46, 1992). Samples that are
        all 0, or all 1, have no spread.
        """
        mean = cls.mean(samples)
        if len(samples) < 2 or not 0 < mean.value < 1:
            return mean
        half = (mean.high - mean.value) / (mean.value * (1 - mean.value))
        low, high = expit(logit(mean.value) - half), expit(logit(mean.value) + half)
        return cls(mean.value, float(low), float(high))

    @classmethod
    def difference(cls, samples: Sequence[float]) -> Estimate:
        """The mean of differences between shares, by Student's t, cut at -1 and 1: none is beyond these."""
        mean = cls.mean(samples)
        return cls(mean.value, float(np.maximum(mean.low, -1.0)), float(np.minimum(mean.high, 1.0)))

    @classmethod
    def median(cls, samples: Sequence[float]) -> Estimate:
        """The median, which may be infinite, between order statistics (the sign test's interval).

        Fewer than six samples do not reach 95 %: their interval is from the least to the greatest.
        """
        ordered, count = sorted(samples), len(samples)
        rank = max(1, int(binom.ppf((1 - _CONFIDENCE) / 2, count, 0.5)))
        middle = ordered[(count - 1) // 2], ordered[count // 2]
        value = math.inf if math.isinf(middle[1]) else sum(middle) / 2
        return cls(value, ordered[rank - 1], ordered[count - rank])

    def __str__(self) -> str:
        if math.isinf(self.value):
            return "never"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a method on a task.

    ``hypervolume`` is for each of SHARES_OF_BUDGET, the mean over seeds as a share of the table's own. ``to_measure``
    are the dollars until the hypervolume that TPE had in the mean over seeds after its whole budget, as a share of that
    budget: the median over seeds, infinite where it was not reached.
    """

    hypervolume: Mapping[str, Estimate]
    to_measure: Estimate
    trials: float
    steps: float
    decision_ms: float


def by_task(replayed: Sequence[Replayed]) -> dict[str, dict[str, Outcome]]:
    """The outcome for each task and method. There must be replays of MEASURE on each task."""
    found: dict[str, dict[str, Outcome]] = {}
    for task, here in _grouped(replayed, lambda each: each.task).items():
        target = _target(here)
        methods = _grouped(here, lambda each: each.method)
        found[task] = {name: _outcome(of_method, target) for name, of_method in methods.items()}
    return found


def _outcome(replayed: Sequence[Replayed], target: float) -> Outcome:
    return Outcome(
        {_percent(share): Estimate.share([_at(share, each) for each in replayed]) for share in SHARES_OF_BUDGET},
        Estimate.median([each.trace.spend_to_reach(target) / each.budget_usd for each in replayed]),
        float(np.mean([each.trials for each in replayed])),
        float(np.mean([each.steps for each in replayed])),
        float(np.mean([each.decision_ms for each in replayed])),
    )


def over_tasks(replayed: Sequence[Replayed]) -> dict[str, dict[str, Estimate]]:
    """Each method's mean hypervolume for each of SHARES_OF_BUDGET."""
    return {
        method: {
            _percent(share): Estimate.share(_samples({_pair(each): _at(share, each) for each in here}))
            for share in SHARES_OF_BUDGET
        }
        for method, here in _grouped(replayed, lambda each: each.method).items()
    }


def ahead_of(replayed: Sequence[Replayed], method: str) -> dict[str, dict[str, Estimate]]:
    """How far the hypervolume of ``method`` is ahead of each other's, for each of SHARES_OF_BUDGET.

    Differences are between replays of the same task with the same seed.
    """
    methods = {
        name: {_pair(each): each for each in here}
        for name, here in _grouped(replayed, lambda each: each.method).items()
    }
    ours = methods.pop(method)
    return {
        other: {
            _percent(share): Estimate.difference(
                _samples({pair: _at(share, ours[pair]) - _at(share, theirs[pair]) for pair in ours if pair in theirs})
            )
            for share in SHARES_OF_BUDGET
        }
        for other, theirs in methods.items()
    }


def dollars_to_measure(replayed: Sequence[Replayed], method: str) -> list[float]:
    """For each replay of a method, the dollars until the hypervolume of Outcome.to_measure, as a share of its budget.

    Infinite where it was not reached.
    """
    return [
        each.trace.spend_to_reach(target) / each.budget_usd
        for here in _grouped(replayed, lambda each: each.task).values()
        for target in [_target(here)]
        for each in here
        if each.method == method
    ]


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent of them do not exceed; it may be infinite."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def as_details(outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, dict[str, object]]]:
    """Outcomes, or estimates, by two names, ready for JSON."""
    return {first: {second: asdict(each) for second, each in found.items()} for first, found in outcomes.items()}


def names_of_shares() -> list[str]:
    """How each of SHARES_OF_BUDGET is written."""
    return [_percent(share) for share in SHARES_OF_BUDGET]


def _target(replayed: Sequence[Replayed]) -> float:
    """What MEASURE has on a task after its whole budget, in the mean over seeds."""
    return float(np.mean([_at(1.0, each) for each in replayed if each.method == MEASURE]))


def _at(share: float, replayed: Replayed) -> float:
    return replayed.trace.at(share * replayed.budget_usd)


def _pair(replayed: Replayed) -> tuple[str, int]:
    return replayed.task, replayed.seed


def _samples(values: Mapping[tuple[str, int], float]) -> list[float]:
    """Values by task and seed as samples: each task's mean over seeds, or of a single task the value of each seed."""
    tasks: dict[str, list[float]] = {}
    for (task, _), value in values.items():
        tasks.setdefault(task, []).append(value)
    return [float(np.mean(each)) for each in tasks.values()] if len(tasks) > 1 else list(values.values())


def _grouped(replayed: Sequence[Replayed], by: Callable[[Replayed], str]) -> dict[str, list[Replayed]]:
    found: dict[str, list[Replayed]] = {}
    for each in replayed:
        found.setdefault(by(each), []).append(each)
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
