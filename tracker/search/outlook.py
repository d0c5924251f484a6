"""Forecasts: what trials would reach if they were resumed or started, and what that would cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import ndtr

from tracker.records import Direction, Settings
from tracker.search.costs import CostModel
from tracker.search.curves import CurveModel, Observations
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import TrialFacts, own_memory_bytes
from tracker.search.features import Array, Features
from tracker.search.links import Link
from tracker.search.objectives import LEAST_COST
from tracker.search.pace import Pace
from tracker.search.regression import SettingsModel
from tracker.study.spec import Limit

DOUBLINGS = 7
"""The horizons of a forecast: one, two, … doublings of the depth."""
_OUT_OF_MEMORY = 1.15
"""How much more than the limit an out-of-memory trial is assumed to need."""
_APART = 0.5
"""How near to tried settings others count as the same: a share of the distance between neighbours."""
_UNSTABLE = 0.05
"""A lower share of failures is ignored."""


_BY_TRIAL = ("depths", "mean", "deviation", "costs", "cost_usd", "further_usd", "prediction_usd", "sound")


@dataclass(frozen=True, slots=True)
class Forecast:
    """n trials at J horizons each: ``depths`` [n, J], none beyond a trial's own end.

    ``mean`` and ``deviation`` [n, J, K] are of the metrics on their ``links``' scales, on which more is better, and
    ``futures`` [S, K] how many deviations off their means they may end up; ``costs`` [n, J, 3] of GROWING in all,
    ``cost_usd`` [n, J] the dollars from now on, ``further_usd`` [n] those per unit of depth; ``prediction_usd``
    [n]; ``sound`` [n, J] the probability that a checkpoint there counts.
    """

    depths: Array
    mean: Array
    deviation: Array
    costs: Array
    cost_usd: Array
    further_usd: Array
    prediction_usd: Array
    sound: Array
    links: Sequence[Link]
    futures: Array

    def values(self, metric: int, deviations: Array) -> Array:
        """A metric [n, S, J] at S numbers of standard deviations above its mean on its scale."""
        scaled = self.mean[:, None, :, metric] + deviations[:, None] * self.deviation[:, None, :, metric]
        return self.links[metric].back(scaled)

    def of(self, which: NDArray[np.int64]) -> Forecast:
        """The forecast of some of its trials, by index; a copy."""
        return replace(self, **{name: getattr(self, name)[which] for name in _BY_TRIAL})

    def and_of(self, others: Forecast) -> Forecast:
        """This forecast and ``others`` joined; both are by the same models."""
        both: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in _BY_TRIAL
        }
        return replace(self, **both)


class Outlook:
    """Models of metrics, costs and failures, fitted to ``trials``: all of this study and of earlier ones that count.

    Costs are fitted to the ``priced`` ones, which have a checkpoint.

    ``metrics`` [K] names what is forecast, quality first, each with its direction; ``ends`` says where trainings end.
    Which knobs matter is refined from ``before``, an outlook fitted to fewer of the trials. ``curves`` are the
    models of the metrics; ``pace`` is that of most trials.
    """

    def __init__(
        self,
        trials: Sequence[TrialFacts],
        priced: Sequence[TrialFacts],
        cube: UnitCube,
        metrics: Mapping[str, Direction],
        limits: Sequence[Limit],
        memory_limit_bytes: float,
        ends: Ends,
        before: Outlook | None = None,
    ) -> None:
        self._cube = cube
        self._plain = plain = Features(cube.width)
        self._metrics = list(metrics)
        self._limits = limits
        self._memory_limit_bytes = memory_limit_bytes
        self._ends = ends
        points = np.stack([trial.point for trial in trials])
        seen = [index for index, trial in enumerate(trials) if trial.reported]
        rows = [
            (place, trials[index].seen[level])
            for place, index in enumerate(seen)
            for level in sorted(trials[index].seen)
        ]
        values = np.stack([depth.metrics for _, depth in rows])
        self._links = [Link.of(values[:, index], each) for index, each in enumerate(metrics.values())]
        trial, level = np.array([place for place, _ in rows]), np.array([depth.level for _, depth in rows])
        self._deepest = max(trials[index].level for index in seen)
        found = [model.features for model in before.curves] if before else [plain] * len(self._metrics)
        self.curves: list[CurveModel] = [
            CurveModel(points[seen], Observations(trial, level, scaled), features)
            for scaled, features in zip(self._on_scale(values).T, found, strict=True)
        ]
        self.costs: CostModel = CostModel(
            _rows([trial.point for trial in priced]), priced, before.costs.features if before else plain
        )
        self._futures = np.stack([model.futures for model in self.curves], axis=1)
        self._fit_risks(trials, points)
        self._forecasts: Forecast | None = None
        # The epoch and price it was at, the depth of its end, and its row.
        self._rows_of: dict[TrialFacts, tuple[int, float, float, int]] = {}
        paces = [trial.pace for trial in trials if trial.epochs_timed] or [trials[index].pace for index in seen]
        self.pace: Pace = Counter(paces).most_common(1)[0][0]

    def _on_scale(self, values: Array) -> Array:
        """Metrics [n, K] on their links' scales."""
        return np.stack([link.to(values[:, index]) for index, link in enumerate(self._links)], axis=1)

    def _fit_risks(self, trials: Sequence[TrialFacts], points: Array) -> None:
        inputs, places = self._plain(points), self._plain.places(points)
        lacking = "out_of_memory"
        failed = np.array([float(bool(trial.failure) and trial.failure != lacking) for trial in trials])
        known = np.array([trial.reported or bool(trial.failure) for trial in trials])
        self._failure_rate = float(failed[known].mean())
        self._failures = (
            SettingsModel(inputs[known], places[known], failed[known, None]) if self._failure_rate > 0 else None
        )
        lacked = np.array([trial.failure == lacking for trial in trials])
        limits = self._memory_limits([trial.settings for trial in trials])
        needs = np.where(lacked, _OUT_OF_MEMORY * limits, [trial.memory_bytes for trial in trials])
        needy = (needs > 0) & np.isfinite(needs)
        bounded = math.isfinite(self._memory_limit_bytes) and needy.sum() >= 2
        self._memory = SettingsModel(inputs[needy], places[needy], np.log(needs[needy])[:, None]) if bounded else None

    def _memory_limits(self, settings: Sequence[Settings]) -> Array:
        """The memory [n] that trials with these settings may take, in bytes."""
        return np.array([min(self._memory_limit_bytes, own_memory_bytes(each)) for each in settings])

    def of_trials(self, trials: Sequence[TrialFacts], live_trial: TrialFacts | None = None) -> Forecast:
        """Forecast n trials with a checkpoint; all but ``live_trial`` need a new process first.

        A trial's forecast is cached until it has a new checkpoint.
        """
        moved = [
            each for each in trials if self._rows_of.get(each, ())[:3] != (each.epoch, each.price_usd, each.last_depth)
        ]
        if moved:
            fresh, kept = self._ahead(moved), self._forecasts
            before = 0 if kept is None else len(kept.depths)
            self._forecasts = fresh if kept is None else kept.and_of(fresh)
            for row, each in enumerate(moved, before):
                self._rows_of[each] = each.epoch, each.price_usd, each.last_depth, row
        assert self._forecasts is not None
        forecast = self._forecasts.of(np.array([self._rows_of[each][3] for each in trials]))
        for index, each in enumerate(trials):
            if each is live_trial:
                forecast.costs[index, :, 0] -= each.start_usd
                forecast.cost_usd[index] = np.maximum(forecast.cost_usd[index] - each.start_usd, LEAST_COST)
        return forecast

    def nearby(self, points: Array, tried: Array) -> NDArray[np.bool_]:
        """Whether each of n points [n, width] is so near to one of m that were tried [m, width] that it is the same.

        The same: as near as a share of the distance that the tried ones would have if they were spread evenly, both in
        the unit cube and by what the models think that each metric and the price change with. They may be wrong.
        """
        models = [self._plain, *(model.features for model in self.curves), self.costs.features]
        apart = [
            cdist(each.places(points), each.places(tried)) / each.spacing(len(tried), self._cube.dimensions)
            for each in models
        ]
        near: NDArray[np.bool_] = np.max(apart, axis=0).min(axis=1) < _APART
        return near

    def misses(self, trials: Sequence[TrialFacts]) -> Array:
        """How far quality and price of n trials with a checkpoint are from a forecast of new ones: [n, 2].

        In its deviations. Quality is compared where a trial came last, as far as these models have seen any; the price
        at its first checkpoint, by logarithms; both as if these models had not seen it.
        """
        deepest = [trial.seen[max(level for level in trial.seen if level <= self._deepest)] for trial in trials]
        levels = np.array([[depth.level] for depth in deepest])
        points = _rows([trial.point for trial in trials])
        mean, deviation = self.curves[0].of_new(points, levels)
        quality = self._links[0].to(np.array([depth.metrics[0] for depth in deepest]))
        return np.stack([(quality - mean[:, 0]) / deviation[:, 0], self.costs.misses(points, trials)], axis=1)

    def _ahead(self, trials: Sequence[TrialFacts]) -> Forecast:
        """Forecast trials that are resumed in a new process."""
        points = _rows([trial.point for trial in trials])
        now = np.array([trial.depth for trial in trials])
        ends = np.array([trial.last_depth for trial in trials])
        ends = np.where(ends > now, ends, now + 1)  # a trial at its end is treated as if it continued
        depths = np.minimum(now[:, None] * 2.0 ** np.arange(1, DOUBLINGS + 1), ends[:, None])
        values = self._on_scale(_rows([trial.metrics for trial in trials]))
        mean, deviation = _stacked(
            model.ahead(points, np.log2(now), each, np.log2(depths))
            for model, each in zip(self.curves, values.T, strict=True)
        )
        rates = self.costs.of_trials(points, trials)
        more = (depths - now[:, None])[:, :, None] * rates[:, None, :]
        starts = np.array([trial.start_usd for trial in trials])
        costs = _rows([trial.costs for trial in trials])[:, None, :] + more
        costs[:, :, 0] += starts[:, None]
        predictions = np.array([trial.prediction_usd for trial in trials])
        cost_usd = more[:, :, 0] + starts[:, None]
        sound = self._keeps_limits(mean, deviation)
        return Forecast(
            depths, mean, deviation, costs, cost_usd, rates[:, 0], predictions, sound, self._links, self._futures
        )

    def of_settings(self, settings: Sequence[Settings]) -> Forecast:
        """Forecast n new trials, from their first checkpoint on."""
        points = self._cube.points(settings)
        ends = np.array([max(self.pace.depth(self._ends.of(each)), 1.0) for each in settings])
        depths = np.minimum(2.0 ** np.arange(DOUBLINGS + 1)[None, :], ends[:, None])
        mean, deviation = _stacked(model.of_new(points, np.log2(depths)) for model in self.curves)
        firsts, rates, predictions = self.costs.of_settings(points)
        costs = firsts[:, None, :] + (depths - 1)[:, :, None] * rates[:, None, :]
        sound = self._keeps_limits(mean, deviation) * self._succeeds(points, self._memory_limits(settings))[:, None]
        return Forecast(
            depths, mean, deviation, costs, costs[:, :, 0], rates[:, 0], predictions, sound, self._links, self._futures
        )

    def _keeps_limits(self, mean: Array, deviation: Array) -> Array:
        """The probability [n, J] that all limits on metrics are kept."""
        keeps: Array = np.ones(mean.shape[:2])
        for limit in self._limits:
            index = self._metrics.index(limit.metric)
            middle, width = mean[:, :, index], np.maximum(deviation[:, :, index], 1e-12)
            for bound, outside in ((limit.high, 1.0), (limit.low, -1.0)):
                if bound is not None:
                    link = self._links[index]
                    keeps = keeps * ndtr(outside * link.rising * (link.to(np.array([bound])) - middle) / width)
        return keeps

    def _succeeds(self, points: Array, memory_limits: Array) -> Array:
        """The probability [n] that settings fit in their memory [n], in bytes, and do not fail."""
        inputs, places = self._plain(points), self._plain.places(points)
        succeeds = np.ones(len(points))
        if self._memory is not None:
            room = np.log(memory_limits) - self._memory.expected(inputs, places)[:, 0]
            succeeds *= ndtr(room / self._memory.deviation(inputs, places)[:, 0])
        if self._failures is not None:
            failing = self._failures.expected(inputs, places)[:, 0]
            succeeds *= np.where(failing > _UNSTABLE, 1 - np.clip(failing, 0.0, 0.95), 1.0)
        return succeeds


def _rows(arrays: Sequence[Array]) -> Array:
    """Arrays [k] as rows; faster than np.stack for many."""
    return np.concatenate(arrays).reshape(len(arrays), -1)


def _stacked(forecasts: Iterable[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Means and deviations [n, J] of K metrics as [n, J, K]."""
    means, deviations = zip(*forecasts, strict=True)
    return np.stack(means, axis=-1), np.stack(deviations, axis=-1)
