"""What a trial does at the end of its step while another one waits for its place."""

from __future__ import annotations

import json
import math
import os
import sys

import pytest

from tests.support.iterations import study
from tracker import open_study
from tracker.records import TrialState, trial_memory_bytes
from tracker.runner.session import Places
from tracker.runner.studies import run_study
from tracker.search.full_runs import FullRuns
from tracker.search.steps import Step
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.training.cgroup import machine_memory_bytes

pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
    pytest.mark.skipif(sys.platform != "linux", reason="nothing limits a process's memory"),
]
MORE_THAN_HALF_GB = math.floor(6 * trial_memory_bytes(machine_memory_bytes()) / 2**30) / 10


class InSteps(FullRuns):
    """Starts two trials, the first one to its first checkpoint; that stays for another one where it ``stays``."""

    def __init__(self, trials, objectives, *, stays):
        super().__init__(trials, objectives)
        self.stays, self.started, self.asked = stays, 0, []

    def next_step(self, left_usd, *, new_trials=True, live_trial=None):
        step = super().next_step(left_usd, new_trials=new_trials and self.started < 2)
        if step is None or step.trial in self._last:
            return step
        self.started += 1
        return Step(step.trial, step.settings, 0.0 if self.started == 1 else None)

    def stay(self, live_trial, left_usd, rival):
        self.asked.append((live_trial, rival.trial))
        if not self.stays:
            return None
        self._paused.remove(live_trial)
        return Step(live_trial, self._settings[live_trial], 1.001 * self.price_usd, why="it stays")

    def paused(self, trial, price_usd):
        self.price_usd = price_usd
        if trial not in self._paused:  # it is said when the step is done, and when the process has ended
            super().paused(trial, price_usd)


@pytest.mark.parametrize("stays", [True, False])
def test_it_takes_one_more_step_only_where_the_search_prefers_that(stays, tmp_path):
    content = study(
        {"learning_rate": [0.01, 0.02]}, strategy="grid", trials=2, counts="doubled", seconds=1.2, device="cpu",
        memory_gb=MORE_THAN_HALF_GB,
    )  # fmt: skip
    made = []

    def searcher_of(plan, trials):
        made.append(InSteps(trials, plan.spec.search.objectives, stays=stays))
        return made[0]

    state = run_study(StudyDocument("counted", content), Places(Home(tmp_path)), workers=2, searcher_of=searcher_of)
    found = open_study("counted", home=tmp_path)
    assert state is TrialState.COMPLETED
    assert made[0].asked == [(0, 1)], "once for each that waits"
    actions = [(each["action"], each["why"]) for each in found.why(0)]
    expected = ["begin", "continue", "pause", "resume", "end"] if stays else ["begin", "pause", "resume", "end"]
    assert [action for action, _ in actions] == expected
    assert ("pause", "#1 needs the cores") in actions
    assert [each["action"] for each in found.why(1)] == ["begin", "end"]
    pause = next(each for each in found.why(0) if each["action"] == "pause")
    log = tmp_path / "studies/counted/trials/0/1.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    had = [each for each in events if each["event"] == "checkpoint" and each["time"] < pause["time"]]
    assert len(had) >= (2 if stays else 1), "the further step has a checkpoint of its own"
