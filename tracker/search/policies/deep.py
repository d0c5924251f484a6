"""A share of the dollars for depth, whatever is forecast."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracker.search.choices import Choices
from tracker.search.knowledge import Knowledge
from tracker.search.outlook import DOUBLINGS
from tracker.search.policies.policy import Decision, Situation

DEEP_SHARE = 0.15
"""The share of the dollars that trains uniformly drawn settings to their end, whatever their forecast."""


class Deep:
    """Trains the paused trial nearest to uniformly drawn settings to its end, while such trials cost less than a share.

    Learning curves cross: a slow, expensive start may be best in the end, and only deep trials show it.
    """

    name = "deep"

    def __init__(self, knowledge: Knowledge, choices: Choices, seed: int) -> None:
        self._knowledge = knowledge
        self._choices = choices
        self._seed = seed
        self._trials: set[int] = set()

    def memory(self) -> list[int]:
        """The trials that were trained to their end so far."""
        return sorted(self._trials)

    def recall(self, trials: Iterable[int]) -> None:
        """Restore what ``memory`` returned."""
        self._trials = set(trials)

    def choose(self, now: Situation) -> Decision | None:
        """The trial that is due; None before there are enough dollars for it."""
        if not now.waiting:
            return None
        trial = self._nearest(now)
        facts = self._knowledge.trials[trial]
        last_depth = min(facts.last_depth, facts.depth * 2.0**DOUBLINGS)
        alive = trial == now.live_trial
        more_usd = self._choices.usd_to_depth(trial, last_depth, alive=alive)
        spent_usd, deep_usd = self._knowledge.trials.spent_usd(), self._knowledge.trials.spent_usd(self._trials)
        due = deep_usd + facts.price_usd + more_usd <= DEEP_SHARE * (spent_usd + more_usd)
        chosen = self._choices.to_depth(trial, last_depth, now.allowance, alive=alive) if due else None
        if chosen is None:
            return None
        self._trials.add(trial)
        why = f"{DEEP_SHARE:.0%} of the dollars train uniformly drawn settings to their end; this trial is nearest"
        return Decision.of(chosen, why, now.allowance)

    def _nearest(self, now: Situation) -> int:
        # Drawn once and kept until it is due: redrawing would favour cheap trials, which are due sooner.
        cube = self._knowledge.cube
        drawn = cube.draw(np.random.default_rng([self._seed, len(self._trials)]))
        points = np.stack([facts.point for facts in self._knowledge.of(now.waiting)])
        return now.waiting[int(((points - cube.points([drawn])) ** 2).sum(axis=1).argmin())]
