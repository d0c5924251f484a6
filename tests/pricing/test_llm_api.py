"""What a hosted model costs is what its maker's price list says, on the day that is asked for."""

from __future__ import annotations

import importlib.util
import socket
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import PriceBookError, RequestError
from tracker.pricing.llm_api import PredictionTokens, api_price

needs_prices = pytest.mark.skipif(
    importlib.util.find_spec("genai_prices") is None, reason="the extra llm (genai-prices) is not installed"
)


@needs_prices
def test_a_price_is_that_of_the_list_for_the_tokens_read_and_written():
    price = api_price("openai:gpt-4o-mini", 1000, 100, datetime(2025, 1, 1))
    assert price.name == "openai:gpt-4o-mini"
    assert price.usd_input == pytest.approx(1000 * 0.15e-6)  # OpenAI's list since July 2024: $0.15 and $0.60
    assert price.usd_output == pytest.approx(100 * 0.60e-6)
    assert price.usd_per_prediction == pytest.approx(0.00021)
    assert (price.usd_per_million_input, price.usd_per_million_output) == pytest.approx((0.15, 0.60))
    assert "openai.com" in price.source
    assert price.package.startswith("genai-prices ")


@needs_prices
def test_a_price_is_that_of_its_day():
    # OpenAI cut the price of o3 by 80 % on 10 June 2025, from $10 and $40.
    before, after = (api_price("openai:o3", 1e6, 1e6, datetime(2025, 6, day, tzinfo=UTC)) for day in (1, 20))
    assert before.usd_per_prediction == pytest.approx(50)
    assert (before.effective_from, before.effective_to) == (None, "2025-06-10")
    assert after.usd_per_prediction == pytest.approx(10)
    assert after.effective_from == "2025-06-10"


@needs_prices
def test_a_price_that_changes_with_the_hour_says_so():
    night, day = (api_price("deepseek:deepseek-chat", 1e6, 0, datetime(2026, 1, 1, hour)) for hour in (20, 12))
    assert night.usd_per_prediction < day.usd_per_prediction
    assert night.by_hour and day.by_hour
    assert not api_price("openai:gpt-4o-mini", 1, 1).by_hour


@needs_prices
def test_a_long_request_pays_the_rate_of_long_requests():
    # Google's list: $1.25 a million input tokens up to 200,000 in a request, $2.50 for all of them beyond.
    on = datetime(2025, 9, 1)
    assert api_price("google:gemini-2.5-pro", 200_000, 0, on).usd_per_million_input == pytest.approx(1.25)
    assert api_price("google:gemini-2.5-pro", 200_001, 0, on).usd_per_million_input == pytest.approx(2.50)


@needs_prices
def test_the_provider_may_be_left_out_where_the_name_tells_it_and_a_name_may_hold_a_colon():
    assert api_price("gpt-4o-mini", 10, 1).name == "openai:gpt-4o-mini"
    assert api_price("aws:amazon.nova-lite-v1:0", 10, 1).model == "amazon.nova-lite-v1:0"


@needs_prices
def test_a_model_without_a_price_for_output_says_so():
    price = api_price("voyageai:voyage-3", 10, 5)
    assert not price.charges_output
    assert (price.usd_output, price.usd_per_million_output) == (0, None)


@needs_prices
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("openai:gpt-4o-minii", "no model 'gpt-4o-minii' of openai; did you mean 'gpt-4o-mini'?"),
        ("openia:gpt-4o-mini", "no provider 'openia'; did you mean 'openai'?"),
        ("gpt-4o-minii", "no model 'gpt-4o-minii'; did you mean '"),
        ("openai:", "no model '' of openai; allowed: "),
        ("", "no model ''; allowed: "),
        ("github-copilot:gpt-4o", "no price of the tokens of github-copilot:gpt-4o"),
    ],
)
def test_a_model_that_cannot_be_priced_is_reported_with_the_nearest_names(model, said):
    with pytest.raises(PriceBookError) as refusal:
        api_price(model, 10, 1)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("count", [float("nan"), float("inf"), -1.0])
def test_tokens_that_are_no_count_are_refused(count):
    with pytest.raises(RequestError, match=r"input tokens: .* is not a finite number of at least 0"):
        api_price("openai:gpt-4o-mini", count, 1)
    with pytest.raises(RequestError, match="output tokens: "):
        api_price("openai:gpt-4o-mini", 1, count)


def test_without_the_package_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(
        PriceBookError, match=r"genai-prices is not installed; pip install 'cost-quality-tracker\[llm\]'"
    ):
        api_price("openai:gpt-4o-mini", 10, 1)


@needs_prices
def test_no_network_is_touched(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert api_price("anthropic:claude-haiku-4-5", 100, 10).usd_per_prediction > 0


counts = st.floats(min_value=0, max_value=1e5)


@needs_prices
@given(read=counts, written=counts, times=st.floats(min_value=1, max_value=10))
def test_a_price_without_tiers_is_proportional_to_the_tokens(read, written, times):
    once = api_price("openai:gpt-4o-mini", read, written)
    more = api_price("openai:gpt-4o-mini", read * times, written * times)
    assert more.usd_per_prediction == pytest.approx(once.usd_per_prediction * times)
    assert once.usd_per_prediction == pytest.approx(once.usd_input + once.usd_output)


def test_a_prompt_is_read_before_each_text():
    assert PredictionTokens(input_tokens=120.5, output_tokens=2, prompt_tokens=300).read == 420.5
