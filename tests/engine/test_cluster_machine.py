"""Machines that die, hang, are cut off and go, and a network that loses, repeats and tears, in any order."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.fake_fleet import FAULTS, FakeFleet
from tests.support.virtual_study import VirtualStudy, node_of, training_of
from tracker.engine.cluster.node_times import attempts_seconds
from tracker.engine.cluster.pump import SAVE_SECONDS
from tracker.records import TrialState
from tracker.training.event_lines import read_line

TRIALS = range(6)
NODES = {4: 2, 5: 3}
"""How many machines a trial has, where it is not one."""
CORES = 2
OVER = (TrialState.COMPLETED, TrialState.STOPPED)
GIVEN_UP = ("node_lost", "node_refused", "killed")
"""Why a coordinator ends an attempt without a word of its host."""


class Cluster(RuleBasedStateMachine):
    """A coordinator, its fleet, and all that may happen to them."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.fleet = FakeFleet(epochs=6, epoch_seconds=4.0)
        self.study = VirtualStudy(self.fleet, Path(self.folder.name))
        self.unnoticed = set()
        self.expected_epoch = {}
        self.restarts = 0
        for _ in range(2):
            self.fleet.add(CORES)
        self.study.run(0.2)

    def here(self):
        """The machines that answer."""
        return sorted(self.fleet.hosts.keys() - self.fleet.silent)

    @rule(trial=st.sampled_from(TRIALS))
    def start(self, trial):
        mine = [each for each in self.study.attempts if each.key.folder == str(trial)]
        if mine and (mine[-1] not in self.study.ended or mine[-1].record.state in OVER):
            return
        state = self.study.folder / str(trial) / "state.pt"
        epoch = int(state.read_text().split()[1]) if state.exists() else 0
        if (attempt := self.study.start(trial, NODES.get(trial, 1))) is not None:
            self.expected_epoch[attempt.key] = epoch

    @rule(seconds=st.floats(0.1, 15.0))
    def pass_time(self, seconds):
        self.study.run(seconds)

    @rule(seconds=st.floats(2.0, 60.0))
    def stall(self, seconds):
        self.fleet.pass_time(seconds)
        self.study.run(0.2)

    @rule(data=st.data(), how=st.sampled_from(["pause", "stop", "pause_at_save"]))
    def ask(self, data, how):
        if running := self.study.engine.running:
            attempt = data.draw(st.sampled_from(running))
            attempt.pause_at_save() if how == "pause_at_save" else attempt.stop("budget", pause=how == "pause")

    @rule(data=st.data(), fault=st.sampled_from(FAULTS), count=st.integers(1, 4))
    def fault(self, data, fault, count):
        if names := sorted(self.fleet.known):
            name = data.draw(st.sampled_from(names))
            for _ in range(count):
                self.fleet.fault(name, fault)

    @precondition(lambda self: len(self.fleet.known) < 5)
    @rule(spot=st.booleans())
    def add(self, spot):
        self.fleet.add(CORES, **({"tracker/market": "spot"} if spot else {}))

    @rule(data=st.data(), happens=st.sampled_from(["dies", "dies unnoticed", "is cut off", "goes"]))
    def lose(self, data, happens):
        if not (names := self.here()):
            return
        name = data.draw(st.sampled_from(names))
        if happens == "is cut off":
            self.fleet.silence(name)
        elif happens == "goes":
            self.fleet.drain(name, 20.0)
        else:
            self.fleet.kill(name, noticed=happens == "dies")

    @rule()
    def heal(self):
        for name in sorted(self.fleet.silent):
            self.fleet.heal(name) if name in self.fleet.hosts else self.fleet.notice(name)

    @rule()
    def restart(self):
        self.restarts += 1
        self.study.restart()

    @invariant()
    def every_event_is_here_once(self):
        for attempt in self.study.attempts:
            truth, log = training_of(self.fleet, attempt), attempt.request.log_path.read_bytes()
            asked, *lines = log.splitlines(keepends=True)
            written = truth.log if truth else asked
            if not written.startswith(log):
                assert read_line(lines.pop())["reason"] in GIVEN_UP
                assert written.startswith(asked + b"".join(lines))

    @invariant()
    def no_attempt_is_current_twice(self):
        running = Counter(attempt.key.folder for attempt in self.study.engine.running)
        assert all(count == 1 for count in running.values())
        assert len({attempt.key for attempt in self.study.ended}) == len(self.study.ended)

    def teardown(self):
        self.heal()
        self.study.run_until(lambda: not self.study.engine.running)
        self.study.run(200.0)
        assert len(self.study.ended) == len(self.study.attempts)
        self.every_event_is_here_once()
        for attempt in self.study.attempts:
            self.check(attempt, training_of(self.fleet, attempt))
        took = attempts_seconds(
            self.study.attempts_that_ended(), {each.node.node_id: each.node for each in self.study.engine.times}
        )
        for time in self.study.engine.times:
            assert time.taken_seconds <= time.total_seconds + SAVE_SECONDS * self.restarts + 0.1, time
            assert (time.trained_seconds, time.lost_seconds) == pytest.approx(took.get(time.node.node_id, (0.0, 0.0)))
        for host in self.fleet.hosts.values():
            assert not host.trainings and not host.assistants, "hosts keep nothing"
            assert host.free_cores == CORES
        self.folder.cleanup()

    def check(self, attempt, truth):
        """It has ended, is billed right, and continued what was saved."""
        record = attempt.record
        assert record.ended_at is not None
        if truth is None:
            assert record.usage.wall_seconds == 0.0
            return
        assert truth.ended_at is not None, "nothing trains on unseen"
        true_seconds = truth.ended_at - truth.began
        if attempt.request.log_path.read_bytes() == truth.log:
            assert abs(record.usage.wall_seconds - true_seconds) < 1e-6
        else:
            assert record.usage.wall_seconds <= true_seconds + 1e-6
            assert all(each.usage.wall_seconds <= record.usage.wall_seconds for each in record.checkpoints)
        restored = [each["epoch"] for each in map(read_line, truth.log.splitlines()) if each["event"] == "restored"]
        assert restored == [self.expected_epoch[attempt.key]] * bool(self.expected_epoch[attempt.key])
        assert node_of(attempt)


Cluster.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    phases=(Phase.generate,),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestCluster = Cluster.TestCase
