"""The step with the highest acquisition: the expected growth of the hypervolume per dollar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.search.choices import Choice, Choices
from tracker.search.fitted_models import FittedModels
from tracker.search.knowledge import Knowledge
from tracker.search.new_trials import NewTrials
from tracker.search.policies.policy import Decision, Situation
from tracker.search.trust import rungs
from tracker.search.valuation import Valuation

_LOOKED_AT, _NEW_LOOKED_AT = 40, 24
"""How many paused trials and new settings get a full forecast: those that are best by an optimistic one."""
_OPTIMISM = 2.0  # standard deviations
_NOTHING = 1e-9  # of the box per dollar: less counts as nothing


class ByForecast:
    """Takes the step of highest acquisition among all paused trials and new ones.

    Where no step is expected to grow the hypervolume, it starts the new trial that may come nearest to the frontier.
    """

    name = "by_forecast"

    def __init__(
        self, knowledge: Knowledge, fitted: FittedModels, valuation: Valuation, choices: Choices, new: NewTrials
    ) -> None:
        self._knowledge = knowledge
        self._fitted = fitted
        self._valuation = valuation
        self._choices = choices
        self._new = new
        self._latest: tuple[Situation, list[Choice]] | None = None

    def choose(self, now: Situation) -> Decision | None:
        """The best step; None where none fits."""
        choices = self.choices(now)
        if not choices:
            return None
        choice, why = _best(choices)
        runner_up = max((other for other in choices if other is not choice), key=_rate, default=None)
        return Decision.of(choice, why, now.allowance, runner_up)

    def stays(self, now: Situation, rival_gain_per_usd: float) -> Decision | None:
        """The live trial's next step, where its acquisition is higher than a rival's; the only one that is waiting."""
        choices = self._to_resume(now)
        if not choices or choices[0].gain_per_usd <= rival_gain_per_usd:
            return None
        why = "a dollar brings more here than for what waits for the cores: its process is alive"
        return Decision.of(choices[0], why, now.allowance)

    def choices(self, now: Situation) -> list[Choice]:
        """The steps that fit, those that are best by an optimistic forecast: of paused trials, and of new ones.

        Who asks again about the same situation gets the same ones.
        """
        if self._latest is None or self._latest[0] is not now:
            choices = self._to_resume(now)
            if now.allowance.new_trials:
                choices += self._to_start(now)
            self._latest = now, choices
        return self._latest[1]

    def _to_resume(self, now: Situation) -> list[Choice]:
        waiting = now.waiting
        if not waiting:
            return []
        trials = self._knowledge.trials
        warm = trials[now.live_trial] if now.live_trial is not None else None
        forecast = self._fitted.outlook.of_trials(self._knowledge.of(waiting), warm)
        if len(waiting) > _LOOKED_AT:
            optimistic = self._valuation.added_if(forecast, _OPTIMISM) / forecast.cost_usd
            optimistic = np.where(now.allowance.covers(forecast.cost_usd), optimistic, -1.0).max(axis=1)
            order = np.argsort(-optimistic, kind="stable")
            at = rungs([trials[trial].price_usd for trial in waiting], self._fitted.cheapest_usd)[order]
            _, best_of_rung = np.unique(at, return_index=True)
            kept = np.union1d(order[:_LOOKED_AT], order[best_of_rung])
            if now.live_trial in waiting:
                kept = np.union1d(kept, [waiting.index(now.live_trial)])
            waiting, forecast = [waiting[index] for index in kept], forecast.of(kept)
        return self._choices.to_resume(waiting, forecast, now.allowance)

    def _to_start(self, now: Situation) -> list[Choice]:
        untried = self._new.untried()
        if untried is None:
            return []
        settings, forecast = untried
        optimistic = (self._valuation.added_if(forecast, _OPTIMISM) / forecast.cost_usd).max(axis=1)
        kept = np.argsort(-optimistic, kind="stable")[:_NEW_LOOKED_AT]
        return self._choices.to_start([settings[index] for index in kept], forecast.of(kept), now.allowance)


def _best(choices: Sequence[Choice]) -> tuple[Choice, str]:
    first = max(choices, key=_rate)
    new = [choice for choice in choices if choice.trial is None]
    if first.gain_per_usd < _NOTHING and new:
        return max(new, key=lambda choice: choice.near), "no step is expected to grow the hypervolume: explore"
    return first, "highest acquisition: no other step is expected to grow the hypervolume as much per dollar"


def _rate(choice: Choice) -> float:
    return choice.gain_per_usd
