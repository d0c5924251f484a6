"""The search that spends each dollar where it moves the frontier most.

Each step starts a trial, or resumes a paused one until its training has cost twice as much: rungs are levels of money.
For each choice, learning-curve extrapolation predicts what the trial would reach after one, two, … further doublings,
and at what price. The acquisition is the expected growth of the hypervolume per dollar, at the best horizon (the idea
of the index of Gittins, J. R. Statist. Soc. B 41, 1979); the highest one wins. Forecasts at each rung are trusted as
far as earlier ones came true. Two other rules do not depend on forecasts: some steps go to trials that rank high among
those as deep, as in successive halving; and a share of the dollars trains uniformly drawn settings to their end,
because learning curves cross.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from tracker.errors import RequestError
from tracker.records import Direction, QualityMetric, Settings, TrialState
from tracker.search.candidates import Candidates
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import Standing, TrialFacts
from tracker.search.features import Array
from tracker.search.known_trials import KnownTrials
from tracker.search.objectives import GROWING, LEAST_COST, PREDICTION_PRICE, Frontier, Objective
from tracker.search.outlook import DOUBLINGS, Forecast, Outlook
from tracker.search.ranks import Ranks
from tracker.search.sampler import Sampling, Trials
from tracker.search.steps import Step
from tracker.search.tried import NONE_LEFT
from tracker.search.trust import Trust
from tracker.study.space import SearchSpace
from tracker.study.spec import COSTS, Limit

FIRST_TRIALS = 8
"""How many trials start before the models are fitted."""
RANK_SHARE = 0.3
"""How often a step is chosen by rank; else by forecast."""
DEEP_SHARE = 0.15
"""The share of the dollars that trains uniformly drawn settings to their end, whatever their forecast."""
_LOOKED_AT, _NEW_LOOKED_AT = 40, 24
"""How many paused trials and new settings get a full forecast: those that are best by an optimistic one."""
_REFIT_GROWTH, _RETEACH_GROWTH = 1.06, 1.15
"""How much more must have been observed before the models, and the sampler, are fitted again."""
_RANKED = 2  # doublings of the depth between two rankings: the first 1 / 2^2 of a rank are promoted
_NOTHING = 1e-9  # of the box per dollar: less counts as nothing
_LIKELY = 1.645  # standard deviations: nine in ten forecasts, if they are right, come true within
_OPTIMISM, _HOPELESS = 2.0, 3.0  # standard deviations
_LARGEST = 1e100  # larger values are clipped to it: its square is still finite
_OPEN_ENDED = 100.0  # a reference for costs without a budget: so many times the dearest first checkpoint


@dataclass(frozen=True, slots=True)
class _Choice:
    """A possible step: resume a paused trial, or start a new one where ``trial`` is None."""

    trial: int | None
    settings: Settings
    rung: int
    until_depth: float
    step_usd: float
    further_usd: float
    step_gain: float
    gain_per_usd: float
    near: float
    numbers: Mapping[str, Any]


class FrontierSearch:
    """A searcher (search.steps.Searcher) that pauses trials and resumes those that can move the frontier.

    ``trials`` is the study in Optuna, which records every trial; ``sampling`` makes the Optuna sampler whose
    suggestions are among the candidates. ``objectives`` are two to four, the study's quality first. ``reference`` has
    values of the reference point; missing ones are frozen once the first trials have a checkpoint. ``limits`` are on
    reported metrics and on peak_memory_bytes. ``last_step`` is where the study says that trainings end
    (search.ends.Ends). ``notify`` receives messages for people.
    """

    def __init__(
        self,
        trials: Trials,
        space: SearchSpace,
        quality: QualityMetric,
        objectives: Sequence[Objective],
        *,
        sampling: Sampling,
        reference: Mapping[str, float],
        limits: Sequence[Limit] = (),
        last_step: int | str | None = None,
        seed: int = 0,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self.closed = ""
        self._notify = notify
        self._trials = trials
        self._cube = UnitCube(space)
        self._ends = Ends(last_step)
        self._quality = quality
        self._objectives = objectives
        self._given = dict(reference)
        self._recalled: dict[str, Any] = {}
        self._limits = [limit for limit in limits if limit.metric != "peak_memory_bytes"]
        bounds = [limit.high for limit in limits if limit.metric == "peak_memory_bytes" and limit.high is not None]
        self._memory_limit_bytes = min(bounds, default=math.inf)
        self._seed = seed
        directions = {quality.name: quality.direction, **{each.name: each.direction for each in objectives}}
        for limit in self._limits:  # the side that it is bounded on gives its direction
            directions.setdefault(limit.metric, Direction.MINIMIZE if limit.low is None else Direction.MAXIMIZE)
        self._directions = {name: way for name, way in directions.items() if name not in COSTS}
        self._metrics = list(self._directions)
        # A limited metric that is not reported counts as outside of its limit.
        self._outside = {limit.metric: limit.outside for limit in self._limits}
        self._known = KnownTrials()
        self._candidates = Candidates(space, self._cube, trials.tried, sampling, seed)
        self._elsewhere: list[TrialFacts] = []
        self._frontier: Frontier | None = None
        self._awaited: Frontier | None = None  # measured from the given reference, while no point beats it
        self._reached: list[Mapping[str, float]] = []  # until the frontier's reference is frozen
        self._observed = 0
        self._fitted_with = 0
        self._taught_with = 0
        self._outlook: Outlook | None = None
        self._new: tuple[Mapping[str, Settings], Forecast] | None = None  # by their keys
        self._steps = 0
        self._trust = Trust()
        self._deep: set[int] = set()
        self._ranks = Ranks(1 / 2**_RANKED)
        self._threads = ThreadpoolController()

    @property
    def reference(self) -> Mapping[str, float] | None:
        """The reference point of the hypervolume, by objective; None before it is frozen."""
        frontier = self._awaited or self._frontier
        return frontier.reference if frontier else None

    def memory(self) -> dict[str, Any]:
        """The frozen reference point, how far forecasts came true, and the trials drawn to be trained to their end."""
        if self.reference is None:
            return self._recalled
        return {"reference": dict(self.reference), "trust": self._trust.memory(), "deep": sorted(self._deep)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Restore what ``memory`` returned."""
        self._recalled = dict(memory)
        self._trust = Trust(memory.get("trust"))
        self._deep = set(memory.get("deep", ()))

    # Outcomes of steps.

    def register(self, trial: int, settings: Settings) -> None:
        """Register a trial that was started before; its checkpoints, pauses and end are reported after this."""
        self._known.add(trial, TrialFacts.of(settings, self._cube, self._ends))
        self._candidates.take(settings)

    def warm_start(
        self, settings: Settings, checkpoints: Sequence[tuple[int, Mapping[str, float]]], failure: str = ""
    ) -> None:
        """Warm start from a trial of an earlier study of the same space: evidence, but no point of this frontier."""
        facts = TrialFacts.of(settings, self._cube, self._ends, Standing.ELSEWHERE)
        facts.failure = failure
        for epoch, values in checkpoints:
            self._observe(facts, epoch, values)
        if facts.reported or failure:
            self._elsewhere.append(facts)

    def _observe(self, facts: TrialFacts, epoch: int, values: Mapping[str, float]) -> Mapping[str, float] | None:
        """Record a checkpoint and return its values; None where an objective has no value: it only costs."""
        known = {name: min(max(each, -_LARGEST), _LARGEST) for name, each in values.items() if math.isfinite(each)}
        if not all(each.name in known for each in self._objectives):
            facts.spend(known)
            return None
        self._observed += facts.observe(epoch, {**self._outside, **known}, self._metrics, self._quality)
        return known

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record a trial's checkpoint. Without a finite value of each objective it is no point of the frontier."""
        known = self._observe(self._known[trial], epoch, values)
        self._known.priced(trial)
        if known is None:
            return
        keeps = all(limit.excess(known.get(limit.metric, math.nan)) <= 0 for limit in self._limits)
        if keeps and known.get("peak_memory_bytes", 0.0) <= self._memory_limit_bytes:
            if self._frontier is None:
                self._reached.append(known)
            else:
                gains = self._frontier.gains([known])
                self._trust.came(trial, float(self._frontier.added(self._frontier.reaches(gains))[0]))
                self._frontier.add(gains)
                self._add_awaited(known)

    def paused(self, trial: int, price_usd: float) -> None:
        """Mark a trial as paused; Optuna has no such state, so there it stays running, with a note."""
        self._stands(trial, Standing.PAUSED, price_usd)
        self._note(trial, TrialState.PAUSED)

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """Expect further epochs of a trial to cost, and to take, so many times as much as those until now."""
        self._known[trial].move(usd_ratio, seconds_ratio)

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Mark a trial as ended; Optuna gets its true values where it was completed."""
        facts = self._known[trial]
        self._stands(trial, Standing.ENDED, price_usd)
        if state is TrialState.FAILED:
            facts.failure = reason or "failed"
            self._observed += 1
        if state is TrialState.COMPLETED:
            facts.complete()
        self._note(trial, state)
        self._trials.tell(trial, state, self._values(facts, facts.latest, facts.costs) if facts.reported else None)

    def _note(self, trial: int, state: TrialState) -> None:
        facts = self._known[trial]
        notes = {"tracker.state": state.value, "epoch": facts.epoch, "price_usd": facts.price_usd}
        self._trials.note(trial, notes)

    def _stands(self, trial: int, standing: Standing, price_usd: float) -> None:
        facts = self._known[trial]
        self._known.stands(trial, standing)
        self._trust.settle(trial)
        if facts.reported:
            # What a trial cost is known at its end; until then it was an estimate, by the time of the last look.
            facts.costs[0] = price_usd if standing is Standing.ENDED else max(facts.costs[0], price_usd)
            self._known.priced(trial)

    def _values(self, facts: TrialFacts, metrics: Array, costs: Array) -> list[float]:
        by_name = {
            **dict(zip(self._metrics, metrics, strict=True)),
            **dict(zip(GROWING, costs, strict=True)),
            PREDICTION_PRICE: facts.prediction_usd,
        }
        return [float(by_name[each.name]) for each in self._objectives]

    # The next step.

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """The step to take next; None where nothing fits in ``left_usd``.

        Raises RequestError for a reference point that no checkpoint can beat.
        """
        # One thread: the cores belong to the trainings, and matrices this small do not gain from more.
        with self._threads.limit(limits=1):
            return self._next_step(left_usd, new_trials, live_trial)

    def _next_step(self, left_usd: float, new_trials: bool, live_trial: int | None) -> Step | None:
        self._steps += 1
        new_trials = new_trials and not self._trials.tried.all
        if new_trials and len(self._known) + len(self._elsewhere) < FIRST_TRIALS:
            return self._start_first(left_usd)
        if not any(facts.reported for facts in self._everyone()):
            if new_trials:
                return self._start_first(left_usd)
            return self._nothing(NONE_LEFT if self._trials.tried.all else "no trial has a checkpoint to resume from")
        self._freeze_reference()
        self._refit()
        random = np.random.default_rng([self._seed, self._observed, self._steps])
        waiting = self._waiting()
        if deep := self._at_depth(left_usd, waiting):
            return self._step(*deep, None, left_usd)
        if random.random() < RANK_SHARE and (found := self._by_rank(left_usd, waiting, random, new_trials=new_trials)):
            return self._step(*found, None, left_usd)
        choices = self._paused_choices(left_usd, waiting, live_trial)
        if new_trials:
            choices += self._new_choices(left_usd)
        if not choices:
            return self._to_the_end(left_usd, new_trials=new_trials)
        choice, why = self._by_forecast(choices)
        runner_up = max((other for other in choices if other is not choice), key=_rate, default=None)
        return self._step(choice, why, runner_up, left_usd)

    def prospects(self) -> Mapping[int, float]:
        """For each paused trial, the most that a dollar spent on it could add, by an optimistic forecast.

        0 means that it can no longer move the frontier; no trial gets 0 before there is enough evidence.
        """
        paused, none = self._waiting(), dict.fromkeys(self._too_large(), 0.0)
        if self._outlook is None or self._frontier is None or not paused:
            return dict.fromkeys(paused, 1.0) | none
        forecast = self._outlook.of_trials([self._known[trial] for trial in paused])
        most = (self._added(forecast, _HOPELESS) / forecast.cost_usd).max(axis=1)
        if len(self._known) < 2 * FIRST_TRIALS:
            most = np.maximum(most, 1e-12)
        return dict(zip(paused, map(float, most), strict=True)) | none

    def _waiting(self) -> list[int]:
        return [trial for trial in self._paused() if self._known[trial].memory_bytes <= self._memory_limit_bytes]

    def _too_large(self) -> list[int]:
        """The paused trials that exceeded the memory limit: they can no longer matter."""
        return [trial for trial in self._paused() if self._known[trial].memory_bytes > self._memory_limit_bytes]

    def _paused(self) -> list[int]:
        known = ((trial, self._known[trial]) for trial in self._known.paused)
        return [trial for trial, facts in known if facts.reported and facts.epoch < facts.last_epoch]

    def _start_first(self, left_usd: float) -> Step | None:
        prices = [facts.first_usd for facts in self._everyone() if facts.reported]
        if prices and min(prices) > left_usd:
            return self._nothing(
                f"the cheapest step, to a first checkpoint for ${min(prices):.4g}, does not fit in ${left_usd:.4g}"
            )
        suggestion = self._trials.ask()
        self.register(suggestion.trial, suggestion.settings)
        expected_usd = float(np.median(prices)) if prices else 0.0
        why = f"one of the first {FIRST_TRIALS} trials, which the search learns from"
        facts = self._known[suggestion.trial]
        expected_usd = min(expected_usd, left_usd)
        return Step(
            suggestion.trial, suggestion.settings, 0.0, expected_usd, why, {"by": "start"}, last_epoch=facts.last_epoch
        )

    def _nothing(self, why: str) -> Step | None:
        self.closed = why
        return None

    def _everyone(self) -> list[TrialFacts]:
        return [*self._elsewhere, *self._known.values()]

    def _freeze_reference(self) -> None:
        if self._frontier is not None:
            return
        known = [facts for facts in self._everyone() if facts.reported]
        seen = {}
        first = [facts.at(0) for facts in known]
        for each in self._objectives:
            if each.name in self._metrics:
                values = [depth.metrics[self._metrics.index(each.name)] for depth in first]
                worst = min(values) if each.direction is Direction.MAXIMIZE else max(values)
            elif each.name == PREDICTION_PRICE:
                worst = _OPEN_ENDED * max(LEAST_COST, *(facts.prediction_usd for facts in known))
            else:
                costs = [float(depth.costs[GROWING.index(each.name)]) for depth in first]
                worst = _OPEN_ENDED * max(LEAST_COST, *costs)
                self._check_reference(each.name, self._given.get(each.name, worst), min(costs))
            seen[each.name] = float(worst)
        wanted = {**seen, **self._given, **self._recalled.get("reference", {})}
        self._frontier = Frontier(self._objectives, wanted)
        self._frontier.add(self._frontier.gains(self._reached))
        if self._frontier.empty and (beyond := self._given.keys() & seen.keys() - set(GROWING)):
            self._awaited = self._frontier
            self._frontier = Frontier(self._objectives, {**wanted, **{name: seen[name] for name in beyond}})
            self._frontier.add(self._frontier.gains(self._reached))
            if self._notify:
                given = " and ".join(f"search.reference.{name} = {self._given[name]:g}" for name in sorted(beyond))
                self._notify(
                    f"no checkpoint beats {given} yet: until one does, the hypervolume is measured from the "
                    "worst values seen"
                )
        self._reached = []

    def _add_awaited(self, values: Mapping[str, float]) -> None:
        """Enter a point that may be the first to beat the given reference; from then on that is the reference point."""
        if self._awaited is not None:
            self._awaited.add(self._awaited.gains([values]))
            if not self._awaited.empty:
                self._frontier, self._awaited = self._awaited, None
                self._ranks = Ranks(1 / 2**_RANKED)  # the old ranks were measured from another reference

    def _check_reference(self, name: str, reference: float, lowest: float) -> None:
        if reference <= lowest:
            raise RequestError(
                f"search.reference.{name}: {reference:.4g} lies inside the frontier: no checkpoint so far took less "
                f"than {lowest:.4g}; allowed: more than that"
            )

    def _refit(self) -> None:
        if self._outlook is not None and self._observed < _REFIT_GROWTH * self._fitted_with:
            return
        assert self._frontier is not None
        everyone = self._everyone()
        self._cheapest_usd = max(LEAST_COST, min(facts.first_usd for facts in everyone if facts.reported))
        self._outlook = Outlook(
            everyone, self._cube, self._directions, self._limits, self._memory_limit_bytes, self._ends, self._outlook
        )
        self._fitted_with = self._observed
        if self._observed >= _RETEACH_GROWTH * self._taught_with:
            self._taught_with = self._observed
            tried = [facts for facts in everyone if facts.reported]
            self._candidates.learn([facts.settings for facts in tried], self._closeness(tried), self._observed)
        self._look_for_new()

    def _look_for_new(self) -> None:
        """Candidates for new trials, with their forecast."""
        assert self._outlook is not None
        settings = self._candidates.look(np.random.default_rng([self._seed, self._observed, len(self._known)]))
        self._new = (settings, self._outlook.of_settings([*settings.values()])) if settings else None

    def _closeness(self, trials: Sequence[TrialFacts]) -> Array:
        """How near n trials are to the frontier, or are expected to come, along M rays: [n, M]; 1 is on it."""
        assert self._frontier is not None and self._outlook is not None
        forecast = self._outlook.of_trials(trials)
        ahead = self._reaches(forecast, self._all_off(0.0))[:, 0].max(axis=1)
        gains = self._gains([(facts, facts.metrics, facts.costs) for facts in trials])
        return self._frontier.closeness(np.maximum(ahead, self._frontier.reaches(gains)))

    # Acquisition.

    def _reaches(self, forecast: Forecast, deviations: Array) -> Array:
        """How far the frontier would reach along each ray if metrics were this many deviations [S, K] off their
        forecasts.

        For n choices at J horizons and L rays: [n, S, J, L].
        """
        assert self._frontier is not None
        count, horizons = forecast.depths.shape
        gains = np.empty((count, len(deviations), horizons, len(self._objectives)))
        for column, each in enumerate(self._objectives):
            reference = self._frontier.reference[each.name]
            if each.name in self._metrics:
                index = self._metrics.index(each.name)
                # Other metrics are not assumed to be lucky together with quality: their outcomes are permuted.
                dealt = deviations[:, index] if index == 0 else np.roll(deviations[::-1, index], index)
                values = forecast.values(index, dealt)
                gains[..., column] = each.gain(values, reference)
            elif each.name == PREDICTION_PRICE:
                gains[..., column] = each.gain(forecast.prediction_usd, reference)[:, None, None]
            else:
                gains[..., column] = each.gain(forecast.costs[:, None, :, GROWING.index(each.name)], reference)
        reaches: Array = self._frontier.reaches(gains)
        for horizon in range(1, horizons):  # earlier horizons count too
            np.maximum(reaches[:, :, horizon], reaches[:, :, horizon - 1], out=reaches[:, :, horizon])
        return reaches

    def _all_off(self, deviations: float) -> Array:
        """One outcome in which all metrics are this many deviations better than expected."""
        return np.full((1, len(self._metrics)), deviations)

    def _added(self, forecast: Forecast, deviations: float) -> Array:
        """The growth of the hypervolume [n, J] up to each horizon if all metrics were that much better."""
        assert self._frontier is not None
        added: Array = self._frontier.added(self._reaches(forecast, self._all_off(deviations)))[:, 0] * forecast.sound
        return added

    def _paused_choices(self, left_usd: float, waiting: list[int], live_trial: int | None) -> list[_Choice]:
        assert self._outlook is not None
        if not waiting:
            return []
        facts = [self._known[trial] for trial in waiting]
        warm = self._known[live_trial] if live_trial is not None else None
        forecast = self._outlook.of_trials(facts, warm)
        if len(waiting) > _LOOKED_AT:
            optimistic = self._added(forecast, _OPTIMISM) / forecast.cost_usd
            optimistic = np.where(forecast.cost_usd <= left_usd, optimistic, -1.0).max(axis=1)
            order = np.argsort(-optimistic, kind="stable")
            rungs = self._rungs([each.price_usd for each in facts])[order]
            _, best_of_rung = np.unique(rungs, return_index=True)
            kept = np.union1d(order[:_LOOKED_AT], order[best_of_rung])
            if live_trial in waiting:
                kept = np.union1d(kept, [waiting.index(live_trial)])
            waiting, facts, forecast = (
                [waiting[index] for index in kept],
                [facts[index] for index in kept],
                forecast.of(kept),
            )
        return self._choices(forecast, left_usd, [each.settings for each in facts], waiting)

    def _new_choices(self, left_usd: float) -> list[_Choice]:
        assert self._outlook is not None
        if self._new is None or all(map(self._candidates.taken, self._new[0])):
            self._look_for_new()
        if self._new is None:
            return []
        fresh, forecast = self._new
        settings = [*fresh.values()]
        optimistic = (self._added(forecast, _OPTIMISM) / forecast.cost_usd).max(axis=1)
        optimistic[[self._candidates.taken(key) for key in fresh]] = -1.0
        kept = np.argsort(-optimistic, kind="stable")[:_NEW_LOOKED_AT]
        kept = kept[optimistic[kept] >= 0]
        return self._choices(forecast.of(kept), left_usd, [settings[index] for index in kept]) if len(kept) else []

    def _choices(
        self,
        forecast: Forecast,
        left_usd: float,
        settings: Sequence[Settings],
        trials: Sequence[int] | None = None,
    ) -> list[_Choice]:
        """The steps that fit in the remaining budget, each at its best horizon."""
        assert self._frontier is not None and self._outlook is not None
        reaches = self._reaches(forecast, forecast.futures)
        added = self._frontier.added(reaches).mean(axis=1) * forecast.sound
        near = self._frontier.closeness(reaches[:, -1]).max(axis=(1, 2)) * forecast.sound.max(axis=1)
        prices = [self._known[trial].price_usd for trial in trials or ()]
        rungs = self._rungs(prices) if prices else np.zeros(len(settings), dtype=np.int64)
        trust = np.array([self._trust.of(int(rung)) for rung in rungs])
        rates = np.where(forecast.cost_usd <= left_usd, trust[:, None] * added / forecast.cost_usd, -1.0)
        middle = forecast.values(0, np.zeros(1))[:, 0]
        likely = np.sort(forecast.values(0, np.array([-_LIKELY, _LIKELY])), axis=1)  # [n, 2, J]
        best = rates.argmax(axis=1)
        choices = []
        for index, horizon in enumerate(best):
            if forecast.cost_usd[index, 0] > left_usd:
                continue
            pace = self._known[trials[index]].pace if trials is not None else self._outlook.pace
            choices.append(
                _Choice(
                    trials[index] if trials is not None else None,
                    settings[index],
                    int(rungs[index]),
                    float(forecast.depths[index, 0]),
                    float(forecast.cost_usd[index, 0]),
                    float(forecast.further_usd[index]),
                    float(added[index, 0]),
                    float(rates[index, horizon]),
                    float(near[index]),
                    {
                        "trust": float(trust[index]),
                        "expected_gain": float(added[index, horizon]),
                        "expected_cost_usd": float(forecast.cost_usd[index, horizon]),
                        "at_epoch": pace.step(float(forecast.depths[index, horizon])),
                        f"expected_{self._quality.name}": float(middle[index, horizon]),
                        "likely_from": float(likely[index, 0, horizon]),
                        "likely_to": float(likely[index, 1, horizon]),
                        "price_then_usd": float(forecast.costs[index, horizon, 0]),
                    },
                )
            )
        return choices

    def _by_forecast(self, choices: Sequence[_Choice]) -> tuple[_Choice, str]:
        first = max(choices, key=_rate)
        new = [choice for choice in choices if choice.trial is None]
        if first.gain_per_usd < _NOTHING and new:
            return max(new, key=lambda choice: choice.near), "no step is expected to grow the hypervolume: explore"
        return first, "highest acquisition: no other step is expected to grow the hypervolume as much per dollar"

    def _at_depth(self, left_usd: float, waiting: Sequence[int]) -> tuple[_Choice, str] | None:
        """Where a deep trial is due: train the paused trial nearest to uniformly drawn settings to its end.

        Learning curves cross: a slow, expensive start may be best in the end, and only deep trials show it.
        """
        assert self._outlook is not None
        if not waiting:
            return None
        # Drawn once and kept until it is due: redrawing would favour cheap trials, which are due sooner.
        drawn = self._cube.draw(np.random.default_rng([self._seed, len(self._deep)]))
        points = np.stack([self._known[trial].point for trial in waiting])
        trial = waiting[int(((points - self._cube.points([drawn])) ** 2).sum(axis=1).argmin())]
        facts = self._known[trial]
        last_depth = min(facts.last_depth, facts.depth * 2.0**DOUBLINGS)
        forecast = self._outlook.of_trials([facts])
        more_usd = (last_depth - facts.depth) * float(forecast.further_usd[0]) + facts.start_usd
        spent_usd, deep_usd = self._known.spent_usd(), self._known.spent_usd(self._deep)
        if more_usd > left_usd or deep_usd + facts.price_usd + more_usd > DEEP_SHARE * (spent_usd + more_usd):
            return None
        (found,) = self._choices(forecast, left_usd, [facts.settings], [trial])
        self._deep.add(trial)
        why = f"{DEEP_SHARE:.0%} of the dollars train uniformly drawn settings to their end; this trial is nearest"
        return replace(found, until_depth=last_depth, step_usd=more_usd), why

    def _rungs(self, price_usd: Sequence[float]) -> NDArray[np.int64]:
        """The rungs [n] that trials have reached, from 1; each costs twice the one below. New trials have 0."""
        doublings = np.floor(np.log2(np.maximum(price_usd, self._cheapest_usd) / self._cheapest_usd)).astype(np.int64)
        return 1 + doublings

    def _by_rank(
        self, left_usd: float, waiting: Sequence[int], random: np.random.Generator, *, new_trials: bool
    ) -> tuple[_Choice, str] | None:
        """The step by observed values alone, without a forecast: a trial that ranks high among its peers, or a new one.

        Asynchronous successive halving (Li et al., MLSys 2020) by non-dominated rank (Schmucker et al., 2021): of the
        trials that came as deep, the first quarter is promoted until its training has cost four times as much.
        """
        assert self._frontier is not None and self._outlook is not None
        deepest = max((facts.level for facts in self._known.values()), default=-1)
        for level in range(deepest - deepest % _RANKED, -1, -_RANKED):
            peers = [trial for trial, facts in self._known.items() if facts.level >= level]
            first = self._ranks.first(level, peers, partial(self._gains_at, level))
            for trial in [each for each in waiting if each in first]:
                facts = self._known[trial]
                if facts.level >= level + _RANKED:
                    continue  # already promoted
                more = min(2.0 ** (level + _RANKED), facts.last_depth) - facts.depth
                forecast = self._outlook.of_trials([facts])
                step_usd = more * float(forecast.further_usd[0]) + facts.start_usd
                found = self._choices(forecast, left_usd, [facts.settings], [trial])
                if found and step_usd <= left_usd:
                    chosen = replace(found[0], until_depth=facts.depth + more, step_usd=step_usd)
                    there = f"after epoch {facts.at(level).epoch}"
                    return chosen, f"it ranks in the first quarter of {len(peers)} trials {there}"
        if not new_trials:
            return None
        if not (unseen := self._candidates.unseen(random)):
            return None
        forecast = self._outlook.of_settings([settings for settings, _ in unseen])
        # Each is accepted with the probability that it fits in memory, does not fail and keeps the limits.
        sound = np.flatnonzero(random.random(len(unseen)) < forecast.sound.max(axis=1))[:1]
        if not len(sound):
            return None
        settings, source = unseen[sound[0]]
        found = self._choices(forecast.of(sound), left_usd, [settings])
        return (found[0], f"no trial ranks high enough to be promoted; a new one, {source}") if found else None

    def _gains_at(self, level: int, trial: int) -> Array:
        """How much better than the reference point a trial was at ``level``: [D]."""
        facts = self._known[trial]
        depth = facts.at(level)
        gains: Array = self._gains([(facts, depth.metrics, depth.costs)])[0]
        return gains if self._keeps_limits(depth.metrics) else gains - np.inf

    def _keeps_limits(self, metrics: Array) -> bool:
        return all(limit.excess(metrics[self._metrics.index(limit.metric)]) <= 0 for limit in self._limits)

    def _gains(self, points: Sequence[tuple[TrialFacts, Array, Array]]) -> Array:
        """How much better than the reference point n trials are, with these metrics and costs: [n, D]."""
        assert self._frontier is not None
        names = [each.name for each in self._objectives]
        values = [self._values(facts, metrics, costs) for facts, metrics, costs in points]
        return self._frontier.gains([dict(zip(names, each, strict=True)) for each in values])

    def _step(self, choice: _Choice, why: str, runner_up: _Choice | None, left_usd: float) -> Step:
        self.closed = ""
        trial, settings = choice.trial, choice.settings
        if trial is None:
            suggestion = self._trials.open(settings)
            trial, settings = suggestion.trial, suggestion.settings
            self.register(trial, settings)
            if self._candidates.short:
                self._look_for_new()
        self._trust.promise(trial, choice.rung, choice.step_gain)
        facts = self._known[trial]
        until_usd: float | None = 0.0
        if choice.trial is not None:
            self._known.stands(trial, Standing.RUNNING)
            # A little less, so that the checkpoint that completes the step does not just miss it.
            until_usd = facts.price_usd + choice.step_usd - 0.3 * choice.further_usd
            if choice.until_depth >= facts.last_depth:
                until_usd = None
        numbers = {
            "left_usd": left_usd,
            "expected_step_usd": choice.step_usd,
            "expected_gain_per_usd": choice.gain_per_usd,
            **choice.numbers,
            "hypervolume": self._frontier.volume if self._frontier else 0.0,
        }
        if runner_up is not None:
            numbers |= {"next_best": runner_up.trial, "next_best_gain_per_usd": runner_up.gain_per_usd}
        return Step(trial, settings, until_usd, choice.step_usd, why, numbers, facts.last_epoch)

    def _to_the_end(self, left_usd: float, *, new_trials: bool) -> Step | None:
        """Where nothing else is left: finish a trial that is paused at its presumed last step."""
        for trial in self._known.paused:
            facts = self._known[trial]
            at_end = facts.reported and facts.epoch == facts.last_epoch
            if at_end and facts.start_usd <= left_usd and facts.memory_bytes <= self._memory_limit_bytes:
                self._known.stands(trial, Standing.RUNNING)
                self.closed = ""
                why = f"nothing else is left to do, and it is paused after epoch {facts.epoch}, where others ended"
                return Step(trial, facts.settings, None, facts.start_usd, why, {"left_usd": left_usd})
        return self._nothing(self._why_none(left_usd, new_trials))

    def _why_none(self, left_usd: float, new_trials: bool) -> str:
        assert self._outlook is not None
        costs = []
        if waiting := self._waiting():
            costs.append(self._outlook.of_trials([self._known[trial] for trial in waiting]).cost_usd[:, 0].min())
        if new_trials and self._new is not None:
            costs.append(self._new[1].cost_usd[:, 0].min())
        if costs and math.isfinite(left_usd):
            return f"no step fits in the ${left_usd:.4g} left: the cheapest is expected to cost ${min(costs):.4g}"
        return NONE_LEFT if self._trials.tried.all else "every trial has ended"


def _rate(choice: _Choice) -> float:
    return choice.gain_per_usd
