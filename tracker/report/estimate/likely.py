"""A study's likely cost at given rates: its trainings and what comes before them, priced and played through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.errors import PredictionError
from tracker.prediction.accelerators import Accelerator
from tracker.records import Settings
from tracker.report.estimate.billing import Billing, Pool, priced_pool, training_job
from tracker.report.estimate.elsewhere import elsewhere
from tracker.report.estimate.fixed_work import drift, fixed_work
from tracker.report.estimate.outlay import Doubt, Fixed, Outlay, Room, play
from tracker.report.estimate.past import PastRun, alike_at_all_cores
from tracker.report.estimate.training_usage import TrainingUsage
from tracker.report.estimate.trainings import DRIFT, Trainings
from tracker.runner.checked import Bound
from tracker.runner.plan import StudyPlan
from tracker.search.encoding import UnitCube
from tracker.search.tried import MOST_LISTED
from tracker.study.space import SearchSpace

DRAWS = 512
"""How many settings stand for a space that has more."""
_FIXED = 0.12
"""Standard deviation of the logarithm of what preparing data and baselines take."""
_LIKELY = 1.645
"""Standard deviations: nineteen in twenty are below."""


@dataclass(frozen=True, eq=False)
class Priced:
    """A study at some rates: the trainings that it may try, what comes before them, and what it spends."""

    pool: Pool
    fixed: Fixed
    outlay: Outlay


class LikelyCost:
    """What a study costs, as past ``trained`` runs let expect; ``before`` are those of its data and baselines.

    ``deviation`` is how unsure the seconds of all trained runs together are: the standard deviation of their logarithm.

    Raises RequestError where nothing says how long its trainings are.
    """

    def __init__(
        self,
        plan: StudyPlan,
        trained: Sequence[PastRun],
        before: Sequence[PastRun],
        workers: int | None,
        deviation: float = 0.0,
    ) -> None:
        self._plan = plan
        self._trained = trained
        self._before = before
        self.room = Room.of(plan, workers)
        off = drift(alike_at_all_cores(before, plan.space), DRIFT)
        self._model = model = Trainings(trained, plan.space, plan.spec.last_step, off)
        self.doubt = Doubt(model.deviation, math.hypot(model.level_deviation, deviation), max(off, _FIXED))
        self._settings = _settings(plan.space, in_order=plan.spec.strategy == "grid")
        self._usage = model.usage(self._settings)

    @property
    def most_cores(self) -> float:
        """The most cores that a trial takes."""
        return max(float(training_job(each).threads) for each in self._settings)

    def at(self, billing: Billing) -> Priced:
        """The same study at other rates. Raises PriceBookError where a usage cannot be billed at them."""
        return self._priced(self._settings, self._usage, billing, self.doubt, self.room)

    def _priced(
        self, settings: Sequence[Settings], usage: TrainingUsage, billing: Billing, doubt: Doubt, room: Room
    ) -> Priced:
        spec = self._plan.spec
        pool = priced_pool(settings, usage, self._trained, billing)
        fixed, _ = fixed_work(self._plan, self._before, billing)
        outlay = play(pool, spec.budget, fixed, room, doubt, strategy=spec.strategy, size=self._plan.space.size)
        return Priced(pool, fixed, outlay)

    def on(self, accelerator: Accelerator | None, billing: Billing) -> tuple[Outlay, str]:
        """The same study on one accelerator of a kind, or on another processor (None), and what that rests on.

        Raises PredictionError where nothing is predicted there, PriceBookError as ``at`` does.
        """
        there = elsewhere(self._trained, accelerator)
        if there.refused:
            raise PredictionError(there.refused)
        ratios = np.exp(self._model.like(self._settings, np.log(there.ratios)))
        usage = replace(
            self._usage,
            seconds=self._usage.seconds * ratios,
            first_seconds=self._usage.first_seconds * ratios,
        )
        device = {"device": "cpu" if accelerator is None else "cuda"}
        settings = [{**each, **device} for each in self._settings]
        doubt = replace(self.doubt, level=math.hypot(self.doubt.level, there.deviation))
        room = self.room if accelerator is None else replace(self.room, workers=1, accelerators=1)
        return self._priced(settings, usage, billing, doubt, room).outlay, there.basis

    def dearest(self, priced: Priced, trials: int) -> Bound:
        """So many times the dearest training, and what comes before: a bound that rests on past runs."""
        off = math.exp(_LIKELY * math.hypot(self.doubt.each, self.doubt.level))
        fixed, trials = priced.fixed, int(min(trials, self._plan.space.size))
        usd = fixed.usd * off + fixed.data_usd + trials * float(priced.pool.usd.max()) * off
        return Bound(f"{trials:,} trials, each as dear as the dearest is expected to be", usd)


def _settings(space: SearchSpace, *, in_order: bool) -> Sequence[Settings]:
    """The settings of a space where they are few, or are to be tried in their order; else some, drawn evenly."""
    if space.size <= (MOST_LISTED if in_order else DRAWS):
        return list(space.combinations())
    random, cube = np.random.default_rng(0), UnitCube(space)
    return [cube.draw(random) for _ in range(DRAWS)]
