"""What trials will cost: the first epoch, each further one, and the price of predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.search.facts import TrialFacts
from tracker.search.features import Array, Features
from tracker.search.objectives import GROWING, LEAST_COST
from tracker.search.regression import SettingsModel

_FEW = 5
"""Where fewer trials than this were resumed, every trial's further epochs are taken to cost what its first did."""
_LEAST = 0.01
"""The least that a further epoch is taken to cost, as a share of the first."""


class CostModel:
    """Costs of settings, learnt from n ``trials`` that have a checkpoint, at ``points`` [n, width] in the unit cube.

    The first epoch's cost includes one-off work and says little about later ones. A trial's own later epochs are
    averaged with one more, predicted from similar trials.
    """

    def __init__(self, points: Array, trials: Sequence[TrialFacts], features: Features) -> None:
        firsts = np.array([trial.first_costs for trial in trials])
        rates = np.maximum([trial.further_costs for trial in trials], _LEAST * firsts)
        going = np.array([trial.epochs_timed > 0 for trial in trials])
        if going.sum() < _FEW:
            going[:] = True
        logs = _log(firsts[:, 0])
        self._centre, self._scale = logs.mean(), max(float(logs.std()), 1e-9)
        beside = self._beside(firsts[:, 0])
        self.features = features.refined(points[going], beside[going], _log(rates[going, 0]))
        inputs, places = self.features(points), self.features.places(points)
        predictions = np.array([[trial.prediction_usd] for trial in trials])
        self._firsts = SettingsModel(inputs, places, _log(np.concatenate([firsts, predictions], axis=1)))
        self._rates = SettingsModel(np.concatenate([inputs, beside], axis=1)[going], places[going], _log(rates[going]))

    def _beside(self, first_usd: Array) -> Array:
        """What the first epoch cost [n] as a further input [n, 1]."""
        beside: Array = ((_log(first_usd) - self._centre) / self._scale)[:, None]
        return beside

    def of_trials(self, points: Array, trials: Sequence[TrialFacts]) -> Array:
        """What one more epoch will cost [n, 3], of objectives.GROWING, for trials that have a checkpoint."""
        first_usd = np.array([trial.first_costs[0] for trial in trials])
        own = np.array([trial.further_costs for trial in trials])
        epochs = np.array([[float(trial.epochs_timed)] for trial in trials])
        expected: Array = (epochs * own + self._further(points, first_usd)) / (epochs + 1)
        return expected

    def of_settings(self, points: Array) -> tuple[Array, Array, Array]:
        """The first epoch's costs [n, 3], each further one's [n, 3], and the price of predictions [n]."""
        figures = np.exp(self._firsts.expected(self.features(points), self.features.places(points)))
        firsts, predictions = figures[:, : len(GROWING)], figures[:, -1]
        return firsts, self._further(points, firsts[:, 0]), predictions

    def misses(self, points: Array, trials: Sequence[TrialFacts]) -> Array:
        """How far the logarithms of what the first epochs of n trials cost are from those expected, in deviations."""
        inputs, places = self.features(points), self.features.places(points)
        cost = _log(np.array([trial.first_costs[0] for trial in trials]))
        expected, deviation = self._firsts.expected(inputs, places), self._firsts.deviation(inputs, places)
        misses: Array = (cost - expected[:, 0]) / deviation[:, 0]
        return misses

    def _further(self, points: Array, first_usd: Array) -> Array:
        inputs = np.concatenate([self.features(points), self._beside(first_usd)], axis=1)
        further: Array = np.exp(self._rates.expected(inputs, self.features.places(points)))
        return further


def _log(figures: Array) -> Array:
    """Their logarithms; 0 for what is not known."""
    return np.where(np.isnan(figures), 0.0, np.log(np.maximum(np.nan_to_num(figures), LEAST_COST)))
