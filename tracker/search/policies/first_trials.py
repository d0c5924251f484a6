"""The first trials, which the search learns from: what the sampler suggests, trained a little."""

from __future__ import annotations

import numpy as np

from tracker.search.knowledge import Knowledge
from tracker.search.policies.policy import Decision, Ending, Situation
from tracker.search.policies.survey import affords, current_round, surveyed
from tracker.search.tried import NONE_LEFT, Tried

FIRST_TRIALS = 8
"""How many trials start before the models are fitted."""
_MORE = 1 + 1e-6  # times what a trial has cost: what it has at its next checkpoint, whatever that costs


class FirstTrials:
    """Starts trials until there are FIRST_TRIALS, of any study, and one of them has a checkpoint.

    Each stays as far as the survey will train it, in the process that it has: a new one later would pay another start.
    """

    name = "first_trials"

    def __init__(self, knowledge: Knowledge, tried: Tried) -> None:
        self._knowledge = knowledge
        self._tried = tried

    def choose(self, now: Situation) -> Decision | Ending | None:
        """The live trial's next checkpoint, or a new trial, while there are too few.

        An ending where none can start, or none fits.
        """
        known, new_trials = self._knowledge, now.allowance.new_trials
        few = len(known.trials) + len(known.elsewhere) < FIRST_TRIALS
        if not (few and new_trials) and any(facts.reported for facts in known.everyone):
            return None
        if stays := self.stays(now):
            return stays
        if not new_trials:
            return Ending(NONE_LEFT if self._tried.all else "no trial has a checkpoint to resume from")
        prices_usd = [facts.first_usd for facts in known.priced]
        if prices_usd and not now.allowance.fits(min(prices_usd)):
            cheapest, left = f"${min(prices_usd):.4g}", f"${now.allowance.left_usd:.4g}"
            return Ending(f"the cheapest step, to a first checkpoint for {cheapest}, does not fit in {left}")
        expected_usd = min(float(np.median(prices_usd)) if prices_usd else 0.0, now.allowance.left_usd)
        why = f"one of the first {FIRST_TRIALS} trials, which the search learns from"
        return Decision(None, None, 0.0, expected_usd, why, {"by": "start"})

    def stays(self, now: Situation) -> Decision | None:
        """The next checkpoint of the trial whose process is alive, where the survey will ask for it and may pay it."""
        known, live = self._knowledge, now.live_trial
        this = current_round(known, now)
        trials = surveyed(known, this)
        if live is None or live not in trials or live not in now.waiting:
            return None
        facts = known.trials[live]
        step_usd = float(facts.further_costs[0])
        wanted = facts.depth < this.until(facts.last_depth)
        if not (wanted and now.allowance.fits(step_usd) and affords(known, now, this, trials, step_usd)):
            return None
        why = "one of the first trials, trained a little further to learn how settings differ"
        return Decision(live, facts.settings, _MORE * facts.price_usd, step_usd, why, {"by": "start"})
