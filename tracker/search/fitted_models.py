"""The models of a search, and when they are fitted again."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.search.facts import TrialFacts
from tracker.search.knowledge import Knowledge
from tracker.search.objectives import LEAST_COST
from tracker.search.outlook import Outlook

_REFIT_GROWTH = 1.06
"""How much more must have been observed before the models are fitted again."""


class FittedModels:
    """An outlook fitted to what is known, again whenever enough more of it is."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._outlook: Outlook | None = None
        self._fitted_with = 0
        self._elsewhere = 0, False
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

        They are also fitted where it is others that count of the earlier trials. There must be a trial with a
        checkpoint.
        """
        known = self._knowledge
        elsewhere = len(known.elsewhere), known.priced_elsewhere
        enough = known.observed >= _REFIT_GROWTH * self._fitted_with or elsewhere != self._elsewhere
        if self._outlook is not None and not enough:
            return False
        self.cheapest_usd = max(LEAST_COST, min(facts.first_usd for facts in known.priced))
        self._outlook = outlook_of(known, known.everyone, known.priced, self._outlook)
        self._fitted_with, self._elsewhere = known.observed, elsewhere
        return True


def outlook_of(
    known: Knowledge, trials: Sequence[TrialFacts], priced: Sequence[TrialFacts], before: Outlook | None = None
) -> Outlook:
    """Models of ``trials``, and of what the ``priced`` ones cost, by what is known of the space; see Outlook."""
    measures = known.measures
    return Outlook(
        trials,
        priced,
        known.cube,
        measures.directions,
        measures.limits.on_metrics,
        measures.limits.memory_bytes,
        known.ends,
        before,
    )
