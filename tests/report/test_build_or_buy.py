"""A trained model against a hosted one: the sums come out, and what is not known is said."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.errors import RequestError
from tracker.pricing.llm_api import ApiPrice, PredictionTokens
from tracker.report.asked import ApiTerms, Asked
from tracker.report.build_or_buy import break_even, build_or_buy_document, own_prediction_usd, total_usd
from tracker.report.price_war import PriceWar

API = ApiPrice(
    model="gpt",
    provider="maker",
    usd_per_prediction=0.001,
    usd_input=0.0008,
    usd_output=0.0002,
    usd_per_million_input=8.0,
    usd_per_million_output=100.0,
    charges_output=True,
    source="https://maker.test/prices",
    effective_from="2026-01-01",
    effective_to=None,
    by_hour=False,
    package="genai-prices 0.2.3",
)
TOKENS = PredictionTokens(
    100.0, 2.0, input_source="measured", output_source="measured", tokenizer="o200k_base", texts=2000, split="test"
)
STEADY = PriceWar(0.0, 0.0, 0.0, "an assumption", 12.0, date(2026, 1, 1))
DOLLAR_SECONDS = 3600 / 0.096  # seconds that cost one dollar in the studies built by hand


def asked(predictions, api=API, tokens=TOKENS, war=STEADY, **given):
    return Asked(api, tokens, predictions, war, **given)


usd = st.floats(min_value=1e-9, max_value=1e6)


@given(training=usd, own=usd, api=usd)
def test_at_the_break_even_both_ways_cost_the_same(training, own, api):
    assume(api > own)
    even = break_even(training, own, api)
    assert total_usd(training, own, even) == pytest.approx(api)


@given(training=usd, own=usd, api=usd, dearer=st.floats(min_value=1.001, max_value=100))
def test_a_dearer_api_brings_the_break_even_nearer(training, own, api, dearer):
    assume(api > own)
    assert break_even(training, own, api * dearer) < break_even(training, own, api)


@given(training=usd, own=usd, api=usd, factor=st.floats(min_value=1.01, max_value=100))
def test_beyond_the_break_even_ones_own_model_is_cheaper_and_before_it_is_not(training, own, api, factor):
    assume(api > own * 1.001)
    even = break_even(training, own, api)
    assert total_usd(training, own, even * factor) < api < total_usd(training, own, even / factor)


@given(training=usd, own=usd, api=usd)
def test_there_is_no_break_even_where_each_prediction_costs_at_least_as_much(training, own, api):
    assume(api <= own)
    assert break_even(training, own, api) is None


@pytest.fixture
def study(by_hand):
    """Training costs $1 and $2 after its two epochs; 1,000 predictions a second; a baseline that tells no speed."""
    rows = [
        by_hand.baseline(0.65, 1.5 * DOLLAR_SECONDS),
        by_hand.trial(
            0,
            [0.5, 0.7],
            [DOLLAR_SECONDS, 2 * DOLLAR_SECONDS],
            summary={"predictions_per_second": 1000.0},
        ),
    ]
    return by_hand.build(rows)


def test_every_frontier_point_and_baseline_is_compared(study):
    document = build_or_buy_document(study, asked(10_000))
    own = 1 / DOLLAR_SECONDS / 1000  # $1 buys so many seconds, of 1,000 predictions each
    first, second = document["points"]
    assert (first["trial"], first["epoch"], first["quality"]) == (0, 1, 0.5)
    assert (first["training_usd"], second["training_usd"]) == pytest.approx((1, 2))
    assert second["own_usd_per_1000"] == pytest.approx(1000 * own)
    assert second["total_usd_per_1000"] == pytest.approx(1000 * (2 / 10_000 + own))
    assert second["api_usd_per_1000"] == pytest.approx(1.0)
    assert second["break_even_predictions"] == pytest.approx(2 / (0.001 - own))
    assert document["api"]["usd_per_1000"] == pytest.approx(1.0)
    assert document["tokens"]["texts"] == 2000
    (baseline,) = document["references"]
    assert baseline["name"] == "tf-idf + logistic regression"


def test_without_a_measured_speed_only_training_is_counted_and_that_is_said(study):
    document = build_or_buy_document(study, asked(10_000))
    (baseline,) = document["references"]
    assert baseline["own_usd_per_1000"] is None
    assert baseline["total_usd_per_1000"] == pytest.approx(1000 * 1.5 / 10_000)
    assert baseline["break_even_predictions"] == pytest.approx(1500)
    assert any("1 of 3 models have no predictions_per_second" in note for note in document["notes"])


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_that_is_none_prices_no_prediction(speed):
    run = {"price_usd": 1.0, "wall_seconds": 10.0, "predictions_per_second": speed}
    assert own_prediction_usd(run) is None
    assert own_prediction_usd({**run, "wall_seconds": 0.0}) is None


def test_where_the_api_is_cheaper_each_time_there_is_a_reason_in_place_of_a_number(study):
    free = replace(API, usd_per_prediction=0.0)
    for point in build_or_buy_document(study, asked(10, free))["points"]:
        assert point["break_even_predictions"] is None
        assert point["break_even_reason"] == "never: each prediction of your own costs at least as much"


def test_what_is_not_known_is_said_first_and_loudest(study):
    notes = build_or_buy_document(study, asked(10))["notes"]
    assert notes[0].startswith("THE QUALITY OF maker:gpt ON THESE DATA IS UNKNOWN")
    shown = "\n".join(notes)
    assert "2,000 whole texts of the test split with o200k_base; other models' tokenizers differ" in shown
    assert "0 prompt tokens (assumed)" in shown
    assert "since 2026-01-01" in shown


def test_a_price_that_is_uncertain_is_said_to_be(study):
    vague = replace(API, effective_from=None, by_hour=True, charges_output=False, usd_per_million_output=None)
    given_tokens = PredictionTokens(100.0, 2.0, prompt_tokens=50, prompt_source="given")
    shown = "\n".join(build_or_buy_document(study, asked(10, vague, given_tokens, as_of=date(2026, 3, 1)))["notes"])
    assert "it may not have applied on 2026-03-01" in shown
    assert "varies by hour of the day" in shown
    assert "answers are counted as free" in shown
    assert "50 prompt tokens (given)" in shown
    assert "measured on" not in shown


@pytest.mark.parametrize("predictions", [0, 0.5, -1, math.nan, math.inf])
def test_training_is_spread_over_at_least_one_prediction(study, predictions):
    with pytest.raises(RequestError, match=r"predictions: .* is not a finite number of at least 1"):
        build_or_buy_document(study, asked(predictions))


def test_a_study_without_a_checkpoint_has_nothing_to_compare(empty):
    with pytest.raises(RequestError, match="study 'just started' has no checkpoint yet"):
        build_or_buy_document(empty, asked(10))


def test_any_study_gives_a_document_that_is_json(realistic, hostile):
    for table in (realistic, hostile):
        document = build_or_buy_document(table, asked(1e6))
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_over_time_each_point_has_a_day_and_the_decline_that_it_stands(study):
    # 12,000 predictions a year at $1 a thousand: $2 of training are paid off after two months.
    document = build_or_buy_document(study, asked(12_000))
    point = document["points"][1]
    assert point["break_even_on"] == "2026-03-02"
    assert point["break_even_earliest"] == point["break_even_latest"] == point["break_even_on"]
    assert 0.99 < point["pays_below_decline"] < 1
    assert document["over_time"]["predictions_a_month"] == 1000
    falling = asked(12_000, war=PriceWar(-8.0, -9.0, -7.0, "a war", 12.0, date(2026, 1, 1)))
    assert build_or_buy_document(study, falling)["points"][1]["break_even_on"] is None
    assert any("any faster, and it never does" in note for note in build_or_buy_document(study, falling)["notes"])


def test_prices_on_other_terms_are_listed_where_they_are_known(study):
    terms = {
        ApiTerms(): API,
        ApiTerms(batch=True): replace(API, usd_per_prediction=0.0005, batch=True),
        ApiTerms(cached_prompt=True): None,
    }
    document = build_or_buy_document(study, asked(10, alternatives=terms))
    assert [each["usd_per_1000"] for each in document["api_alternatives"]] == [1.0, 0.5, None]
    (note,) = [each for each in document["notes"] if "on other terms" in each]
    assert note == "1,000 predictions by maker:gpt on other terms: batch $0.50"
