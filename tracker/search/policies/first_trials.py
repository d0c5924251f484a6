"""The first trials, which the search learns from: what the sampler suggests, to its first checkpoint."""

from __future__ import annotations

import numpy as np

from tracker.search.knowledge import Knowledge
from tracker.search.policies.policy import Decision, Ending, Situation
from tracker.search.tried import NONE_LEFT, Tried

FIRST_TRIALS = 8
"""How many trials start before the models are fitted."""


class FirstTrials:
    """Starts trials until there are FIRST_TRIALS, of any study, and one of them has a checkpoint."""

    name = "first_trials"

    def __init__(self, knowledge: Knowledge, tried: Tried) -> None:
        self._knowledge = knowledge
        self._tried = tried

    def choose(self, now: Situation) -> Decision | Ending | None:
        """A new trial, while there are too few; an ending where none can start, or none fits."""
        known, new_trials = self._knowledge, now.allowance.new_trials
        few = len(known.trials) + len(known.elsewhere) < FIRST_TRIALS
        if not (few and new_trials) and any(facts.reported for facts in known.everyone):
            return None
        if not new_trials:
            return Ending(NONE_LEFT if self._tried.all else "no trial has a checkpoint to resume from")
        prices_usd = [facts.first_usd for facts in known.reported]
        if prices_usd and not now.allowance.fits(min(prices_usd)):
            cheapest, left = f"${min(prices_usd):.4g}", f"${now.allowance.left_usd:.4g}"
            return Ending(f"the cheapest step, to a first checkpoint for {cheapest}, does not fit in {left}")
        expected_usd = min(float(np.median(prices_usd)) if prices_usd else 0.0, now.allowance.left_usd)
        why = f"one of the first {FIRST_TRIALS} trials, which the search learns from"
        return Decision(None, None, 0.0, expected_usd, why, {"by": "start"})
