"""The end of a search whose frontier stands still."""

from __future__ import annotations

from tests.support.search_parts import EPOCHS, trained
from tracker.search.policies.by_forecast import ByForecast
from tracker.search.policies.enough import Enough
from tracker.search.policies.policy import Ending


def policy(built, least_growth, standstill=None):
    by_forecast = ByForecast(built.knowledge, built.fitted, built.valuation, built.choices, built.new)
    return Enough(standstill or built.standstill(least_growth), by_forecast, least_growth)


def standing_still(built, least_growth=0.5):
    """A policy whose study spent as much as it had for nothing since the frontier moved."""
    return policy(built, least_growth, built.standing_still(least_growth))


def test_it_ends_where_nothing_moved_and_nothing_is_expected_to():
    built = trained(epochs=EPOCHS, count=40)
    ending = standing_still(built).choose(built.asked(1e-3))
    assert isinstance(ending, Ending)
    assert "$0.001 are saved" in ending.why
    assert "search.least_growth" in ending.why


def test_it_goes_on_while_the_frontier_moved_lately():
    built = trained(epochs=EPOCHS, count=40)
    assert policy(built, 0.5).choose(built.asked(1e-3)) is None, "it sees this frontier for the first time"


def test_it_goes_on_where_more_is_expected():
    built = trained(epochs=2, count=40)
    assert standing_still(built, 1e-6).choose(built.asked(10.0)) is None


def test_it_goes_on_with_few_trials():
    built = trained(epochs=EPOCHS, count=10)
    assert standing_still(built).choose(built.asked(1e-3)) is None


def test_it_never_ends_a_search_that_is_to_spend_its_budget():
    built = trained(epochs=EPOCHS, count=40)
    assert standing_still(built, 0.0).choose(built.asked(1e-3)) is None


def test_without_a_budget_of_dollars_the_best_step_counts():
    built = trained(epochs=EPOCHS, count=40)
    ending = standing_still(built).choose(built.asked(float("inf")))
    assert isinstance(ending, Ending)
    assert "saved" not in ending.why
