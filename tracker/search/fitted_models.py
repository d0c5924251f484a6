"""The models of a search, and when they are fitted again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tracker.search.facts import TrialFacts
from tracker.search.knowledge import Knowledge
from tracker.search.objectives import LEAST_COST
from tracker.search.outlook import Outlook

_REFIT_GROWTH = 1.06
"""How much more must have been observed before the models are fitted again."""
_LEAST_OWN = 4
"""How many trials of the study must have a checkpoint before those of earlier studies are judged by them."""
_MOST_OFF = math.sqrt(2.0)
"""Forecasts by trials elsewhere may be off by so many of their standard deviations (root mean square)."""


class FittedModels:
    """An outlook fitted to what is known, again whenever enough more of it is.

    Trials elsewhere that do not agree with the study's own are dropped, and ``notify`` receives a message for people.
    """

    def __init__(self, knowledge: Knowledge, notify: Callable[[str], None] | None = None) -> None:
        self._knowledge = knowledge
        self._notify = notify
        self._elsewhere: Outlook | None = None
        self._outlook: Outlook | None = None
        self._fitted_with = 0
        self.cheapest_usd = LEAST_COST
        """The lowest price of a first checkpoint, when the models were fitted."""

    @property
    def fitted(self) -> bool:
        """Whether there are models."""
        return self._outlook is not None

    @property
    def outlook(self) -> Outlook:
        """The latest models; there must be some."""
        assert self._outlook is not None, "the models were never fitted"
        return self._outlook

    def refit(self) -> bool:
        """Fit the models where there are none, or where enough more was observed; True where they were fitted.

        There must be a trial with a checkpoint.
        """
        known = self._knowledge
        if self._outlook is not None and known.observed < _REFIT_GROWTH * self._fitted_with:
            return False
        self._judge_elsewhere()
        self.cheapest_usd = max(LEAST_COST, min(facts.first_usd for facts in known.reported))
        self._outlook = self._fit(known.everyone, self._outlook)
        self._fitted_with = known.observed
        return True

    def _judge_elsewhere(self) -> None:
        """Drop the trials elsewhere where forecasts by them alone are too far from what the study's own reached."""
        known = self._knowledge
        reported = [facts for facts in known.elsewhere if facts.reported]
        own = [facts for facts in known.trials.values() if facts.reported]
        if not reported or len(own) < _LEAST_OWN:
            return
        if self._elsewhere is None:
            self._elsewhere = self._fit(reported, None)
        off = float(np.sqrt((self._elsewhere.misses(own) ** 2).mean()))
        if not off > _MOST_OFF:
            return
        known.drop_elsewhere(len(known.trials))
        self._elsewhere = None
        if self._notify:
            self._notify(
                f"what the earlier studies say of this study's {len(own)} trials is off by {off:.2g} standard "
                "deviations: their trials are no longer used"
            )

    def _fit(self, trials: Sequence[TrialFacts], before: Outlook | None) -> Outlook:
        known = self._knowledge
        measures = known.measures
        return Outlook(
            trials,
            known.cube,
            measures.directions,
            measures.limits.on_metrics,
            measures.limits.memory_bytes,
            known.ends,
            before,
        )
