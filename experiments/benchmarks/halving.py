"""Pareto-rank successive halving with TPE: an obvious combination of published parts.

Asynchronous successive halving (Li et al., MLSys 2020, arXiv:1810.05934) with the rank of non-dominated sorting in
place of a loss, ties by crowding distance (Deb et al. 2002), as in Schmucker et al. 2021, arXiv:2106.12639.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.frontier.pareto import frontier_mask
from tracker.records import Direction, Settings, TrialState
from tracker.search.sampler import Trials
from tracker.search.steps import Step

_FACTOR = 3
MOST_LEARNT = 100


class ParetoHalving:
    """A searcher (search.steps.Searcher) whose trials pause at epochs 1, 3, 9, … and are resumed where they rank high.

    A trial is promoted from a rung when it is in the first third of those that reached it; else a new one starts.
    ``trials`` learns what was reached at each rung, as of trials of their own, MOST_LEARNT times at most: TPE takes
    longer with each. ``quality`` is a name; more of it is better.
    """

    def __init__(self, trials: Trials, quality: str, epochs: int) -> None:
        self.closed = ""
        self._trials = trials
        self._quality = quality
        self._rungs: list[int] = [rung for power in range(64) if (rung := _FACTOR**power) < epochs]
        self._reached: list[dict[int, tuple[float, float]]] = [{} for _ in self._rungs]
        self._gone_on: list[set[int]] = [set() for _ in self._rungs]
        self._settings: dict[int, Settings] = {}
        self._last: dict[int, tuple[int, float, float]] = {}
        self._waiting: set[int] = set()
        self._reported_trials: set[int] = set()
        self._learnt = 0

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """The trial to resume, of the highest rung first, else a new one."""
        del left_usd, live_trial
        for number in reversed(range(len(self._rungs))):
            if (trial := self._to_go_on(number)) is not None:
                self._gone_on[number].add(trial)
                self._waiting.discard(trial)
                return Step(trial, self._settings[trial], self._until_usd(trial, number), why="of the first third")
        if not new_trials:
            self.closed = "no trial ranks high enough to be promoted"
            return None
        suggestion = self._trials.ask()
        self._settings[suggestion.trial] = suggestion.settings
        return Step(suggestion.trial, suggestion.settings, 0.0, why="the sampler suggested it")

    def stay(self, live_trial: int, left_usd: float, rival: Step) -> Step | None:
        """Nothing: one trial is replayed at a time."""

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """A checkpoint: it counts where it is the first at a rung or above it."""
        quality, price_usd = values[self._quality], values["price_usd"]
        self._last[trial] = (epoch, quality, price_usd)
        for rung, reached in zip(self._rungs, self._reached, strict=True):
            if epoch >= rung and trial not in reached:
                reached[trial] = (quality, price_usd)

    def paused(self, trial: int, price_usd: float) -> None:
        """A trial waits at a rung."""
        del price_usd
        self._waiting.add(trial)
        self._learn(trial)

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """Nothing: all trials are replayed on one machine."""

    def prospects(self) -> Mapping[int, float]:
        """Nothing to report: no study waits for it."""
        return {}

    def memory(self) -> dict[str, Any]:
        """Nothing: it is never resumed."""
        return {}

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """A trial reached its last epoch, or failed."""
        del price_usd, reason
        if state is TrialState.COMPLETED:
            self._learn(trial)

    def _learn(self, trial: int) -> None:
        _, quality, price_usd = self._last[trial]
        known = self._learnt >= MOST_LEARNT
        self._learnt += 1
        if trial not in self._reported_trials:
            self._reported_trials.add(trial)
            self._trials.tell(trial, TrialState.FAILED if known else TrialState.COMPLETED, [quality, price_usd])
        elif not known:
            self._trials.add_trials([(self._settings[trial], [quality, price_usd])])

    def _to_go_on(self, number: int) -> int | None:
        reached = self._reached[number]
        if len(reached) < _FACTOR:
            return None
        trials = list(reached)
        quality, price_usd = np.array(list(reached.values())).T
        first = (trials[place] for place in pareto_order(quality, price_usd, len(trials) // _FACTOR))
        return next((each for each in first if each in self._waiting and each not in self._gone_on[number]), None)

    def _until_usd(self, trial: int, number: int) -> float | None:
        """What the trial will have cost at the next rung, at the cost of an epoch until now; None at the last."""
        if number + 1 == len(self._rungs):
            return None
        epoch, _, price_usd = self._last[trial]
        return price_usd * (self._rungs[number + 1] - 0.5) / epoch


def pareto_order(quality: NDArray[np.float64], price_usd: NDArray[np.float64], first: int) -> Sequence[int]:
    """The ``first`` best of n points, by index: by non-dominated rank, then the least crowded first."""
    left, order = np.arange(len(quality)), list[int]()
    while len(left) and len(order) < first:
        front = frontier_mask(quality[left], price_usd[left], Direction.MAXIMIZE)
        members = left[front]
        distance = _crowding(quality[members], np.log(price_usd[members]))
        order += members[np.argsort(-distance, kind="stable")].tolist()
        left = left[~front]
    return order[:first]


def _crowding(*objectives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each point's distance between its neighbours, summed over objectives; infinite at the ends."""
    total = np.zeros(len(objectives[0]))
    for values in objectives:
        order = np.argsort(values)
        distance = np.full(len(values), np.inf)
        width = values[order[-1]] - values[order[0]]
        if len(values) > 2 and width > 0:
            distance[order[1:-1]] = (values[order[2:]] - values[order[:-2]]) / width
        total += distance
    return total
