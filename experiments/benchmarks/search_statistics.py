"""The results of replaying several searches: hypervolumes and the dollars they took, with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
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
    """A figure over seeds, and its 95 % interval."""

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
    """The result of a method, on a task or on average over tasks.

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
    for task in dict.fromkeys(each.task for each in replayed):
        here = [each for each in replayed if each.task == task]
        target = float(np.mean([each.trace.at(each.budget_usd) for each in here if each.method == MEASURE]))
        methods = dict.fromkeys(each.method for each in here)
        found[task] = {name: _outcome([each for each in here if each.method == name], target) for name in methods}
    return found


def _outcome(replayed: Sequence[Replayed], target: float) -> Outcome:
    return Outcome(
        {
            _percent(share): Estimate.mean([each.trace.at(share * each.budget_usd) for each in replayed])
            for share in SHARES_OF_BUDGET
        },
        Estimate.median([each.trace.spend_to_reach(target) / each.budget_usd for each in replayed]),
        float(np.mean([each.trials for each in replayed])),
        float(np.mean([each.steps for each in replayed])),
        float(np.mean([each.decision_ms for each in replayed])),
    )


def over_tasks(replayed: Sequence[Replayed]) -> dict[str, dict[str, Estimate]]:
    """Each method's hypervolume for each of SHARES_OF_BUDGET: averaged over tasks for each seed, then over seeds."""
    found: dict[str, dict[str, Estimate]] = {}
    for method in dict.fromkeys(each.method for each in replayed):
        here = [each for each in replayed if each.method == method]
        seeds = dict.fromkeys(each.seed for each in here)
        found[method] = {
            _percent(share): Estimate.mean(
                [
                    float(np.mean([each.trace.at(share * each.budget_usd) for each in here if each.seed == seed]))
                    for seed in seeds
                ]
            )
            for share in SHARES_OF_BUDGET
        }
    return found


def table_of(outcomes: Mapping[str, Outcome]) -> str:
    """A task's outcomes as a text: a line a method."""
    lines = [f"  {'method':10}" + "".join(f"  {'hv at ' + name:22}" for name in _names()) + "  $ to TPE's / budget"]
    for method, outcome in outcomes.items():
        cells = "".join(f"  {outcome.hypervolume[name]!s:22}" for name in _names())
        lines.append(f"  {method:10}{cells}  {outcome.to_measure}")
    return "\n".join(lines)


def average_table(averages: Mapping[str, Mapping[str, Estimate]]) -> str:
    """The averages over tasks as a text: a line a method."""
    lines = [f"  {'method':10}" + "".join(f"  {'hv at ' + name:22}" for name in _names())]
    for method, estimates in averages.items():
        lines.append(f"  {method:10}" + "".join(f"  {estimates[name]!s:22}" for name in _names()))
    return "\n".join(lines)


def as_details(outcomes: Mapping[str, Mapping[str, Outcome]]) -> dict[str, dict[str, dict[str, object]]]:
    """The outcomes for each task and method, ready for JSON."""
    return {task: {name: asdict(each) for name, each in methods.items()} for task, methods in outcomes.items()}


def _names() -> list[str]:
    return [_percent(share) for share in SHARES_OF_BUDGET]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
