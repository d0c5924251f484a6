"""What checkpoints are worth: the hypervolume that forecasts are expected to add, and how near trials come to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracker.search.facts import TrialFacts
from tracker.search.features import Array
from tracker.search.measures import Measures
from tracker.search.objectives import GROWING, PREDICTION_PRICE
from tracker.search.outlook import Forecast
from tracker.search.reached_frontier import ReachedFrontier


class Valuation:
    """Values forecasts, and trials as they are, beside what was ``reached``, whose reference point must be frozen."""

    def __init__(self, measures: Measures, reached: ReachedFrontier) -> None:
        self._measures = measures
        self._reached = reached

    @property
    def measured_from(self) -> Mapping[str, float]:
        """The reference point that values are measured from now, by objective."""
        return self._reached.frontier.reference

    @property
    def hypervolume(self) -> float:
        """That of what was reached, as a share of the box."""
        return self._reached.frontier.volume

    def expected(self, forecast: Forecast) -> tuple[Array, Array]:
        """The expected growth of the hypervolume [n, J] up to each horizon, and how near each choice may come [n].

        Nearness is along the best ray: 1 is on the frontier.
        """
        frontier = self._reached.frontier
        reaches = self._reaches(forecast, forecast.futures)
        added = frontier.added(reaches).mean(axis=1) * forecast.sound
        near = frontier.closeness(reaches[:, -1]).max(axis=(1, 2)) * forecast.sound.max(axis=1)
        return added, near

    def added_if(self, forecast: Forecast, deviations: float) -> Array:
        """The growth [n, J] up to each horizon if all metrics were this many deviations better than expected."""
        reaches = self._reaches(forecast, self._all_off(deviations))
        added: Array = self._reached.frontier.added(reaches)[:, 0] * forecast.sound
        return added

    def closeness(self, trials: Sequence[TrialFacts], forecast: Forecast) -> Array:
        """How near n trials are to the frontier, or are expected to come, along M rays: [n, M]; 1 is on it."""
        ahead = self._reaches(forecast, self._all_off(0.0))[:, 0].max(axis=1)
        gains = self.gains([(facts, facts.metrics, facts.costs) for facts in trials])
        frontier = self._reached.frontier
        return frontier.closeness(np.maximum(ahead, frontier.reaches(gains)))

    def gains(self, points: Sequence[tuple[TrialFacts, Array, Array]]) -> Array:
        """How much better than the reference point n trials are, with these metrics and costs: [n, D]."""
        return self._reached.frontier.gains([self._measures.by_objective(*each) for each in points])

    def _reaches(self, forecast: Forecast, deviations: Array) -> Array:
        """How far the frontier would reach along each ray if metrics were this many deviations [S, K] off their
        forecasts.

        For n choices at J horizons and L rays: [n, S, J, L].
        """
        names, objectives, frontier = self._measures.names, self._measures.objectives, self._reached.frontier
        count, horizons = forecast.depths.shape
        gains = np.empty((count, len(deviations), horizons, len(objectives)))
        for column, each in enumerate(objectives):
            reference = frontier.reference[each.name]
            if each.name in names:
                index = names.index(each.name)
                # Other metrics are not assumed to be lucky together with quality: their outcomes are permuted.
                dealt = deviations[:, index] if index == 0 else np.roll(deviations[::-1, index], index)
                values = forecast.values(index, dealt)
                gains[..., column] = each.gain(values, reference)
            elif each.name == PREDICTION_PRICE:
                gains[..., column] = each.gain(forecast.prediction_usd, reference)[:, None, None]
            else:
                gains[..., column] = each.gain(forecast.costs[:, None, :, GROWING.index(each.name)], reference)
        reaches: Array = frontier.reaches(gains)
        for horizon in range(1, horizons):  # earlier horizons count too
            np.maximum(reaches[:, :, horizon], reaches[:, :, horizon - 1], out=reaches[:, :, horizon])
        return reaches

    def _all_off(self, deviations: float) -> Array:
        """One outcome in which all metrics are this many deviations better than expected."""
        return np.full((1, len(self._measures.names)), deviations)
