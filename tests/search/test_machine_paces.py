"""What an epoch takes elsewhere: measured where it was, else with an interval that tells how little is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tracker.search.machine_paces import MachinePaces


def paces(**kinds):
    found = MachinePaces()
    for kind, seconds in kinds.items():
        for trial, each in seconds.items():
            found.enter(trial, kind, each)
    return found


def test_a_trial_that_was_on_both_is_measured():
    found = paces(slow={0: 10.0, 1: 5.0}, fast={0: 2.0, 1: 4.0}).forecast(0, "slow", "fast")
    assert (found.ratio, found.low, found.high) == (0.2, 0.2, 0.2)
    back = paces(slow={0: 10.0}, fast={0: 2.0}).forecast(0, "fast", "slow")
    assert back.ratio == pytest.approx(5.0)


def test_trials_that_were_on_both_tell_of_one_that_was_not():
    found = paces(slow={0: 10.0, 1: 20.0, 2: 40.0, 3: 7.0}, fast={0: 5.0, 1: 10.0, 2: 20.0}).forecast(3, "slow", "fast")
    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.why == "3 trials on both"
    one = paces(slow={0: 10.0, 3: 7.0}, fast={0: 5.0}).forecast(3, "slow", "fast")
    assert one.ratio == pytest.approx(0.5)
    assert one.low < 0.25 and one.high > 1.0, "of one trial nobody knows the spread"


def test_without_any_on_both_the_interval_is_as_wide_as_trials_differ():
    wide = paces(slow={0: 1.0, 1: 100.0}, fast={2: 1.0, 3: 50.0}).forecast(0, "slow", "fast")
    assert wide.low < 1e-3 and wide.high > 1e3
    narrow = paces(slow={n: 10.0 + 0.1 * n for n in range(9)}, fast={9 + n: 5.0 + 0.1 * n for n in range(9)})
    found = narrow.forecast(0, "slow", "fast")
    assert 0.4 < found.low < found.ratio < found.high < 0.7


def test_where_nothing_was_measured_there_is_no_forecast():
    assert paces(slow={0: 10.0}).forecast(0, "slow", "fast") is None
    assert paces(fast={1: 10.0}).forecast(0, "slow", "fast") is None
    none = paces(slow={0: 0.0, 1: math.nan, 2: -1.0, 3: math.inf}, fast={4: 1.0})
    assert none.forecast(0, "slow", "fast") is None, "such seconds tell nothing"


def test_intervals_hold_as_many_trials_as_they_say():
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        speeds, trials = np.exp(random.normal(0.7, 0.3, 6)), np.exp(random.normal(0.0, 1.0, 6))
        slow = dict(enumerate(trials))
        fast = {trial: seconds / speeds[trial] for trial, seconds in slow.items() if trial < 5}
        found = paces(slow=slow, fast=fast).forecast(5, "slow", "fast")
        inside += found.low <= 1 / speeds[5] <= found.high
    assert 0.92 <= inside / 400 <= 0.98
