"""What trials would reach if they were gone on with, and what that would cost: forecasts from all that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tracker.records import Direction, Settings
from tracker.search.curves import Array, CurveModel, Features, Observations, SettingsModel
from tracker.search.encoding import UnitCube
from tracker.search.facts import TrialFacts
from tracker.search.links import Link
from tracker.study.spec import Limit

DOUBLINGS = 7
"""How far ahead is looked: after one, two, … doublings of the epochs."""
_OUT_OF_MEMORY = 1.15
"""How much more than the limit a trial that ran out of memory is taken to need: an assumption."""
_UNSTABLE = 0.05
"""A share of failures below this is not acted upon."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """n trials at J horizons each: ``epochs`` [n, J], none beyond a trial's own last one.

    ``mean`` and ``deviation`` [n, J, K] are of the metrics on their ``links``' scales; ``costs`` [n, J, 3] of GROWING
    in all, ``cost_usd`` [n, J] the dollars from now on; ``prediction_usd`` [n]; ``sound`` [n, J] the probability that
    a checkpoint there counts.
    """

    epochs: Array
    mean: Array
    deviation: Array
    costs: Array
    cost_usd: Array
    prediction_usd: Array
    sound: Array
    links: Sequence[Link]

    def values(self, metric: int, deviations: Array) -> Array:
        """A metric [n, S, J] if it came out S numbers of standard deviations above its mean on its scale."""
        scaled = self.mean[:, None, :, metric] + deviations[:, None] * self.deviation[:, None, :, metric]
        return self.links[metric].back(scaled)

    def of(self, which: NDArray[np.int64]) -> Forecast:
        """The forecast of some of its trials, by index."""
        return Forecast(
            self.epochs[which],
            self.mean[which],
            self.deviation[which],
            self.costs[which],
            self.cost_usd[which],
            self.prediction_usd[which],
            self.sound[which],
            self.links,
        )


class Outlook:
    """Models of metrics, costs and failures, fitted to ``trials``: all of this study and of earlier ones.

    ``metrics`` [K] names what is forecast, quality first, each with its direction.
    """

    def __init__(
        self,
        trials: Sequence[TrialFacts],
        cube: UnitCube,
        features: Features,
        metrics: Mapping[str, Direction],
        limits: Sequence[Limit],
        memory_limit_bytes: float,
    ) -> None:
        self._cube = cube
        self._features = features
        self._metrics = list(metrics)
        self._limits = limits
        self._memory_limit_bytes = memory_limit_bytes
        inputs = features(cube.points([trial.settings for trial in trials]))
        seen = [index for index, trial in enumerate(trials) if trial.epoch]
        rows = [
            (place, *trials[index].seen[level][:2])
            for place, index in enumerate(seen)
            for level in sorted(trials[index].seen)
        ]
        values = np.stack([row[2] for row in rows])
        self._links = [Link.of(values[:, index], each) for index, each in enumerate(metrics.values())]
        trial, level = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        self._curves = CurveModel(inputs[seen], Observations(trial, level, self._on_scale(values)))
        self._inputs = {id(trials[index].settings): inputs[index] for index in seen}
        self._costs = SettingsModel(inputs[seen], np.array([_cost_figures(trials[index]) for index in seen]))
        self._fit_risks(trials, inputs)

    def _on_scale(self, values: Array) -> Array:
        """Metrics [n, K] on their links' scales."""
        return np.stack([link.to(values[:, index]) for index, link in enumerate(self._links)], axis=1)

    def _fit_risks(self, trials: Sequence[TrialFacts], inputs: Array) -> None:
        lacking = "out_of_memory"
        failed = np.array([float(bool(trial.failure) and trial.failure != lacking) for trial in trials])
        known = np.array([bool(trial.epoch or trial.failure) for trial in trials])
        self._failure_rate = float(failed[known].mean())
        self._failures = SettingsModel(inputs[known], failed[known, None]) if self._failure_rate > 0 else None
        needs = np.array(
            [
                _OUT_OF_MEMORY * self._memory_limit_bytes if trial.failure == lacking else trial.memory_bytes
                for trial in trials
            ]
        )
        told = (needs > 0) & np.isfinite(needs)
        bounded = math.isfinite(self._memory_limit_bytes) and told.sum() >= 2
        self._memory = SettingsModel(inputs[told], np.log(needs[told])[:, None]) if bounded else None

    def of_trials(self, trials: Sequence[TrialFacts], at_hand: TrialFacts | None = None) -> Forecast:
        """How n trials with a checkpoint would go on; all but the one ``at_hand`` need a new process first."""
        inputs = np.stack([self._inputs_of(trial) for trial in trials])
        now = np.array([float(trial.epoch) for trial in trials])
        ends = np.array([trial.last_epoch for trial in trials])
        epochs = np.minimum(now[:, None] * 2.0 ** np.arange(1, DOUBLINGS + 1), np.maximum(ends, now + 1)[:, None])
        values = self._on_scale(np.stack([trial.metrics for trial in trials]))
        mean, deviation = self._curves.ahead(self._curves.curves(inputs), np.log2(now), values, np.log2(epochs))
        rates = np.stack([trial.costs_an_epoch for trial in trials])
        more = (epochs - now[:, None])[:, :, None] * rates[:, None, :]
        starts = np.array([0.0 if trial is at_hand else trial.start_usd for trial in trials])
        costs = np.stack([trial.costs for trial in trials])[:, None, :] + more
        costs[:, :, 0] += starts[:, None]
        predictions = np.array([trial.prediction_usd for trial in trials])
        cost_usd = more[:, :, 0] + starts[:, None]
        sound = self._keeps_limits(mean, deviation)
        return Forecast(epochs, mean, deviation, costs, cost_usd, predictions, sound, self._links)

    def of_settings(self, settings: Sequence[Settings]) -> Forecast:
        """How n new trials would go, from their first checkpoint on."""
        inputs = self._features(self._cube.points(settings))
        ends = np.array([TrialFacts.of(each).last_epoch for each in settings])
        epochs = np.minimum(2.0 ** np.arange(DOUBLINGS + 1)[None, :], ends[:, None])
        levels = np.log2(epochs)
        mean = self._curves.expected(self._curves.curves(inputs), levels)
        deviation = np.hypot(self._curves.spread(levels), self._curves.uncertainty(inputs, levels))
        figures, _ = self._costs.predict(inputs)
        firsts, rates = np.exp(figures[:, :3]), np.exp(figures[:, 3:6])
        costs = firsts[:, None, :] + (epochs - 1)[:, :, None] * rates[:, None, :]
        sound = self._keeps_limits(mean, deviation) * self._succeeds(inputs)[:, None]
        return Forecast(epochs, mean, deviation, costs, costs[:, :, 0], np.exp(figures[:, 6]), sound, self._links)

    def _inputs_of(self, trial: TrialFacts) -> Array:
        key = id(trial.settings)
        if key not in self._inputs:
            self._inputs[key] = self._features(self._cube.points([trial.settings]))[0]
        inputs: Array = self._inputs[key]
        return inputs

    def _keeps_limits(self, mean: Array, deviation: Array) -> Array:
        """The probability [n, J] that all limits on metrics are kept."""
        keeps: Array = np.ones(mean.shape[:2])
        for limit in self._limits:
            index = self._metrics.index(limit.metric)
            middle, width = mean[:, :, index], np.maximum(deviation[:, :, index], 1e-12)
            for bound, outside in ((limit.high, 1.0), (limit.low, -1.0)):
                if bound is not None:
                    link = self._links[index]
                    keeps = keeps * ndtr(outside * link.sign * (link.to(np.array([bound])) - middle) / width)
        return keeps

    def _succeeds(self, inputs: Array) -> Array:
        """The probability [n] that settings fit in memory and do not fail."""
        succeeds = np.ones(len(inputs))
        if self._memory is not None:
            mean, deviation = self._memory.predict(inputs)
            succeeds *= ndtr((math.log(self._memory_limit_bytes) - mean[:, 0]) / deviation[:, 0])
        if self._failures is not None:
            failing, _ = self._failures.predict(inputs)
            succeeds *= np.where(failing[:, 0] > _UNSTABLE, 1 - np.clip(failing[:, 0], 0.0, 0.95), 1.0)
        return succeeds


def _cost_figures(trial: TrialFacts) -> list[float]:
    """Logarithms of the first epoch's costs, of a further one's, and of the price of predictions."""
    smallest = 1e-12
    figures = [*trial.first_costs, *trial.costs_an_epoch, trial.prediction_usd]
    return [math.log(max(figure, smallest)) if figure == figure else 0.0 for figure in figures]
