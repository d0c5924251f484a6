"""The last resort: to finish what is paused at its presumed last step, or to say why there is no step."""

from __future__ import annotations

import math

from tracker.search.fitted_models import FittedModels
from tracker.search.knowledge import Knowledge
from tracker.search.new_trials import NewTrials
from tracker.search.policies.policy import Decision, Ending, Situation
from tracker.search.tried import NONE_LEFT, Tried


class ToTheEnd:
    """Finishes the first trial that is paused where others ended and whose start fits; else it ends the search."""

    name = "to_the_end"

    def __init__(self, knowledge: Knowledge, fitted: FittedModels, new: NewTrials, tried: Tried) -> None:
        self._knowledge = knowledge
        self._fitted = fitted
        self._new = new
        self._tried = tried

    def choose(self, now: Situation) -> Decision | Ending:
        """A decision for such a trial, or why nothing is left to do."""
        for trial in self._knowledge.at_their_end:
            facts = self._knowledge.trials[trial]
            if now.allowance.fits(facts.start_usd):
                why = f"nothing else is left to do, and it is paused after epoch {facts.epoch}, where others ended"
                numbers = {"left_usd": now.allowance.left_usd}
                return Decision(trial, facts.settings, None, facts.start_usd, why, numbers, past_its_end=True)
        return Ending(self._why_none(now))

    def _why_none(self, now: Situation) -> str:
        left_usd, overrun, cheapest_usd = now.allowance.left_usd, now.allowance.overrun, self._cheapest_usd(now)
        if cheapest_usd is not None and math.isfinite(left_usd):
            likely = f", likely up to ${overrun * cheapest_usd:.4g}" if overrun > 1 else ""
            cheapest = f"the cheapest is expected to cost ${cheapest_usd:.4g}{likely}"
            return f"no step fits in the ${left_usd:.4g} left: {cheapest}"
        return NONE_LEFT if self._tried.all else "every trial has ended"

    def _cheapest_usd(self, now: Situation) -> float | None:
        """What the cheapest step is expected to cost; None where there is none at any price."""
        costs_usd = []
        if now.waiting:
            forecast = self._fitted.outlook.of_trials(self._knowledge.of(now.waiting))
            costs_usd.append(float(forecast.cost_usd[:, 0].min()))
        if now.allowance.new_trials and self._new.cheapest_usd is not None:
            costs_usd.append(self._new.cheapest_usd)
        return min(costs_usd, default=None)
