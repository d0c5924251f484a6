"""The parts of a search, without the search: made-up curves, and what is known, fitted and valued of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracker.records import Direction, QualityMetric
from tracker.search.agreement import Agreement
from tracker.search.budget import Allowance
from tracker.search.candidates import Candidates
from tracker.search.choices import Choices
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.fitted_models import FittedModels
from tracker.search.knowledge import Knowledge
from tracker.search.limits import Limits
from tracker.search.measures import Measures
from tracker.search.new_trials import NewTrials
from tracker.search.objectives import Objective
from tracker.search.policies.policy import Situation
from tracker.search.policies.standstill import Standstill
from tracker.search.reached_frontier import ReachedFrontier
from tracker.search.sampler import Sampling
from tracker.search.tried import Tried
from tracker.search.trust import Trust
from tracker.search.valuation import Valuation
from tracker.study.domains import Choices as OneOf
from tracker.study.domains import Range
from tracker.study.space import SearchSpace

ACCURACY = QualityMetric("accuracy", Direction.MAXIMIZE)
DIRECTIONS = {"accuracy": Direction.MAXIMIZE, "price_usd": Direction.MINIMIZE}
PLANE = [Objective(name, direction) for name, direction in DIRECTIONS.items()]
EPOCHS = 16
SPACE = SearchSpace({"epochs": EPOCHS}, {"cpu": {"rate": Range(1e-3, 1e-1, log=True), "width": OneOf((8, 16, 32, 64))}})


def reached(settings, epoch):
    """A made-up curve: wider is better in the end, slower at first and dearer; the rate has an optimum."""
    width = math.log2(settings["width"]) / 6
    best = 0.6 + 0.35 * width - 0.15 * abs(math.log10(settings["rate"]) + 2)
    accuracy = best * (1 - 2 ** (-epoch / (0.5 + 3 * width)))
    price_usd = 1e-4 * settings["width"] / 8 * epoch
    return {"accuracy": accuracy, "price_usd": price_usd, "wall_seconds": 1e3 * price_usd, "peak_memory_bytes": 1e6}


def settings_of(width=8, rate=0.01):
    return {"device": "cpu", "epochs": EPOCHS, "width": width, "rate": rate}


@dataclass
class Parts:
    """What a search consists of, beside its policies."""

    knowledge: Knowledge
    agreement: Agreement
    fitted: FittedModels
    reached: ReachedFrontier
    valuation: Valuation
    trust: Trust
    choices: Choices
    tried: Tried
    candidates: Candidates
    new: NewTrials

    def train(self, trial, settings, epochs, outcome=reached):
        """A trial that is trained so far, and paused."""
        self.knowledge.register(trial, settings)
        self.new.take(settings)
        return self.resume(trial, 1, epochs, outcome)

    def resume(self, trial, first, epochs, outcome=reached):
        """Its further epochs; it is paused after the last."""
        settings = self.knowledge.trials[trial].settings
        for epoch in range(first, epochs + 1):
            known = self.knowledge.reached(trial, epoch, outcome(settings, epoch))
            if known is not None:
                self.reached.add(known)
        self.knowledge.paused(trial, outcome(settings, epochs)["price_usd"])
        return self.knowledge.trials[trial]

    def ready(self):
        """Freeze the reference point and fit the models, as a search does before its policies are asked."""
        self.agreement.judge()
        if not self.reached.frozen:
            self.reached.freeze(self.knowledge.priced)
        if self.fitted.refit():
            self.new.learn()
        return self

    def standstill(self, least_growth):
        """What follows the frontier of these parts, and has seen it once."""
        found = Standstill(self.knowledge, self.valuation, least_growth)
        found.look()
        return found

    def standing_still(self, least_growth):
        """The same, after half of the dollars were spent for nothing."""
        found = self.standstill(least_growth)
        found.recall({"usd": self.knowledge.trials.spent_usd() / 2})
        found.look()
        return found

    def asked(self, left_usd=1.0, *, new_trials=True, live_trial=None, seed=0):
        """A question to a policy."""
        random = np.random.default_rng(seed)
        return Situation(Allowance(left_usd, new_trials), self.knowledge.waiting, random, live_trial)


def parts(space=SPACE, *, limits=(), last_step=None, reference=None, notify=None):
    """The parts of a search that nothing was reported to."""
    measures, cube, trust, tried = Measures(ACCURACY, PLANE, Limits(limits)), UnitCube(space), Trust(), Tried(space)
    knowledge = Knowledge(cube, Ends(last_step), measures)
    agreement, fitted = Agreement(knowledge, notify), FittedModels(knowledge)
    frontier = ReachedFrontier(measures, {"price_usd": 1.0} if reference is None else reference, notify)
    valuation = Valuation(measures, frontier)
    candidates = Candidates(space, cube, tried, Sampling("RandomSampler"), 0)
    new = NewTrials(candidates, knowledge, fitted, valuation, 0)
    choices = Choices(knowledge, fitted, valuation, trust)
    return Parts(knowledge, agreement, fitted, frontier, valuation, trust, choices, tried, candidates, new)


def trained(epochs=2, count=12, **options):
    """Parts with trials 0, 1, … of all widths and of many rates, each trained and paused, and models of them."""
    found = parts(**options)
    for trial in range(count):
        rate = float(10 ** (-3 + 2 * ((5 * trial) % count) / count))
        found.train(trial, settings_of(8 * 2 ** (trial % 4), rate), epochs)
    return found.ready()
