"""Whatever trials report, and however they end, the search goes on, and no settings are paid twice."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.records import Direction, QualityMetric, TrialState
from tracker.search.frontier_search import FrontierSearch
from tracker.search.objectives import Objective
from tracker.search.sampler import Sampling, Trials
from tracker.search.steps import Step
from tracker.study.domains import Choices, Range
from tracker.study.space import SearchSpace
from tracker.study.spec import Limit

QUALITY = QualityMetric("loss", Direction.MINIMIZE)
OBJECTIVES = {"loss": Direction.MINIMIZE, "price_usd": Direction.MINIMIZE}
SPACES = st.sampled_from(
    [
        SearchSpace({"epochs": 3}, {"cpu": {"kind": Choices(("only",))}}),
        SearchSpace({}, {"cpu": {"rate": Choices((0.01, 0.1)), "epochs": Choices((2, 3))}}),
        SearchSpace({}, {"cpu": {"depth": Range(1, 3, integer=True), "share": Range(0.1, 0.35, step=0.1)}}),
        SearchSpace({}, {"cpu": {"rate": Range(0.001, 0.1, log=True), "epochs": Choices((5, 10))}}),
        SearchSpace({}, {"cpu": {"width": Range(1, 10**6, integer=True, log=True)}, "cuda": {"a": Choices((True,))}}),
    ]
)
NUMBERS = st.one_of(st.floats(0, 2), st.floats(), st.sampled_from([0.0, 1e300, -1e300, math.inf, math.nan]))
STEPS = st.one_of(
    st.sampled_from([[20, 40, 60], [0, 250, 500], [1, 250, 500], [1, 2, 4, 8], [5, 10, 12], [10**9, 10**9 + 1]]),
    st.sets(st.integers(0, 10**9), min_size=1, max_size=6).map(sorted),
)
ENDS = st.sampled_from([TrialState.COMPLETED, TrialState.FAILED, TrialState.STOPPED, TrialState.KILLED])


class Trainings:
    """Trials that do what is drawn: where they report, what, at which price, and when they end."""

    def __init__(self, data, space):
        self.data, self.space = data, space
        self.steps, self.done, self.prices, self.settings, self.shown, self.over = {}, {}, {}, {}, [], {}
        self.last_step = data.draw(st.sampled_from([None, 60, "epochs" if "epochs" in str(space) else None]))
        self.search = self.made(Trials.create(None, "s", OBJECTIVES, space, 0, Sampling("RandomSampler")))

    def made(self, trials):
        return FrontierSearch(
            trials,
            self.space,
            QUALITY,
            [Objective(name, direction) for name, direction in OBJECTIVES.items()],
            sampling=Sampling("RandomSampler"),
            reference={},
            limits=[Limit("recall", low=0.5), Limit("peak_memory_bytes", high=1e9)],
            last_step=self.last_step,
        )

    def take(self, step: Step):
        """Resume a trial, as far as is drawn."""
        trial = step.trial
        assert trial not in self.over, "what has ended is not resumed"
        if trial not in self.settings:
            known = {self.space.key(each) for each in self.settings.values()}
            assert self.space.key(step.settings) not in known, "no settings are tried twice"
            self.settings[trial], self.done[trial], self.prices[trial] = step.settings, 0, 0.0
            self.steps[trial] = self.data.draw(STEPS)
        left = self.steps[trial][self.done[trial] :]
        count = self.data.draw(st.integers(0, len(left)))
        for epoch in left[:count]:
            self.prices[trial] += self.data.draw(st.sampled_from([0.0, 0.0, 1e-6, 1.0]))
            values = dict.fromkeys(("price_usd", "wall_seconds"), self.prices[trial])
            values["loss"] = self.data.draw(NUMBERS)
            for name in ("recall", "peak_memory_bytes"):
                if self.data.draw(st.booleans()):
                    values[name] = self.data.draw(NUMBERS)
            if self.data.draw(st.integers(0, 9)) == 0:
                del values["loss"]
            self.tell(trial, epoch, values)
        self.done[trial] += count
        if self.done[trial] == len(self.steps[trial]) or self.data.draw(st.integers(0, 4)) == 0:
            self.over[trial] = self.data.draw(ENDS)
            self.search.ended(trial, self.over[trial], self.prices[trial])
        else:
            self.search.paused(trial, self.prices[trial])

    def tell(self, trial, epoch, values):
        self.shown.append((trial, epoch, values))
        self.search.reached(trial, epoch, values)

    def resume(self):
        """A new search that is reported all that the one before was reported."""
        memory = json.loads(json.dumps(self.search.memory()))
        trials = Trials.create(None, "s", OBJECTIVES, self.space, 1)
        trials._study = self.search._trials._study
        self.search = self.made(trials)
        self.search.recall(memory)
        for trial, each in self.settings.items():
            self.search.register(trial, each)
            for other, epoch, values in self.shown:
                if other == trial:
                    self.search.reached(trial, epoch, values)
            if trial in self.over:
                self.search.ended(trial, self.over[trial], self.prices[trial])
            else:
                self.search.paused(trial, self.prices[trial])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), space=SPACES)
def test_the_search_goes_on_whatever_is_reported(data, space):
    trainings = Trainings(data, space)
    for _ in range(data.draw(st.integers(1, 30))):
        left_usd = data.draw(st.sampled_from([math.inf, math.inf, 10.0, 1e-3]))
        step = trainings.search.next_step(left_usd, new_trials=data.draw(st.integers(0, 3)) > 0)
        assert all(gain >= 0 for gain in trainings.search.prospects().values())
        if step is None:
            assert trainings.search.closed
            assert "inf" not in trainings.search.closed
        else:
            json.dumps(dict(step.numbers))
            trainings.take(step)
        if data.draw(st.integers(0, 9)) == 0:
            trainings.resume()
