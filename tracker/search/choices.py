"""The steps that could be taken: what each is expected to add, at which price, at its best horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.records import Settings
from tracker.search.budget import Allowance
from tracker.search.facts import TrialFacts
from tracker.search.features import Array
from tracker.search.fitted_models import FittedModels
from tracker.search.knowledge import Knowledge
from tracker.search.outlook import Forecast
from tracker.search.trust import Trust, rungs
from tracker.search.valuation import Valuation

_LIKELY = 1.645  # standard deviations: nine in ten forecasts, if they are right, come true within
_SHY = 0.3  # of one more unit of depth: the checkpoint that completes a step may cost less than expected by this


_Start = tuple[int | None, TrialFacts | None, Settings]


@dataclass(frozen=True, slots=True)
class Choice:
    """A possible step: resume ``trial``, of which ``facts`` are known, or start a new one where both are None.

    The step leads to ``until_depth`` for ``step_usd`` dollars and is expected to add ``step_gain`` to the hypervolume;
    each unit of depth costs ``further_usd``. ``gain_per_usd`` is its acquisition, at the best horizon; ``near`` is how
    near it may come to the frontier. ``numbers`` explain it.
    """

    trial: int | None
    facts: TrialFacts | None
    settings: Settings
    rung: int
    until_depth: float
    step_usd: float
    further_usd: float
    step_gain: float
    gain_per_usd: float
    near: float
    numbers: Mapping[str, Any]

    @property
    def until_usd(self) -> float | None:
        """What the trial has cost when the step is done; 0 at its first checkpoint, None at its end."""
        if self.facts is None:
            return 0.0
        if self.until_depth >= self.facts.last_depth:
            return None
        # A little less, so that the checkpoint that completes the step does not just miss it.
        return self.facts.price_usd + self.step_usd - _SHY * self.further_usd


class Choices:
    """Makes choices of forecasts by the models that are ``fitted``, as far as forecasts at their rungs came true."""

    def __init__(self, knowledge: Knowledge, fitted: FittedModels, valuation: Valuation, trust: Trust) -> None:
        self._knowledge = knowledge
        self._fitted = fitted
        self._valuation = valuation
        self._trust = trust

    def to_resume(self, trials: Sequence[int], forecast: Forecast, allowance: Allowance) -> list[Choice]:
        """The next step of each of n trials of the study, as far as it fits, with its ``forecast``."""
        known = zip(trials, self._knowledge.of(trials), strict=True)
        return self._fitting(forecast, allowance, [(trial, facts, facts.settings) for trial, facts in known])

    def to_start(self, settings: Sequence[Settings], forecast: Forecast, allowance: Allowance) -> list[Choice]:
        """The first step of a new trial with each of n settings, as far as it fits, with its ``forecast``."""
        return self._fitting(forecast, allowance, [(None, None, each) for each in settings])

    def usd_to_depth(self, trial: int, depth: float, *, alive: bool) -> float:
        """What training a trial to a depth is expected to cost; without a start where its process is ``alive``."""
        facts = self._knowledge.trials[trial]
        further_usd = float(self._fitted.outlook.of_trials([facts]).further_usd[0])
        return (depth - facts.depth) * further_usd + (0.0 if alive else facts.start_usd)

    def to_depth(self, trial: int, depth: float, allowance: Allowance, *, alive: bool) -> Choice | None:
        """The step that trains a trial on to a depth, however many doublings that are; None where it does not fit."""
        facts = self._knowledge.trials[trial]
        step_usd = self.usd_to_depth(trial, depth, alive=alive)
        forecast = self._fitted.outlook.of_trials([facts], facts if alive else None)
        found = self.to_resume([trial], forecast, allowance) if allowance.fits(step_usd) else []
        return replace(found[0], until_depth=depth, step_usd=step_usd) if found else None

    def first_sound(
        self, settings: Sequence[Settings], allowance: Allowance, random: np.random.Generator
    ) -> tuple[int, Choice] | None:
        """The first of n settings that is accepted for a new trial, by index, and its first step; None where none is.

        Each is accepted with the probability that it fits in memory, does not fail and keeps the limits.
        """
        if not settings:
            return None
        forecast = self._fitted.outlook.of_settings(settings)
        sound = np.flatnonzero(random.random(len(settings)) < forecast.sound.max(axis=1))[:1]
        found = self.to_start([settings[index] for index in sound], forecast.of(sound), allowance) if len(sound) else []
        return (int(sound[0]), found[0]) if found else None

    def _fitting(self, forecast: Forecast, allowance: Allowance, starts: Sequence[_Start]) -> list[Choice]:
        """A choice for each of n starts whose next step fits, at its best horizon."""
        added, near = self._valuation.expected(forecast)
        at = self._rungs([facts for _, facts, _ in starts if facts is not None], len(starts))
        trust = np.array([self._trust.of(int(rung)) for rung in at])
        rates = np.where(allowance.covers(forecast.cost_usd), trust[:, None] * added / forecast.cost_usd, -1.0)
        best = rates.argmax(axis=1)
        expected, likely_from, likely_to = _qualities(forecast, best)
        hypervolume = self._valuation.hypervolume
        choices = []
        for index in np.flatnonzero(allowance.fits(forecast.cost_usd[:, 0])).tolist():
            (trial, facts, settings), horizon = starts[index], best[index]
            pace = self._fitted.outlook.pace if facts is None else facts.pace
            numbers = {
                "trust": float(trust[index]),
                "expected_gain": float(added[index, horizon]),
                "expected_cost_usd": float(forecast.cost_usd[index, horizon]),
                "at_epoch": pace.step(float(forecast.depths[index, horizon])),
                f"expected_{self._knowledge.measures.quality.name}": float(expected[index]),
                "likely_from": float(likely_from[index]),
                "likely_to": float(likely_to[index]),
                "price_then_usd": float(forecast.costs[index, horizon, 0]),
                "hypervolume": hypervolume,
            }
            choice = Choice(
                trial,
                facts,
                settings,
                int(at[index]),
                float(forecast.depths[index, 0]),
                float(forecast.cost_usd[index, 0]),
                float(forecast.further_usd[index]),
                float(added[index, 0]),
                float(rates[index, horizon]),
                float(near[index]),
                numbers,
            )
            choices.append(choice)
        return choices

    def _rungs(self, facts: Sequence[TrialFacts], count: int) -> NDArray[np.int64]:
        """The rungs [count] of trials, or of as many new ones where there are no ``facts``."""
        if not facts:
            return np.zeros(count, dtype=np.int64)
        return rungs([each.price_usd for each in facts], self._fitted.cheapest_usd)


def _qualities(forecast: Forecast, horizons: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """The expected quality of n choices at a horizon each [n], and the interval that is likely: from [n], to [n]."""
    rows = np.arange(len(horizons))
    middle = forecast.values(0, np.zeros(1))[rows, 0, horizons]
    likely = np.sort(forecast.values(0, np.array([-_LIKELY, _LIKELY])), axis=1)  # [n, 2, J]
    return middle, likely[rows, 0, horizons], likely[rows, 1, horizons]
