from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tracker.errors import RequestError
from tracker.pricing.cost import DEFAULT_TERMS
from tracker.pricing.price_book import load_price_book
from tracker.records import Market
from tracker.report.serving import (
    MeasuredPoint,
    load_serving,
    save_serving,
    serving_document,
    serving_table,
    total_frontier,
)
from tracker.report.tables import frontier_table
from tracker.training.serving_cost import Serving

POINT = load_price_book().point("aws/m5.large", Market.ON_DEMAND)  # 2 vCPU


def serving(weights, per_second, answers, problem=""):
    if problem:
        return Serving(weights, math.nan, math.nan, math.nan, 0, 0, (), problem)
    return Serving(weights, 1.0, 2.0, per_second, 2**28, 1000, tuple(answers))


@pytest.fixture
def served(small):
    """The small study's three frontier points: the dearer ones predict slower."""
    rows = frontier_table(small).to_dict("records")
    measured = [
        MeasuredPoint(row, [serving("fp32", speed, "ABCA"), *more])
        for row, speed, more in zip(
            rows,
            (1000.0, 500.0, 10.0),
            (
                [serving("int8", 4000.0, "ABCB")],
                [serving("bf16", 1000.0, "ABCA")],
                [serving("int8", 0, "", "no kernel")],
            ),
            strict=True,
        )
    ]
    return serving_table(measured, POINT, DEFAULT_TERMS, threads=1)


def test_a_thousand_predictions_cost_the_time_that_they_take(served):
    row = served[(served["trial"] == 0) & (served["epoch"] == 1) & (served["weights"] == "fp32")].iloc[0]
    assert row["usd_per_1000"] == pytest.approx(1.0 / 3600 * POINT.usd_per_hour / 2)
    assert row["agreement"] == 1.0


def test_weights_that_give_other_answers_do_not_stand_for_their_model(served, small):
    total = total_frontier(served, 1e9, small).set_index(["trial", "epoch"])
    assert served.loc[served["weights"] == "int8", "agreement"].iloc[0] == 0.75
    assert total.loc[(0, 1), "weights"] == "fp32", "int8 is four times as fast and right in three of four"
    assert total.loc[(0, 2), "weights"] == "bf16"


def test_the_more_predictions_the_more_the_slow_models_cost(served, small):
    none = total_frontier(served, 0, small)
    assert list(none["total_usd"]) == pytest.approx(list(frontier_table(small)["price_usd"]))
    many = total_frontier(served, 1e9, small).set_index(["trial", "epoch"])["total_usd"]
    dearest = 4.0 + 1e9 / 1000 * (100.0 / 3600 * POINT.usd_per_hour / 2)
    assert many[2, 1] == pytest.approx(dearest)


def test_a_format_that_does_not_work_is_reported_and_has_no_price(served):
    broken = served[served["problem"] != ""].iloc[0]
    assert broken["problem"] == "no kernel"
    assert math.isnan(broken["usd_per_1000"])


def test_other_inputs_are_compared_with_their_own_answers_and_stay_off_the_frontier(small):
    row = frontier_table(small).to_dict("records")[0]
    few = [replace(serving(weights, 9000.0, "ABCD"), varied="steps=1") for weights in ("fp32", "bf16")]
    served = serving_table([MeasuredPoint(row, [serving("fp32", 10.0, "ABCA"), *few])], POINT, DEFAULT_TERMS, threads=1)
    assert list(served["varied"]) == ["", "steps=1", "steps=1"]
    assert list(served["agreement"]) == [1.0, 1.0, 1.0]
    assert list(total_frontier(served, 1e6, small)["predictions_per_second"]) == [10.0], "its quality is another one"


@pytest.mark.parametrize("predictions", [-1.0, math.inf, math.nan])
def test_predictions_that_are_no_number_are_refused(served, small, predictions):
    with pytest.raises(RequestError, match="not a number of at least 0"):
        total_frontier(served, predictions, small)


def test_what_was_measured_is_kept_and_is_json(served, small, tmp_path):
    document = serving_document(served, total_frontier(served, 10, small), 10, small)
    assert json.loads(json.dumps(document, allow_nan=False))["models"][0]["weights"] == "fp32"
    save_serving(served, tmp_path)
    assert load_serving(tmp_path)["usd_per_1000"].tolist()[:2] == served["usd_per_1000"].tolist()[:2]
    assert load_serving(tmp_path / "nowhere").empty


def test_measurements_of_an_earlier_version_still_count(small, tmp_path):
    point = MeasuredPoint(frontier_table(small).iloc[0], [serving("fp32", 100.0, ("a", "b"))])
    served = serving_table([point], POINT, DEFAULT_TERMS, 1)
    save_serving(served, tmp_path)
    rows = json.loads((tmp_path / "serving.json").read_text())
    earlier = [{key: value for key, value in row.items() if key not in ("varied", "answer_quality")} for row in rows]
    (tmp_path / "serving.json").write_text(json.dumps(earlier))
    assert len(total_frontier(load_serving(tmp_path), 10, small)) == len(total_frontier(served, 10, small)) == 1
