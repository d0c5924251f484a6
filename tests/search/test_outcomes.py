"""What steps brought and cost, by who chose them, and how far forecasts are trusted after that."""

from __future__ import annotations

import pytest

from tracker.search.outcomes import OpenSteps, Outcome
from tracker.search.trust import Trust


def test_a_step_s_gain_and_dollars_are_those_of_the_policy_that_chose_it():
    steps = OpenSteps()
    steps.start(0, "first", 0, None)
    steps.came(0, 0.25)
    assert steps.settle(0, 1.0) == Outcome(0, "first", 0, None, gain=0.25, usd=1.0)
    steps.start(0, "second", 1, 0.5)
    steps.start(1, "first", 0, 0.1)
    steps.came(0, 0.25)
    steps.came(0, 0.125)
    assert steps.settle(0, 3.5) == Outcome(0, "second", 1, 0.5, gain=0.375, usd=2.5)
    assert steps.settle(1, 0.75) == Outcome(1, "first", 0, 0.1, gain=0.0, usd=0.75)


def test_what_was_paid_in_an_earlier_process_is_no_step_s():
    steps = OpenSteps()
    assert steps.settle(0, 4.0) is None, "it was reported, not chosen here"
    steps.came(0, 0.5)
    steps.start(0, "first", 1, 0.2)
    assert steps.settle(0, 5.0) == Outcome(0, "first", 1, 0.2, gain=0.0, usd=1.0)
    assert steps.settle(0, 5.0) is None, "it is over"


def learnt(expected_gain, gain, count=20, rung=2):
    trust = Trust()
    for _ in range(count):
        trust.learn(Outcome(0, "any", rung, expected_gain, gain))
    return trust


def test_forecasts_are_trusted_by_what_came_of_them():
    assert learnt(0.1, 0.1).of(2) == pytest.approx(1.0)
    assert learnt(0.1, 0.02).of(2) == pytest.approx(0.25, abs=0.05)
    assert learnt(0.1, 1.0).of(2) == 2.0, "no further"
    assert learnt(0.1, 0.0).of(3) == 1.0, "nothing is known of another rung"
    assert learnt(None, 0.5).of(2) == 1.0, "nothing was forecast"


def test_trust_is_restored():
    trust, again = learnt(0.1, 0.03), Trust()
    again.recall(trust.memory())
    assert again.of(2) == trust.of(2)
    assert again.memory() == trust.memory()
