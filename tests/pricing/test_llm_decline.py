"""How fast hosted models get cheaper, from dated changes of price."""

from __future__ import annotations

import importlib.util
import math
from datetime import date

import pytest

from tracker.pricing.llm_decline import (
    ALL,
    BANDS,
    PriceHistory,
    band_of,
    fitted_decline,
    price_changes,
    price_histories,
)

needs_prices = pytest.mark.skipif(
    importlib.util.find_spec("genai_prices") is None, reason="the extra llm (genai-prices) is not installed"
)
OPENED, HALVED, CLOSED = date(2025, 1, 1), date(2025, 7, 1), date(2026, 1, 1)
CHEAP, MIDDLE, DEAR = BANDS


def history(provider, model, *prices):
    """A model's prices: the first since nobody knows when, then pairs of a day and a price."""
    first, *later = prices
    return PriceHistory(provider, model, (None, *(day for day, _ in later)), (first, *(usd for _, usd in later)))


@pytest.fixture
def maker():
    """Watched for a year: one of two models halved; the change that opened the watch, and one of no use, beside it."""
    return [
        history("maker", "opened", 9.0, (OPENED, 1.0), (CLOSED, 1.0)),
        history("maker", "halved", 4.0, (HALVED, 2.0)),
    ]


def test_the_rate_is_the_change_of_log_prices_for_each_year_of_all_models(maker):
    found = fitted_decline(maker, ALL, CLOSED)
    assert found.model_years == pytest.approx(2, abs=0.01)
    assert found.rate == pytest.approx(math.log(0.5) / 2, rel=0.01)
    assert (found.changes, found.dated, found.providers) == (1, 2, 1)
    assert (found.since, found.until) == (OPENED, CLOSED)


def test_the_change_that_opened_the_watch_does_not_count_and_what_is_still_to_come_does_not_either(maker):
    changes = price_changes([*maker, history("maker", "later", 1.0, (date(2027, 1, 1), 2.0))], CLOSED)
    assert [(each.model, each.counts) for each in changes] == [("halved", True), ("opened", False)]
    assert (changes[0].before_usd, changes[0].after_usd, changes[0].day) == (4.0, 2.0, HALVED)


def test_a_provider_of_a_few_weeks_says_nothing_of_a_year(maker):
    late = date(2025, 12, 1)
    rushed = [history("list", f"m{at}", 4.0, (late, 3.0), (CLOSED, 6.0)) for at in range(50)]
    assert fitted_decline([*maker, *rushed], ALL, CLOSED).rate == fitted_decline(maker, ALL, CLOSED).rate
    assert fitted_decline([*maker, *rushed], ALL, CLOSED, least_days=0).rate > 0.5


def test_a_class_is_by_the_middle_of_a_model_s_prices(maker):
    assert [band_of(usd) for usd in (0.1, 0.5, 5.0, 100.0)] == [CHEAP, MIDDLE, DEAR, DEAR]
    fallen = history("maker", "fallen", 8.0, (HALVED, 0.4))  # sqrt(8 * 0.4) is 1.8
    found = fitted_decline([*maker, fallen], MIDDLE, CLOSED)
    assert found.changes == 2
    assert fitted_decline([*maker, fallen], CHEAP, CLOSED).changes == 0


def test_the_range_is_wider_the_more_providers_differ(maker):
    alike = [history(f"p{at}", "m", 4.0, (OPENED, 4.1), (HALVED, 2.05)) for at in range(6)]
    mixed = [history(f"p{at}", "m", 4.0, (OPENED, 4.1), (HALVED, 4.1 * (0.25 if at % 2 else 1.5))) for at in range(6)]
    one, other = (fitted_decline([*maker, *each], ALL, CLOSED) for each in (alike, mixed))
    assert other.high - other.low > one.high - one.low
    assert one.low <= one.rate <= one.high


def test_where_nothing_was_watched_there_is_no_rate():
    found = fitted_decline([history("maker", "steady", 1.0)], ALL, CLOSED)
    assert math.isnan(found.rate)
    assert found.changes == 0


@needs_prices
def test_the_package_s_own_changes_are_found_and_those_by_the_hour_are_not():
    changes = price_changes(price_histories(), date(2025, 12, 31))
    (o3,) = [each for each in changes if (each.provider, each.model) == ("openai", "o3")]
    # OpenAI cut o3 by 80 % on 10 June 2025, from $10 and $40: at three read for one written, from $17.50 to $3.50.
    assert (o3.day, o3.before_usd, o3.after_usd) == (date(2025, 6, 10), pytest.approx(17.5), pytest.approx(3.5))
    assert not any(each.model == "deepseek-chat" and each.provider == "deepseek" for each in price_histories())


@needs_prices
def test_every_class_has_a_rate_with_a_range_around_it_by_a_day_with_enough_changes():
    for band in BANDS:
        found = fitted_decline(price_histories(), band, date(2026, 11, 9))
        assert found.low <= found.rate <= found.high
        assert found.dated >= found.changes
