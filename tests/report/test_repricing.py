"""A study at other prices: the same usage, other rates, and never a prediction in the clothes of a measurement."""

from __future__ import annotations

import json
import math
from datetime import date

import numpy as np
import pytest

from tests.support.studies import DIGITS
from tracker import run_study
from tracker.pricing.price_book import load_price_book
from tracker.pricing.price_point import price_point_from_row
from tracker.pricing.scenario import RateChange, Scenario
from tracker.records import CostPart, Market
from tracker.report.repricing import priced_study_table, reprice
from tracker.report.scenarios import compare_scenarios, price_remarks
from tracker.report.tables import frontier_document

BOOK = load_price_book()
COSTS = {"labelling_usd_per_sample": 0.001, "keep_months": 2.0, "maintenance_share": 0.1}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A real study, billed as a machine of Google's with assumptions of its own."""
    home = tmp_path_factory.mktemp("home")
    document = {**DIGITS, "name": "priced", "costs": COSTS, "pricing": {"sku_cpu": "gcp/e2-standard-2"}}
    return run_study(document, home=home, trials=3)


@pytest.fixture(scope="module")
def table(study):
    return study.table()


def test_every_dollar_leads_back_to_a_usage_a_rate_its_source_and_its_date(table):
    for run in table.runs.to_dict("records"):
        point = price_point_from_row(json.loads(run["price_point"]), "")
        assert point == BOOK.point("gcp/e2-standard-2", Market.ON_DEMAND)
        assert (run["usd_per_hour"], run["price_source"]) == (point.usd_per_hour, point.source)
        assert run["price_date"] == point.effective_from.isoformat()
        compute = run["billed_seconds"] / 3600 * run["usd_per_hour"] * run["machine_share"]
        assert run["compute_usd"] == pytest.approx(compute)
        assert run["maintenance_usd"] == pytest.approx(0.1 * compute)
        assert sum(run[f"{part}_usd"] for part in CostPart) == pytest.approx(run["price_usd"])


def test_the_data_are_paid_for_once_by_the_preparation(table):
    by_role = table.runs.groupby("role")["data_usd"].sum()
    assert by_role["preparation"] == pytest.approx(0.001 * (1400 + 397))
    assert by_role.drop("preparation").sum() == 0


def test_what_a_trial_keeps_is_stored_for_the_months_that_the_study_says(table):
    trials = table.runs[table.runs["role"] == "trial"]
    assert (trials["kept_bytes"] > 0).all()
    months = trials["wall_seconds"] / 3600 / 730 + 2.0
    stored = trials["kept_bytes"] / 2**30 * months * 0.023
    assert trials["storage_usd"].to_numpy() == pytest.approx(stored.to_numpy())


def test_re_pricing_at_the_billed_rates_changes_no_price(table):
    again = reprice(table, Scenario(name="nothing"), BOOK)
    for frame in ("runs", "checkpoints"):
        before, after = getattr(table, frame)["price_usd"], getattr(again, frame)["price_usd"]
        assert after.to_numpy() == pytest.approx(before.to_numpy(), rel=1e-12)
    assert list(again.runs.columns) == list(table.runs.columns)
    assert set(again.runs["price_basis"]) == {"repriced"}
    assert set(table.runs["price_basis"]) == {"billed"}


def test_the_same_runs_on_the_spot_market_in_another_year_or_at_another_seller(study, table):
    spot = reprice(table, Scenario(market=Market.SPOT), BOOK)
    ratio = 0.040212 / 0.067011
    assert (spot.runs["compute_usd"] / table.runs["compute_usd"]).to_numpy() == pytest.approx(ratio, rel=0.01)
    then = study.table(Scenario(skus=("aws/m5.large",), as_of=date(2024, 3, 1)))
    assert set(then.runs["sku"]) == {"aws/m5.large"}
    assert set(then.runs["price_date"]) == {"2022-06-22"}
    assert (then.runs["compute_usd"] / table.runs["compute_usd"]).to_numpy() == pytest.approx(0.096 / 0.067011)
    assert study.spend_usd == table.spend_usd  # what was billed stays what was billed


def test_a_scenario_is_told_with_its_result(study):
    scenario = Scenario(name="half", changes=(RateChange(provider="gcp", factor=0.5),))
    document = study.frontier_document(scenario)
    assert document["scenario"]["sentences"] == ["compute of gcp × 0.5"]
    assert {point["price_basis"] for point in document["points"]} == {"repriced"}
    assert study.frontier_document()["scenario"] is None
    assert price_remarks(study.table(scenario)) == (
        f"scenario half: compute of gcp × 0.5; price book {BOOK.version}",
        "priced at: gcp/e2-standard-2 (on_demand, us-central1) at $0.0335055 an hour of 2026-08-03",
    )


def test_the_users_own_prices_in_the_home_are_used(study):
    (study.home.path / "prices.toml").write_text(
        '[[rate]]\nsku = "lab/box"\narchitecture = "x86_64"\nvcpu = 2\nram_gb = 8\nusd_per_hour = 0.01\n'
        'effective_from = 2026-01-01\nsource = "our own"\n'
        '[[currency]]\ncode = "EUR"\nusd = 1.25\non = 2026-11-01\nsource = "a bank"\n'
    )
    try:
        table = priced_study_table(study.home, study.name, Scenario(skus=("lab/box",)), "EUR")
        assert set(table.runs["price_source"]) == {"our own"}
        assert table.currency.of(table.spend_usd) == pytest.approx(table.spend_usd / 1.25)
        assert price_remarks(table)[-1] == "shown in EUR: 1 EUR = $1.25 on 2026-11-01, a bank"
        assert frontier_document(table)["spend_usd"] == pytest.approx(table.spend_usd)
    finally:
        (study.home.path / "prices.toml").unlink()


# --- two scenarios side by side ------------------------------------------------------------------


def on(sku, row):
    """A trial as if it had been billed as another SKU."""
    run, steps = row
    point = BOOK.point(sku, Market.ON_DEMAND)
    known = {"sku": sku, "price_point": json.dumps(point.row), "usd_per_hour": point.usd_per_hour, "cores": 2}
    return {**run, **known}, steps


def test_who_enters_and_leaves_and_what_each_quality_then_costs(by_hand):
    amazons, googles = by_hand.trial(0, [0.5], [100.0]), by_hand.trial(1, [0.5], [120.0])
    table = by_hand.build([on("aws/m5.large", amazons), on("gcp/e2-standard-2", googles)])
    war = (RateChange(provider="aws", factor=0.5),)
    billed, changed = reprice(table, Scenario(), BOOK), reprice(table, Scenario(name="war", changes=war), BOOK)
    document = compare_scenarios(billed, changed, ("billed", "war"))
    assert (document["entered"], document["left"]) == ([0], [1])
    (level,) = document["levels"]
    google, amazon = 120 / 3600 * 0.067011, 100 / 3600 * 0.096 / 2
    assert (level["first"]["price_usd"], level["second"]["price_usd"]) == (pytest.approx(google), pytest.approx(amazon))
    assert level["price_ratio"] == pytest.approx(amazon / google)
    json.dumps(document, allow_nan=False)


def test_a_quality_that_only_one_frontier_reaches_has_no_ratio(by_hand):
    one = by_hand.build([by_hand.trial(0, [0.5], [100.0])])
    two = by_hand.build([by_hand.trial(0, [0.5], [100.0]), by_hand.trial(1, [0.7], [300.0])])
    levels = compare_scenarios(one, two, ("one", "two"))["levels"]
    assert [level["price_ratio"] for level in levels] == [pytest.approx(1.0), None]
    assert levels[1]["first"] is None


def test_an_empty_study_can_be_re_priced(empty):
    again = reprice(empty, Scenario(market=Market.SPOT), BOOK)
    assert (len(again.runs), again.spend_usd) == (0, 0)


def test_a_large_study_is_priced_row_by_row_like_a_small_one(build_large):
    table = build_large(200, 10)
    priced = reprice(table, Scenario(changes=(RateChange(factor=2.0),)), BOOK)
    assert np.allclose(priced.checkpoints["price_usd"], 2 * table.checkpoints["price_usd"])
    assert not math.isnan(priced.spend_usd)
