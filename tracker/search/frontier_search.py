"""The search that spends each dollar where it moves the frontier most.

Each step starts a trial, or resumes a paused one until its training has cost twice as much: rungs are levels of money.
For each choice, learning-curve extrapolation predicts what the trial would reach after one, two, … further doublings,
and at what price. The acquisition is the expected growth of the hypervolume per dollar, at the best horizon (the idea
of the index of Gittins, J. R. Statist. Soc. B 41, 1979); the highest one wins. Forecasts at each rung are trusted as
far as earlier ones came true. Four other rules do not depend on forecasts: the first trials are drawn evenly and
trained far enough to tell settings apart; some steps go to trials that rank high among those as deep, as in successive
halving; a share of the dollars trains uniformly drawn settings to their end, because learning curves cross; and while
the frontier stands still, every other step starts a trial that is drawn evenly.

Here the parts meet: what is known (knowledge, fitted_models), what it is worth (reached_frontier, valuation, choices),
what limits it (limits, budget.Allowance) and who chooses (policies).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from tracker.records import QualityMetric, Settings, TrialState
from tracker.search.agreement import Agreement
from tracker.search.budget import Allowance
from tracker.search.candidates import Candidates
from tracker.search.choices import Choices
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import Standing
from tracker.search.fitted_models import FittedModels
from tracker.search.knowledge import Knowledge
from tracker.search.limits import Limits
from tracker.search.measures import Measures
from tracker.search.new_trials import NewTrials
from tracker.search.objectives import Objective
from tracker.search.outcomes import OpenSteps
from tracker.search.overruns import Overruns
from tracker.search.policies.by_forecast import ByForecast
from tracker.search.policies.by_rank import ByRank
from tracker.search.policies.deep import Deep
from tracker.search.policies.enough import Enough
from tracker.search.policies.explore import MOVES, Explore
from tracker.search.policies.first_trials import FIRST_TRIALS, FirstTrials
from tracker.search.policies.policy import Decision, Ending, Policy, Situation
from tracker.search.policies.standstill import Standstill
from tracker.search.policies.survey import Survey
from tracker.search.policies.to_the_end import ToTheEnd
from tracker.search.reached_frontier import ReachedFrontier
from tracker.search.sampler import Sampling, Trials
from tracker.search.steps import Step
from tracker.search.trust import Trust
from tracker.search.valuation import Valuation
from tracker.study.space import SearchSpace
from tracker.study.spec import Limit

_HOPELESS = 3.0  # standard deviations: what adds nothing even if it were so much better can no longer matter


class FrontierSearch:
    """A searcher (search.steps.Searcher) that pauses trials and resumes those that can move the frontier.

    ``trials`` is the study in Optuna, which records every trial; ``sampling`` makes the Optuna sampler whose
    suggestions are among the candidates. ``objectives`` are two to four, the study's quality first. ``reference`` has
    values of the reference point; missing ones are frozen once the first trials have a checkpoint. ``limits`` are on
    reported metrics and on peak_memory_bytes. ``last_step`` is where the study says that trainings end
    (search.ends.Ends). Where the hypervolume stands still, and is expected to grow by less than ``least_growth`` of
    itself with all that is left, the search ends; never at 0. Where ``trials_limited``, none is spent on drawing evenly
    while the frontier stands still: dollars are not what is scarce. ``notify`` receives messages for people.
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
        least_growth: float = 0.0,
        trials_limited: bool = False,
        seed: int = 0,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self.closed = ""
        self._trials = trials
        self._seed = seed
        self._steps = 0
        self._threads = ThreadpoolController()
        measures, cube = Measures(quality, objectives, Limits(limits)), UnitCube(space)
        self._knowledge = known = Knowledge(cube, Ends(last_step), measures)
        self._fitted = fitted = FittedModels(known)
        self._agreement = Agreement(known, notify)
        self._reached = ReachedFrontier(measures, reference, notify)
        self._valuation = valuation = Valuation(measures, self._reached)
        self._trust = Trust()
        self._open = OpenSteps()
        self._overruns = Overruns()
        self._recalled: dict[str, Any] = {}
        candidates = Candidates(space, cube, trials.tried, sampling, seed)
        self._new = NewTrials(candidates, known, fitted, valuation, seed)
        choices = Choices(known, fitted, valuation, self._trust)
        self._first = FirstTrials(known, trials.tried)
        self._deep = Deep(known, choices, seed)
        self._by_forecast = by_forecast = ByForecast(known, fitted, valuation, choices, self._new)
        self._standstills = {
            "standstill": (still := Standstill(known, valuation, MOVES)),
            "enough": (still_enough := Standstill(known, valuation, least_growth)),
        }
        self._policies: Sequence[Policy] = (
            Enough(still_enough, by_forecast, least_growth),
            Survey(known, choices, candidates),
            self._deep,
            *(() if trials_limited else (Explore(still, choices, candidates),)),
            ByRank(known, valuation, choices, candidates),
            by_forecast,
            ToTheEnd(known, fitted, self._new, trials.tried),
        )

    @property
    def reference(self) -> Mapping[str, float] | None:
        """The reference point of the hypervolume, by objective; None before it is frozen."""
        return self._reached.reference

    def memory(self) -> dict[str, Any]:
        """The frozen reference point, how far forecasts of gains and costs came true, the trials drawn to be trained
        to their end, when the frontier last moved, whether trials of earlier studies count, and after how many of its
        own they were dropped.
        """
        if self.reference is None:
            return self._recalled
        return {
            "reference": dict(self.reference),
            "trust": self._trust.memory(),
            "deep": self._deep.memory(),
            **{name: each.memory() for name, each in self._standstills.items()},
            "overruns": self._overruns.memory(),
            "alone_from": self._knowledge.alone_from,
            "counted": self._knowledge.counted,
        }

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Restore what ``memory`` returned."""
        self._recalled = dict(memory)
        self._reached.recall(memory.get("reference", {}))
        self._trust.recall(memory.get("trust", {}))
        self._deep.recall(memory.get("deep", ()))
        for name, each in self._standstills.items():
            each.recall(memory.get(name, {}))
        self._overruns.recall(memory.get("overruns", ()))
        if (alone_from := memory.get("alone_from")) is not None:
            self._knowledge.drop_elsewhere(alone_from)
        self._knowledge.counted_before = bool(memory.get("counted"))

    # Outcomes of steps.

    def register(self, trial: int, settings: Settings) -> None:
        """Register a trial that was started before; its checkpoints, pauses and end are reported after this."""
        self._knowledge.register(trial, settings)
        self._new.take(settings)

    def warm_start(
        self, settings: Settings, checkpoints: Sequence[tuple[int, Mapping[str, float]]], failure: str = ""
    ) -> None:
        """Warm start from a trial of an earlier study of the same space: evidence, but no point of this frontier.

        It counts once the study's own first trials agree with such evidence, and as long as they do.
        """
        self._knowledge.warm_start(settings, checkpoints, failure)

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record a trial's checkpoint. Without a finite value of each objective it is no point of the frontier."""
        known = self._knowledge.reached(trial, epoch, values)
        if known is not None:
            self._open.came(trial, self._reached.add(known))
            if self._reached.frozen:
                self._look()

    def _look(self) -> None:
        for each in self._standstills.values():
            each.look()

    def paused(self, trial: int, price_usd: float) -> None:
        """Mark a trial as paused; Optuna has no such state, so there it stays running, with a note."""
        self._knowledge.paused(trial, price_usd)
        self._settle(trial, price_usd)
        self._note(trial, TrialState.PAUSED)

    def moved(self, trial: int, usd_ratio: float, seconds_ratio: float) -> None:
        """Expect further epochs of a trial to cost, and to take, so many times as much as those until now."""
        self._knowledge.trials[trial].move(usd_ratio, seconds_ratio)

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Mark a trial as ended; Optuna gets its true values where it was completed."""
        self._knowledge.ended(trial, state, price_usd, reason)
        self._settle(trial, price_usd)
        self._note(trial, state)
        facts = self._knowledge.trials[trial]
        values = self._knowledge.measures.by_objective(facts, facts.latest, facts.costs) if facts.reported else None
        self._trials.tell(trial, state, None if values is None else [*values.values()])

    def _settle(self, trial: int, price_usd: float) -> None:
        outcome = self._open.settle(trial, price_usd)
        if outcome is not None:
            self._trust.learn(outcome)
            self._overruns.learn(outcome.expected_usd, outcome.usd)

    def _note(self, trial: int, state: TrialState) -> None:
        facts = self._knowledge.trials[trial]
        notes = {"tracker.state": state.value, "epoch": facts.epoch, "price_usd": facts.price_usd}
        self._trials.note(trial, notes)

    # The next step.

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """The step to take next; None where nothing fits in ``left_usd``.

        Raises RequestError for a reference point that no checkpoint can beat.
        """
        now = self._situation(left_usd, new_trials, live_trial)
        # One thread: the cores belong to the trainings, and matrices this small do not gain from more.
        with self._threads.limit(limits=1):
            policy, answer = self._answer(now)
            if isinstance(answer, Ending):
                self.closed = answer.why
                return None
            return self._step(policy, answer)

    def stay(self, live_trial: int, left_usd: float, rival: Step) -> Step | None:
        """A further step of a paused trial whose process is alive, where it is worth more than ``rival``.

        It is one of the first trials that will be trained further anyway, or its acquisition is higher.
        """
        now = self._situation(left_usd, False, live_trial)
        if live_trial not in now.waiting:
            return None
        with self._threads.limit(limits=1):
            if first := self._first.stays(now):
                return self._step(self._first, first)
            if not self._fitted.fitted:
                return None
            alone = replace(now, waiting=[live_trial])
            decision = self._by_forecast.stays(alone, rival.numbers.get("expected_gain_per_usd", math.inf))
            return self._step(self._by_forecast, decision) if decision else None

    def _situation(self, left_usd: float, new_trials: bool, live_trial: int | None) -> Situation:
        self._steps += 1
        known = self._knowledge
        allowance = Allowance(left_usd, new_trials and not self._trials.tried.all, self._overruns.factor)
        random = np.random.default_rng([self._seed, known.observed, self._steps])
        return Situation(allowance, known.waiting, random, live_trial)

    def _answer(self, now: Situation) -> tuple[Policy, Decision | Ending]:
        """The answer of the first policy that has one. All but the first trials are chosen by models."""
        self._agreement.judge()
        if first := self._first.choose(now):
            return self._first, first
        if not self._reached.frozen:
            self._reached.freeze(self._knowledge.priced)
            self._look()
        if self._fitted.refit():
            self._new.learn()
        answers = ((policy, policy.choose(now)) for policy in self._policies)
        return next((policy, answer) for policy, answer in answers if answer is not None)

    def _step(self, policy: Policy, decision: Decision) -> Step:
        """Take a decision: create its trial, or resume it."""
        self.closed = ""
        trial, settings = decision.trial, decision.settings
        if trial is None:
            suggestion = self._trials.ask() if settings is None else self._trials.open(settings)
            trial, settings = suggestion.trial, suggestion.settings
            self.register(trial, settings)
        else:
            self._knowledge.trials.stands(trial, Standing.RUNNING)
        self._open.start(trial, policy.name, decision.rung, decision.expected_gain, decision.expected_usd)
        facts = self._knowledge.trials[trial]
        return Step(
            trial,
            facts.settings,
            decision.until_usd,
            decision.expected_usd,
            decision.why,
            decision.numbers,
            math.inf if decision.past_its_end else facts.last_epoch,
        )

    def prospects(self) -> Mapping[int, float]:
        """For each paused trial, the most that a dollar spent on it could add, by an optimistic forecast.

        0 means that it can no longer move the frontier; no trial gets 0 before there is enough evidence.
        """
        known = self._knowledge
        waiting, none = known.waiting, dict.fromkeys(known.too_large, 0.0)
        if not (self._fitted.fitted and waiting):
            return dict.fromkeys(waiting, 1.0) | none
        forecast = self._fitted.outlook.of_trials(known.of(waiting))
        most = (self._valuation.added_if(forecast, _HOPELESS) / forecast.cost_usd).max(axis=1)
        if len(known.trials) < 2 * FIRST_TRIALS:
            most = np.maximum(most, 1e-12)
        return dict(zip(waiting, map(float, most), strict=True)) | none
