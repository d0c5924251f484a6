"""A few evenly drawn trials that are trained past their first checkpoint, before forecasts choose."""

from __future__ import annotations

import math

from tracker.search.candidates import Candidates
from tracker.search.choices import Choices
from tracker.search.knowledge import Knowledge
from tracker.search.policies.policy import Decision, Situation

SURVEYED = 12
"""How many trials are surveyed, those of earlier studies included: the first ones of the study."""
SURVEY_SHARE = 0.1
"""About the most of the dollars that they may cost: what those that still run will cost is not counted."""
_DEPTH_SHARE = 1 / 6  # of the doublings of the depth, from the first checkpoint to the end
_DEPTH = 2.0  # where the end is unknown


class Survey:
    """Starts evenly drawn trials until SURVEYED have started, and trains each of them a sixth of the way in doublings.

    The study's first trials (first_trials.FirstTrials) are among them.

    What forecasts choose lies close together, and most of it ends after its first checkpoint: models of nothing else
    know little about the rest of the space, its prices above all. First checkpoints tell little about settings.
    """

    name = "survey"

    def __init__(self, knowledge: Knowledge, choices: Choices, candidates: Candidates) -> None:
        self._knowledge = knowledge
        self._choices = choices
        self._candidates = candidates

    def choose(self, now: Situation) -> Decision | None:
        """The next step of the survey; None when it is done, waits for running trials, or became too expensive."""
        count = SURVEYED - len(self._knowledge.elsewhere)
        surveyed = list(self._knowledge.trials)[: max(count, 0)]
        return self._deeper(now, surveyed) or (self._another(now, surveyed) if len(surveyed) < count else None)

    def _deeper(self, now: Situation, surveyed: list[int]) -> Decision | None:
        # One whose process is still alive comes first: it needs no new one.
        for trial in sorted(set(surveyed) & set(now.waiting), key=lambda each: (each != now.live_trial, each)):
            facts = self._knowledge.trials[trial]
            depth = surveyed_depth(facts.last_depth)
            if facts.depth >= depth:
                continue
            chosen = self._choices.to_depth(trial, depth, now.allowance, alive=trial == now.live_trial)
            if chosen is not None and self._affords(now, surveyed, chosen.step_usd):
                why = f"one of the {SURVEYED} trials that are trained a little further, to learn how settings differ"
                return Decision.of(chosen, why, now.allowance)
        return None

    def _another(self, now: Situation, surveyed: list[int]) -> Decision | None:
        drawn = self._candidates.drawn(now.random) if now.allowance.new_trials else []
        found = self._choices.first_sound(drawn, now.allowance, now.random)
        if found is None or not self._affords(now, surveyed, found[1].step_usd):
            return None
        why = f"one of the first {SURVEYED} trials, drawn evenly from the space"
        return Decision.of(found[1], why, now.allowance)

    def _affords(self, now: Situation, surveyed: list[int], step_usd: float) -> bool:
        trials, left_usd = self._knowledge.trials, now.allowance.left_usd
        return trials.spent_usd(surveyed) + step_usd <= SURVEY_SHARE * (trials.spent_usd() + left_usd)


def surveyed_depth(last_depth: float) -> float:
    """How deep a trial is surveyed that ends at ``last_depth``, infinite where that is unknown.

    >>> [surveyed_depth(last) for last in (1.0, 3.0, 10.0, 50.0, 1000.0, math.inf)]
    [1.0, 1.0, 2.0, 2.0, 4.0, 2.0]
    """
    return _DEPTH if math.isinf(last_depth) else 2.0 ** round(_DEPTH_SHARE * math.log2(last_depth))
