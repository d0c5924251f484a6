"""A few evenly drawn trials that are trained past their first checkpoint, before forecasts choose."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tracker.search.candidates import Candidates
from tracker.search.choices import Choices
from tracker.search.knowledge import Knowledge
from tracker.search.policies.policy import Decision, Situation


@dataclass(frozen=True, slots=True)
class Round:
    """A survey of the study's first ``trials``, those of earlier studies included.

    Each is trained for ``depth_share`` of the doublings of the depth, from the first checkpoint to the end, to
    ``depth`` where the end is unknown.
    """

    trials: int
    depth_share: float
    depth: float

    def until(self, last_depth: float) -> float:
        """How deep a trial is surveyed that ends at ``last_depth``, infinite where that is unknown.

        >>> [FIRST.until(last) for last in (1.0, 3.0, 10.0, 50.0, 1000.0, math.inf)]
        [1.0, 1.0, 2.0, 2.0, 4.0, 2.0]
        >>> [SECOND.until(last) for last in (1.0, 3.0, 10.0, 50.0, 1000.0, math.inf)]
        [1.0, 2.0, 2.0, 4.0, 8.0, 4.0]
        """
        return self.depth if math.isinf(last_depth) else 2.0 ** round(self.depth_share * math.log2(last_depth))


FIRST = Round(12, 1 / 6, 2.0)
SECOND = Round(16, 1 / 3, 4.0)
SECOND_AFTER = 0.15
"""The share of the dollars after which the second round starts; at once where dollars are not limited."""
SURVEY_SHARE = 0.1
"""About the most of the dollars that a survey may cost: what running trials will cost is not counted."""


class Survey:
    """Surveys the space in two rounds: a few trials a little way at first, more of them further later.

    Both are of the study's first trials. Those that FirstTrials did not start are drawn evenly in the first round.

    What forecasts choose lies close together, and most of it ends after its first checkpoint: models of nothing else
    know little about the rest of the space, its prices above all. First checkpoints tell little about settings. Deeper
    ones tell more, but early on their dollars would bring more elsewhere.
    """

    name = "survey"

    def __init__(self, knowledge: Knowledge, choices: Choices, candidates: Candidates) -> None:
        self._knowledge = knowledge
        self._choices = choices
        self._candidates = candidates

    def choose(self, now: Situation) -> Decision | None:
        """The next step of the survey; None when it is done, waits for running trials, or became too expensive."""
        known = self._knowledge
        this = current_round(known, now)
        trials = surveyed(known, this)
        few = len(trials) < this.trials - len(known.elsewhere)
        return self._deeper(now, this, trials) or (self._another(now, this, trials) if few else None)

    def _deeper(self, now: Situation, this: Round, trials: list[int]) -> Decision | None:
        # One whose process is still alive comes first: it needs no new one.
        for trial in sorted(set(trials) & set(now.waiting), key=lambda each: (each != now.live_trial, each)):
            facts = self._knowledge.trials[trial]
            depth = this.until(facts.last_depth)
            if facts.depth >= depth:
                continue
            chosen = self._choices.to_depth(trial, depth, now.allowance, alive=trial == now.live_trial)
            if chosen is not None and affords(self._knowledge, now, this, trials, chosen.step_usd):
                why = f"one of the first {this.trials} trials, trained a little further to learn how settings differ"
                return Decision.of(chosen, why, now.allowance)
        return None

    def _another(self, now: Situation, this: Round, trials: list[int]) -> Decision | None:
        drawn = self._candidates.drawn(now.random) if now.allowance.new_trials else []
        found = self._choices.first_sound(drawn, now.allowance, now.random)
        if found is None or not affords(self._knowledge, now, this, trials, found[1].step_usd):
            return None
        why = f"one of the first {this.trials} trials, drawn evenly from the space"
        return Decision.of(found[1], why, now.allowance)


def current_round(knowledge: Knowledge, now: Situation) -> Round:
    """The round that is due."""
    left_usd, spent_usd = now.allowance.left_usd, knowledge.trials.spent_usd()
    late = math.isinf(left_usd) or spent_usd >= SECOND_AFTER * (spent_usd + left_usd)
    return SECOND if late else FIRST


def surveyed(knowledge: Knowledge, this: Round) -> list[int]:
    """The trials that a round surveys, as far as they have started: fewer where those of earlier studies count.

    Trials that were chosen by evidence that turned out wrong are not spread over the space.
    """
    count = max(this.trials - len(knowledge.elsewhere), 0)
    return list(knowledge.trials)[knowledge.alone_from or 0 :][:count]


def affords(knowledge: Knowledge, now: Situation, this: Round, trials: Iterable[int], step_usd: float) -> bool:
    """Whether a survey of these trials may take a step at this price: it keeps within its share of the dollars."""
    reported = [facts for facts in knowledge.of(trials) if facts.reported]
    survey_usd = sum(facts.price_at(this.until(facts.last_depth)) for facts in reported)
    dollars = knowledge.trials.spent_usd() + now.allowance.left_usd
    return survey_usd + step_usd <= SURVEY_SHARE * dollars
