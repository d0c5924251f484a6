"""Training against a hosted model that gets cheaper: when it pays off, and until which decline."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.errors import RequestError
from tracker.report.build_or_buy import break_even
from tracker.report.price_war import (
    PriceWar,
    change_words,
    fastest_decline,
    over_time,
    rate_of,
    war_document,
    war_sentences,
    years_to_break_even,
    years_to_cross,
)

prices = st.floats(min_value=1e-6, max_value=1e3)
START = date(2026, 1, 1)


def paid(price, a_year, rate, years):
    """What the hosted predictions of so many years cost, month by month: a check that is no formula."""
    steps = 20_000
    return sum(price * math.exp(rate * years * (at + 0.5) / steps) for at in range(steps)) * a_year * years / steps


@given(training=prices, own=prices, hosted=prices)
def test_at_a_steady_price_the_day_is_that_of_the_break_even_in_predictions(training, own, hosted):
    assume(hosted > own * 1.001)
    predictions = break_even(training, own, hosted)
    years = years_to_break_even(training, own, hosted, predictions / 2, 0.0)
    assert years == pytest.approx(2)


@pytest.mark.parametrize("rate", [-0.5, -0.1, 0.2])
def test_on_that_day_both_ways_have_cost_the_same(rate):
    years = years_to_break_even(100.0, 0.001, 0.01, 10_000, rate)
    assert 100 + 0.001 * 10_000 * years == pytest.approx(paid(0.01, 10_000, rate, years), rel=1e-4)


def test_the_faster_the_price_falls_the_later_it_pays_off_until_it_never_does():
    def years(rate):
        return years_to_break_even(100.0, 0.001, 0.01, 10_000, rate)

    assert years(0.1) < years(0.0) < years(-0.1) < years(-0.3)
    limit = math.log1p(-fastest_decline(100.0, 0.001, 0.01, 10_000))
    assert years(limit * 0.999) is not None
    assert years(limit * 1.001) is None


@given(
    training=prices,
    own=prices,
    times=st.floats(min_value=1.2, max_value=100),
    limit=st.floats(min_value=0.2, max_value=0.9),
)
def test_the_fastest_decline_is_where_paying_off_ends(training, own, times, limit):
    hosted = own * times
    spare = hosted - own - own * math.log(times)  # what a prediction saves until the prices meet, times the rate
    a_year = -math.log1p(-limit) * training / spare
    assert fastest_decline(training, own, hosted, a_year) == pytest.approx(limit)
    rate = math.log1p(-limit)
    assert years_to_break_even(training, own, hosted, a_year, rate * 0.99) is not None
    assert years_to_break_even(training, own, hosted, a_year, rate * 1.01) is None


def test_a_hosted_price_below_ones_own_never_pays_off_unless_it_rises():
    assert years_to_break_even(1.0, 0.01, 0.001, 1000, 0.0) is None
    assert years_to_break_even(1.0, 0.01, 0.001, 1000, -0.2) is None
    assert fastest_decline(1.0, 0.01, 0.001, 1000) is None
    assert years_to_break_even(1.0, 0.01, 0.001, 1000, 0.5) > math.log(10) / 0.5


def test_what_pays_off_only_past_the_horizon_does_not_pay_at_any_decline():
    # $10 a year saved, of $1,000 of training.
    assert years_to_break_even(1000.0, 0.0, 1e-5, 1e6, 0.0) is None
    assert fastest_decline(1000.0, 0.0, 1e-5, 1e6) is None


@pytest.mark.parametrize("own", [0.0, 1e-6])
def test_a_limit_whose_savings_are_complete_only_past_the_horizon_is_that_of_the_horizon(own):
    # Training of $200 takes more than 20 of the 30 years at a steady price.
    limit = math.log1p(-fastest_decline(200.0, own, 1e-5, 1e6))
    assert years_to_cross(own, 1e-5, limit) is None
    assert years_to_break_even(200.0, own, 1e-5, 1e6, limit * 0.999) == pytest.approx(30, rel=0.01)
    assert years_to_break_even(200.0, own, 1e-5, 1e6, limit * 1.001) is None


def test_own_predictions_that_cost_nothing_are_never_undercut():
    assert years_to_cross(0.0, 0.01, -0.5) is None
    assert years_to_cross(0.001, 0.01, -0.5) == pytest.approx(math.log(10) / 0.5)
    assert years_to_cross(0.02, 0.01, 0.0) == 0.0
    assert fastest_decline(100.0, 0.0, 0.01, 10_000) == pytest.approx(1 - math.exp(-1))


def test_a_range_gives_an_earliest_and_a_latest_day():
    war = PriceWar(-0.2, -0.4, 0.1, "fitted", 12.0, START)
    found = over_time(50.0, 0.001, 0.01, 10_000, war)
    days = [found[name] for name in ("break_even_earliest", "break_even_on", "break_even_latest")]
    assert days == sorted(days)
    assert len(set(days)) == 3
    assert found["hosted_cheaper_on"] > found["break_even_on"]


def test_the_sentences_say_the_change_its_range_and_the_limit():
    document = war_document(PriceWar(math.log(0.7), math.log(0.5), math.log(1.1), "fitted to 3", 6.0, START), 12_000)
    first, second = war_sentences(document, [{"pays_below_decline": 0.4}, {"pays_below_decline": 0.62}])
    assert "at 2,000 predictions a month from 2026-01-01" in first
    assert "by -30 % a year (nine of ten: -50 % to +10 %); fitted to 3" in first
    assert "falls by less than 40 % (the dearest to train) to 62 % a year; any faster" in second
    assert "however fast" in war_sentences(document, [{"pays_below_decline": 0.99999}])[1]
    assert "does not pay at this pace within 30 years" in war_sentences(document, [{"pays_below_decline": None}])[1]


@pytest.mark.parametrize(("limit", "until"), [(0.99999, "however fast"), (0.4, "as long as")])
def test_models_that_never_pay_off_are_not_in_the_claim(limit, until):
    points = [{"pays_below_decline": limit}, {"pays_below_decline": None}]
    said = war_sentences(war_document(PriceWar(0.0, 0.0, 0.0, "", 6.0, START), 12_000), points)[1]
    assert said.startswith(f"training your own pays off at this pace for 1 of 2 models {until}")


@pytest.mark.parametrize("months", [0.0, -1.0, math.nan, math.inf])
def test_predictions_are_spread_over_some_time(months):
    with pytest.raises(RequestError, match=r"months: .* is not a finite number above 0"):
        PriceWar(0.0, 0.0, 0.0, "", months, START)


def test_a_decline_of_all_of_it_is_refused():
    assert rate_of(0.5) == pytest.approx(math.log(0.5))
    assert rate_of(-0.5) > 0  # a rise
    with pytest.raises(RequestError, match="decline: 100 % a year is not a finite number below 100 %"):
        rate_of(1.0)
    with pytest.raises(RequestError, match=r"decline: -1e\+16 % a year is below -10000 %"):
        rate_of(-1e14)
    assert years_to_break_even(1e9, 0.1, 0.2, 1e-3, rate_of(-100.0)) < 30
    assert change_words(math.nan) == "0 %"
