"""The new trials that a search could start, with their forecast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracker.records import Settings
from tracker.search.candidates import Candidates
from tracker.search.fitted_models import FittedModels
from tracker.search.knowledge import Knowledge
from tracker.search.outlook import Forecast
from tracker.search.valuation import Valuation

_RETEACH_GROWTH = 1.15
"""How much more must have been observed before the sampler is fitted again."""


class NewTrials:
    """Forecasts ``candidates`` by the models that are ``fitted``; for all but ``take`` they must be."""

    def __init__(
        self, candidates: Candidates, knowledge: Knowledge, fitted: FittedModels, valuation: Valuation, seed: int
    ) -> None:
        self._candidates = candidates
        self._knowledge = knowledge
        self._fitted = fitted
        self._valuation = valuation
        self._seed = seed
        self._taught_with = 0
        self._found: tuple[Mapping[str, Settings], Forecast] | None = None  # by their keys

    def learn(self) -> None:
        """The models were fitted again: forecast new candidates, and teach the sampler where enough was observed."""
        known = self._knowledge
        if not self._taught_with <= known.observed < _RETEACH_GROWTH * self._taught_with:
            self._taught_with = known.observed
            tried = known.priced
            closeness = self._valuation.closeness(tried, self._fitted.outlook.of_trials(tried))
            self._candidates.learn([facts.settings for facts in tried], closeness, known.observed)
        self._look()

    def take(self, settings: Settings) -> None:
        """Mark settings as tried; where the sampler's suggestions became few, look for others."""
        self._candidates.take(settings)
        if self._fitted.fitted and self._candidates.short:
            self._look()

    def untried(self) -> tuple[list[Settings], Forecast] | None:
        """Settings [n] that were not tried, with their forecast; None where none is left."""
        if self._found is None or all(map(self._candidates.taken, self._found[0])):
            self._look()
        if self._found is None:
            return None
        fresh, forecast = self._found
        left = np.flatnonzero([not self._candidates.taken(key) for key in fresh])
        settings = [*fresh.values()]
        return [settings[index] for index in left], forecast.of(left)

    @property
    def cheapest_usd(self) -> float | None:
        """The least that a first checkpoint is expected to cost; None where no settings are left."""
        return None if self._found is None else float(self._found[1].cost_usd[:, 0].min())

    def _look(self) -> None:
        known = self._knowledge
        settings = self._candidates.look(np.random.default_rng([self._seed, known.observed, len(known.trials)]))
        self._found = (settings, self._fitted.outlook.of_settings([*settings.values()])) if settings else None
