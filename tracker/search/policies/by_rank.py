"""Steps by observed values alone, without a forecast: promotions by rank, and new trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from tracker.search.candidates import Candidates
from tracker.search.choices import Choices
from tracker.search.features import Array
from tracker.search.knowledge import Knowledge
from tracker.search.policies.policy import Decision, Situation
from tracker.search.ranks import Ranks
from tracker.search.valuation import Valuation

RANK_SHARE = 0.3
"""How often a step is chosen by rank."""
_RANKED = 2  # doublings of the depth between two rankings: the first 1 / 2^2 of a rank are promoted


class ByRank:
    """Promotes a trial that ranks high among its peers, or else starts a new one, in a share of the steps.

    Asynchronous successive halving (Li et al., MLSys 2020) by non-dominated rank (Schmucker et al., 2021): of the
    trials that came as deep, the first quarter is promoted until its training has cost four times as much.
    """

    name = "by_rank"

    def __init__(
        self,
        knowledge: Knowledge,
        valuation: Valuation,
        choices: Choices,
        candidates: Candidates,
    ) -> None:
        self._knowledge = knowledge
        self._valuation = valuation
        self._choices = choices
        self._candidates = candidates
        self._ranks = Ranks(1 / 2**_RANKED)
        self._measured_from: Mapping[str, float] = {}

    def choose(self, now: Situation) -> Decision | None:
        """A promotion, or a new trial; None in the other steps, and where there is neither."""
        if now.random.random() >= RANK_SHARE:
            return None
        return self._promotion(now) or (self._new(now) if now.allowance.new_trials else None)

    def _promotion(self, now: Situation) -> Decision | None:
        for level, trial, peers in self._promotable(now.waiting):
            facts = self._knowledge.trials[trial]
            depth = min(2.0 ** (level + _RANKED), facts.last_depth)
            chosen = self._choices.to_depth(trial, depth, now.allowance, alive=trial == now.live_trial)
            if chosen is not None:
                why = f"it ranks in the first quarter of {peers} trials after epoch {facts.at(level).epoch}"
                return Decision.of(chosen, why, now.allowance)
        return None

    def _promotable(self, waiting: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Each level, from the deepest, each waiting trial that ranks high there, and how many trials came there."""
        ranks, trials = self._current_ranks(), self._knowledge.trials
        deepest = max((facts.level for facts in trials.values()), default=-1)
        for level in range(deepest - deepest % _RANKED, -1, -_RANKED):
            peers = [trial for trial, facts in trials.items() if facts.level >= level]
            first = ranks.first(level, peers, partial(self._gains_at, level))
            for trial in waiting:
                if trial in first and trials[trial].level < level + _RANKED:  # else it was promoted before
                    yield level, trial, len(peers)

    def _current_ranks(self) -> Ranks:
        """The ranks; new ones where they are now measured from another reference point."""
        if self._measured_from != self._valuation.measured_from:
            self._measured_from = self._valuation.measured_from
            self._ranks = Ranks(1 / 2**_RANKED)
        return self._ranks

    def _gains_at(self, level: int, trial: int) -> Array:
        """How much better than the reference point a trial was at ``level``: [D]; infinitely worse beyond a limit."""
        facts = self._knowledge.trials[trial]
        depth = facts.at(level)
        gains: Array = self._valuation.gains([(facts, depth.metrics, depth.costs)])[0]
        return gains if self._knowledge.measures.keeps_limits(depth.metrics) else gains - np.inf

    def _new(self, now: Situation) -> Decision | None:
        unseen = self._candidates.unseen(now.random)
        found = self._choices.first_sound([settings for settings, _ in unseen], now.allowance, now.random)
        if found is None:
            return None
        index, chosen = found
        why = f"no trial ranks high enough to be promoted; a new one, {unseen[index][1]}"
        return Decision.of(chosen, why, now.allowance)
