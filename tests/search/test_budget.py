"""Money spent is money counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.search.budget import Allowance, Ledger
from tracker.study.spec import Budget

AMOUNTS = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100, allow_nan=False)), max_size=30)


@given(AMOUNTS)
def test_spend_never_shrinks(entries):
    ledger, before = Ledger(Budget(usd=1.0)), 0.0
    for attempt, amount in entries:
        ledger.record(attempt, amount)
        assert ledger.spend_usd >= before
        before = ledger.spend_usd


@given(AMOUNTS)
def test_spend_is_the_sum_over_all_attempts(entries):
    ledger = Ledger(Budget(usd=1.0))
    for attempt, amount in entries:
        ledger.record(attempt, amount)
    most = {key: max(amount for other, amount in entries if other == key) for key, _ in entries}
    assert ledger.spend_usd == pytest.approx(sum(most.values()))


def test_the_first_limit_that_is_reached_closes_the_study():
    ledger = Ledger(Budget(usd=1.0, trials=3, wall_seconds=60.0))
    assert ledger.closed(59.0) == ""
    assert ledger.closed(60.0) == "the budget of 60 seconds is used up"
    assert ledger.new_trials(2)
    assert not ledger.new_trials(3)
    ledger.record("a", 1.0)
    assert ledger.closed(0.0) == "the budget of $1 is spent"


def test_what_is_promised_is_not_left():
    ledger = Ledger(Budget(usd=1.0))
    ledger.promise("a", 0.5)
    assert ledger.left_usd == pytest.approx(0.5)
    ledger.record("a", 0.2)
    assert ledger.left_usd == pytest.approx(0.5), "spent in part, promised still in whole"
    ledger.record("a", 0.7)
    assert ledger.left_usd == pytest.approx(0.3), "more than was promised is spent all the same"
    ledger.promise("a", 0.0)
    assert ledger.left_usd == pytest.approx(0.3)
    assert Ledger(Budget(trials=3)).left_usd == float("inf")


def test_a_step_fits_in_what_is_left_to_the_last_dollar():
    allowance = Allowance(2.0)
    assert allowance.fits(2.0)
    assert not allowance.fits(2.001)
    assert allowance.fits(np.array([[1.0, 3.0], [2.0, 2.5]])).tolist() == [[True, False], [True, False]]
    assert Allowance(math.inf).fits(1e300), "without a budget in dollars everything does"
