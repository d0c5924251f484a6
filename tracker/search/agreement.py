"""Whether the trials of earlier studies agree with the study's own: only then they count as evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tracker.search.facts import TrialFacts
from tracker.search.fitted_models import outlook_of
from tracker.search.knowledge import Knowledge
from tracker.search.outlook import Outlook
from tracker.search.policies.first_trials import FIRST_TRIALS
from tracker.search.policies.survey import FIRST

LEAST_OWN = 4
"""How many of the study's own trials, trained as far as in its survey, judge the earlier ones."""
_MOST_OFF, _PRICES_OFF = 1.2, 2.0
"""Forecasts of qualities, and of prices, may be off by so many of their standard deviations (root mean square)."""
_LEAST_EARLIER = 4
"""Fewer earlier trials than this count at once: too few to forecast by, and too few to do harm."""
_AGAIN = 1.06
"""How many times as many trials of its own the study must have before they are judged again."""


class Agreement:
    """Judges the trials of earlier studies in ``knowledge`` by the qualities and prices of the study's own.

    They are compared with forecasts by the earlier trials alone: first when a few of the study's own were trained a
    little, and again as there are more. Where qualities are off by too much, the earlier trials are dropped for good.
    Where only prices are, on another machine for example, what they cost does not count. ``notify`` receives a message
    for people.
    """

    def __init__(self, knowledge: Knowledge, notify: Callable[[str], None] | None = None) -> None:
        self._knowledge = knowledge
        self._notify = notify
        self._outlook: Outlook | None = None
        self._judged_with = 0

    def judge(self) -> None:
        """Judge the earlier trials, if there are any and enough to judge them by is new."""
        known = self._knowledge
        if not (known.unjudged or known.elsewhere):
            return
        reported = [facts for facts in known.unjudged or known.elsewhere if facts.reported]
        own = [facts for facts in known.trials.values() if facts.reported]
        if len(reported) < _LEAST_EARLIER:
            known.count_elsewhere(priced=True)
        elif own and self._due(own):
            self._decide(len(own), *self._off(reported, own))

    def _decide(self, own: int, off: float, prices_off: float) -> None:
        known = self._knowledge
        agree, priced = off <= _MOST_OFF, prices_off <= _PRICES_OFF
        new = bool(known.unjudged)
        known_already = not new and (agree, priced) == (True, known.priced_elsewhere)
        if agree:
            known.count_elsewhere(priced=priced)
        else:
            known.drop_elsewhere(0 if new and not known.counted_before else len(known.trials))
        self._judged_with = own
        if self._notify and not known_already:
            used = "used" if agree and priced else "used, but not what they cost" if agree else "not used"
            self._notify(
                f"what the earlier studies forecast for this study's {own} trials is off by {off:.2g} standard "
                f"deviations, for prices by {prices_off:.2g}: their trials are {used}"
            )

    def _due(self, own: Sequence[TrialFacts]) -> bool:
        known = self._knowledge
        if not known.unjudged:
            return len(own) >= _AGAIN * self._judged_with
        deep = sum(facts.depth >= FIRST.until(facts.last_depth) for facts in own)
        return deep >= LEAST_OWN or len(own) >= FIRST_TRIALS

    def _off(self, reported: Sequence[TrialFacts], own: Sequence[TrialFacts]) -> tuple[float, float]:
        if self._outlook is None:
            self._outlook = outlook_of(self._knowledge, reported, reported)
        quality, price = np.sqrt((self._outlook.misses(own) ** 2).mean(axis=0))
        return float(quality), float(price)
