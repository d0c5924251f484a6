"""When to stop: where the rest of the dollars is not expected to move the frontier, it is not spent."""

from __future__ import annotations

import math

from tracker.search.policies.by_forecast import ByForecast
from tracker.search.policies.policy import Ending, Situation
from tracker.search.policies.standstill import Standstill


class Enough:
    """Ends the search where the hypervolume stands still and is expected to.

    Both must hold: the last quarter of the spend did not change it by more than ``least_growth`` of itself, and at the
    best acquisition all that is left would not either. It never ends a search where ``least_growth`` is 0.
    """

    name = "enough"

    def __init__(self, standstill: Standstill, by_forecast: ByForecast, least_growth: float) -> None:
        self._standstill = standstill
        self._by_forecast = by_forecast
        self._least_growth = least_growth

    def choose(self, now: Situation) -> Ending | None:
        """The end, and what it saves; None while the frontier moves or may move."""
        if self._least_growth <= 0:
            return None
        still_usd = self._standstill.usd
        if still_usd is None:
            return None
        left_usd, expected = now.allowance.left_usd, self._expected(now)
        if expected is None or expected >= self._standstill.least:
            return None
        saved = f"; ${left_usd:.4g} are saved" if math.isfinite(left_usd) else ""
        return Ending(
            f"nothing more is expected to move the frontier: the last ${still_usd:.4g} changed the hypervolume by less "
            f"than {self._least_growth:.2g} of itself, and what is left is expected to add less{saved} "
            "(search.least_growth = 0 spends them)"
        )

    def _expected(self, now: Situation) -> float | None:
        """What is left would add at the best acquisition; without a budget, what the best step would; None: no step."""
        choices = self._by_forecast.choices(now)
        if not choices:
            return None
        if math.isfinite(now.allowance.left_usd):
            return max(each.gain_per_usd for each in choices) * now.allowance.left_usd
        return max(float(each.numbers["trust"] * each.numbers["expected_gain"]) for each in choices)
