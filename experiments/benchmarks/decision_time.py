"""How long a search takes to decide, and how that grows with the number of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.benchmarks.curve_table import CurveTable
from experiments.benchmarks.replay import replay
from experiments.benchmarks.search_methods import METHODS

TRIALS = (250, 500, 1000)
_WINDOW = 0.1


@dataclass(frozen=True, slots=True)
class DecisionTime:
    """Milliseconds per step of a searcher, including the reports in between.

    Of the steps while the last tenth of ``trials`` trials were started.
    """

    trials: int
    steps: int
    mean_ms: float
    p95_ms: float

    def __str__(self) -> str:
        return f"at {self.trials:,} trials: {self.mean_ms:.1f} ms a step, 95 % within {self.p95_ms:.1f} ms"


def decision_time(table: CurveTable, method: str, trials: Sequence[int] = TRIALS, seed: int = 0) -> list[DecisionTime]:
    """Decision times of one search on a table, at each number of trials that it comes to."""
    budget_usd = max(trials) * float(table.full_price_usd.max())
    trajectory = replay(METHODS[method](table, seed, budget_usd), table, budget_usd, max(trials))
    started, milliseconds = np.array(trajectory.started), 1000 * np.array(trajectory.decision_seconds)
    times = []
    for count in trials:
        here = milliseconds[(started >= (1 - _WINDOW) * count) & (started < count)]
        if len(here):
            times.append(DecisionTime(count, len(here), float(here.mean()), float(np.percentile(here, 95))))
    return times


def growth_exponent(times: Sequence[DecisionTime]) -> float:
    """The slope of log milliseconds over log trials, by least squares: 1 is linear growth."""
    trials, milliseconds = ([each.trials for each in times], [each.mean_ms for each in times])
    return float(np.polyfit(np.log(trials), np.log(milliseconds), 1)[0]) if len(times) > 1 else float("nan")
