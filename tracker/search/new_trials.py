"""The new trials that a search could start, with their forecast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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
        """Settings [n] that were not tried, with their forecast; None where none is left.

        Those that lie near to tried ones are left out, if there are others: they would bring what those did.
        """
        apart = self._apart()
        if not len(apart):
            self._look()
            apart = self._apart()
        if self._found is None:
            return None
        fresh, forecast = self._found
        settings = [*fresh.values()]
        chosen = apart if len(apart) else self._left()
        return [settings[index] for index in chosen], forecast.of(chosen)

    def _left(self) -> NDArray[np.int64]:
        """Those that were found and not tried since, by index."""
        fresh = self._found[0] if self._found else ()
        return np.flatnonzero([not self._candidates.taken(key) for key in fresh])

    def _apart(self) -> NDArray[np.int64]:
        """Those of them that do not lie near to tried settings, by index."""
        left, tried = self._left(), [facts.point for facts in self._knowledge.trials.values()]
        if self._found is None or not len(left) or not tried:
            return left
        settings = [*self._found[0].values()]
        points = self._knowledge.cube.points([settings[index] for index in left])
        return left[~self._fitted.outlook.nearby(points, np.stack(tried))]

    @property
    def cheapest_usd(self) -> float | None:
        """The least that a first checkpoint is expected to cost; None where no settings are left."""
        return None if self._found is None else float(self._found[1].cost_usd[:, 0].min())

    def _look(self) -> None:
        known = self._knowledge
        settings = self._candidates.look(np.random.default_rng([self._seed, known.observed, len(known.trials)]))
        self._found = (settings, self._fitted.outlook.of_settings([*settings.values()])) if settings else None
