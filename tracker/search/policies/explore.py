"""Trials away from what was found, while that moves the frontier no further."""

from __future__ import annotations

from tracker.search.candidates import Candidates
from tracker.search.choices import Choices
from tracker.search.policies.policy import Decision, Situation
from tracker.search.policies.standstill import Standstill

MOVES = 0.001
"""The share of itself by which the hypervolume must change to count as moving."""
EXPLORE_SHARE = 0.5
"""How often a step explores while the frontier stands still."""


class Explore:
    """Starts trials that are drawn evenly from the space, in a share of the steps, while the frontier stands still.

    Forecasts that moved nothing for long are wrong about where to look: what they choose is cheap and lies together.
    """

    name = "explore"

    def __init__(self, standstill: Standstill, choices: Choices, candidates: Candidates) -> None:
        self._standstill = standstill
        self._choices = choices
        self._candidates = candidates

    def choose(self, now: Situation) -> Decision | None:
        """A new trial; None in the other steps, while the frontier moves, and where none of those drawn may start.

        That is so where all were tried, and where the first that is likely to be sound does not fit.
        """
        still_usd = self._standstill.usd if now.allowance.new_trials else None
        if still_usd is None or now.random.random() >= EXPLORE_SHARE:
            return None
        found = self._choices.first_sound(self._candidates.drawn(now.random), now.allowance, now.random)
        why = f"the frontier has not moved for ${still_usd:.4g}: a trial drawn evenly from the space"
        return None if found is None else Decision.of(found[1], why, now.allowance)
