"""What whole trainings take, as a function of their settings: learnt from past runs, whole ones and parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from tracker.errors import RequestError
from tracker.records import Direction, QualityMetric, Settings, SettingValue
from tracker.report.estimate.past import PastRun
from tracker.report.estimate.training_usage import TrainingUsage
from tracker.search.costs import CostModel
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import TrialFacts
from tracker.search.features import Features
from tracker.search.pace import Pace
from tracker.search.regression import SettingsModel
from tracker.study.domains import Choices, Domain, Range
from tracker.study.space import SearchSpace

Array = NDArray[np.float64]

_FOLDS, _FEWEST_TO_FOLD = 3, 10
_KNOB_EFFECT = 0.15
"""Standard deviation of what one knob changes of a time's logarithm, where few runs show it."""
_NOISE, DRIFT = 0.10, 0.05
"""Standard deviations of logarithms: of one training from another of equal settings; of a machine from day to day."""
_KNOWN = ("epochs", "seed")
"""Knobs whose effect is known beforehand."""
_FEW_VALUES = 12
"""A knob with more values than this, all numbers, is a range."""
_SHORTEST_TAIL = 1e-3  # seconds
_NOT_MEASURED = QualityMetric("", Direction.MAXIMIZE)


class Trainings:
    """A model of whole trainings, learnt from past ``runs`` that trained; ``space`` is where it will be asked.

    ``last_step`` is where the study says that trainings end (search.ends.Ends), ``drift`` how far the machine is off
    from one study to another (fixed_work.drift). Raises RequestError where nothing says
    where they end.
    """

    def __init__(
        self, runs: Sequence[PastRun], space: SearchSpace, last_step: int | str | None, drift: float = DRIFT
    ) -> None:
        self.runs = runs
        self._space = space
        self._last_step = last_step
        self._drift = drift
        self._cube = UnitCube(_joint(runs, space))
        with ThreadpoolController().limit(limits=1):  # matrices this small do not gain from more
            self._learn(runs)

    def _learn(self, runs: Sequence[PastRun]) -> None:
        self._fit(runs)
        unseen = _KNOB_EFFECT * sum(name not in (self._last_step, *_KNOWN) for name in self._space.searched) ** 0.5
        self.deviation = self._left_out() if len(runs) >= _FEWEST_TO_FOLD else math.hypot(_NOISE, unseen)
        """Standard deviation of the logarithm of a training's seconds."""
        self.level_deviation = math.hypot(self._drift, math.hypot(self.deviation, unseen) / len(runs) ** 0.5)
        """The same of what all trainings take together: an error that does not average out."""

    def _fit(self, runs: Sequence[PastRun]) -> None:
        self._ends = ends = Ends(self._last_step)
        facts = [TrialFacts.of(self._whole(run.settings), self._cube, ends) for run in runs]
        for each, run in zip(facts, runs, strict=True):
            for step, seconds in run.reached:
                each.observe(step, {"price_usd": seconds, "wall_seconds": seconds}, [], _NOT_MEASURED)
            if run.completed:
                each.complete()
        points = np.stack([each.point for each in facts])
        self._costs = CostModel(points, facts, Features(self._cube.width))
        inputs, places = self._costs.features(points), self._costs.features.places(points)
        self._inputs, self._places = inputs, places
        whole = np.array([run.completed for run in runs])
        tails = np.array([_tail(run) for run in runs])
        of_tails = whole if whole.any() else np.ones(len(runs), dtype=bool)
        self._tails = SettingsModel(inputs[of_tails], places[of_tails], np.log(tails[of_tails])[:, None])
        memory = np.array([max(run.memory_bytes, 1.0) for run in runs])
        self._memory = SettingsModel(inputs, places, np.log(memory)[:, None])
        self._startup_seconds = float(np.median([run.startup_seconds for run in runs]))
        self._pace = _usual(facts)
        self._depths = [each.depth for each, run in zip(facts, runs, strict=True) if run.completed]
        self._share = _share_reached(facts, runs)

    def _whole(self, settings: Settings) -> dict[str, SettingValue]:
        """Settings with those that a study fixes where a run has none of them."""
        return {**self._space.fixed, **settings}

    def usage(self, settings: Sequence[Settings]) -> TrainingUsage:
        """What whole trainings of n settings of the space use. Raises RequestError where nothing says how long they
        are."""
        points = self._cube.points([self._whole(each) for each in settings])
        inputs, places = self._costs.features(points), self._costs.features.places(points)
        firsts, further, _ = self._costs.of_settings(points)
        tails = np.exp(self._tails.expected(inputs, places))[:, 0]
        depths = np.array([self._last_depth(each) for each in settings])
        seconds = firsts[:, 1] + further[:, 1] * (depths - 1) + tails
        return TrainingUsage(
            seconds=seconds,
            first_seconds=firsts[:, 1],
            startup_seconds=np.minimum(self._startup_seconds, seconds),
            memory_bytes=np.exp(self._memory.expected(inputs, places))[:, 0],
        )

    def like(self, settings: Sequence[Settings], values: Array) -> Array:
        """What a figure of the past runs, ``values`` as many, is expected to be for n settings: [n]."""
        points = self._cube.points([self._whole(each) for each in settings])
        model = SettingsModel(self._inputs, self._places, values[:, None])
        return model.expected(self._costs.features(points), self._costs.features.places(points))[:, 0]

    def _last_depth(self, settings: Settings) -> float:
        depth = self._pace.depth(self._ends.of(self._whole(settings)))
        if math.isfinite(depth):
            return max(1.0, 1.0 + (depth - 1.0) * self._share)
        if not self._depths:
            raise RequestError(
                "nothing says where a training ends: no past one was trained to its end, and the study names no"
                " quality.last_step"
            )
        return float(np.median(self._depths))

    def _left_out(self) -> float:
        """The standard deviation of log(seconds / predicted) of runs that the model has not seen, by folds."""
        order = np.random.default_rng(0).permutation(len(self.runs))
        errors: list[float] = []
        for fold in range(_FOLDS):
            tested = [self.runs[at] for at in order[fold::_FOLDS]]
            rest = [self.runs[at] for at in order if at not in set(order[fold::_FOLDS].tolist())]
            self._fit(rest)
            errors += self._errors(tested)
        self._fit(self.runs)
        return max(_NOISE, float(np.sqrt(np.mean(np.square(errors))))) if errors else _NOISE

    def _errors(self, runs: Sequence[PastRun]) -> list[float]:
        whole = [run for run in runs if run.completed]
        if not whole:
            return []
        expected = self.usage([run.settings for run in whole]).seconds
        return [math.log(run.seconds / each) for run, each in zip(whole, expected, strict=True)]


def _tail(run: PastRun) -> float:
    """The seconds from a run's last checkpoint to its end; where it was paused before, the test at the end is missing,
    which is taken to last as long as one of its evaluations."""
    after = run.seconds - run.reached[-1][1]
    return max(after if run.completed else after + run.evaluation_seconds, _SHORTEST_TAIL)


def _usual(facts: Sequence[TrialFacts]) -> Pace:
    """The pace of most runs."""
    paces = [each.pace for each in facts]
    return max(dict.fromkeys(paces), key=paces.count)


def _share_reached(facts: Sequence[TrialFacts], runs: Sequence[PastRun]) -> float:
    """How far whole trainings go of what their settings say: less than 1 where they stop early."""
    shares = [
        (each.depth - 1.0) / (each.last_depth - 1.0)
        for each, run in zip(facts, runs, strict=True)
        if run.completed and 1.0 < each.last_depth < math.inf
    ]
    return min(1.0, float(np.mean(shares))) if shares else 1.0


def _joint(runs: Sequence[PastRun], space: SearchSpace) -> SearchSpace:
    """The space that holds the study's and the past runs' settings: every knob that varies among both."""
    names = [name for name in space.searched if name != "device"]
    seen = [{**space.fixed, **run.settings} for run in runs]
    names += [name for name in dict.fromkeys(name for each in seen for name in each) if name not in (*names, "seed")]
    domains: dict[str, Domain] = {}
    for name in names:
        own = [each[name] for each in space.by_device.values() if name in each]
        values = [each[name] for each in seen if name in each]
        values += [space.fixed[name]] if name in space.fixed else []
        domain = _union(own, values)
        if name != "device" and domain.size > 1:
            domains[name] = domain
    devices = dict.fromkeys([*space.devices, *(str(each["device"]) for each in seen if "device" in each)])
    return SearchSpace(space.fixed, dict.fromkeys(devices, domains))


def _union(domains: Sequence[Domain], values: Sequence[SettingValue]) -> Domain:
    ranges = [domain for domain in domains if isinstance(domain, Range)]
    every: list[Any] = [*values, *(value for each in domains if isinstance(each, Choices) for value in each.values)]
    distinct = list(dict.fromkeys(every))
    numbers = [each for each in distinct if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == len(distinct) and (ranges or len(distinct) > _FEW_VALUES):
        low = min([*numbers, *(each.low for each in ranges)])
        high = max([*numbers, *(each.high for each in ranges)])
        log = ranges[0].log and low > 0 if ranges else low > 0 and high / low > 10
        return Range(low, high, log=log) if low < high else Choices((low,))
    return Choices(tuple(distinct))
