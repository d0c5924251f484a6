"""A study at other prices: the same usage, other rates, and never a prediction in the clothes of a measurement."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.studies import DIGITS
from tracker import run_study
from tracker.errors import PriceBookError, ScenarioError
from tracker.pricing.price_book import load_price_book
from tracker.pricing.price_point import price_point_from_row
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario
from tracker.records import CostPart, Direction, Market
from tracker.report.repricing import priced_study_table, reprice
from tracker.report.scenarios import compare_scenarios, price_remarks
from tracker.report.tables import frontier_document, frontier_table, runs_document, spend_by_part
from tracker.study.costs import CostTerms

BOOK = load_price_book()
HARDWARE = Path(__file__).parents[2] / "experiments/scenarios/hardware.toml"
COSTS = {"labelling_usd_per_sample": 0.001, "keep_months": 2.0, "maintenance_share": 0.1}


@pytest.fixture(scope="module")
def study(new_home):
    """A real study, billed as a machine of Google's with assumptions of its own."""
    document = {**DIGITS, "name": "priced", "costs": COSTS, "pricing": {"sku_cpu": "gcp/e2-standard-2"}}
    return run_study(document, home=new_home(), trials=3)


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


def test_a_scenario_is_reported_with_its_result(study):
    scenario = Scenario(name="half", changes=(RateChange(provider="gcp", factor=0.5),))
    document = study.frontier_document(scenario)
    assert document["scenario"]["sentences"] == ["compute of gcp × 0.5"]
    assert {point["price_basis"] for point in document["points"]} == {"repriced"}
    assert study.frontier_document()["scenario"] is None
    assert price_remarks(study.table(scenario))[:2] == (
        f"scenario half: compute of gcp × 0.5; price book {BOOK.version}",
        "priced at: gcp/e2-standard-2 (on_demand, us-central1) at $0.0335055 an hour of 2026-08-03",
    )
    json.dumps(runs_document(study.table(scenario)), allow_nan=False)


def test_another_kind_of_device_is_refused_as_a_prediction(table):
    with pytest.raises(ScenarioError, match=r"aws/m7i.xlarge is another kind of device \(4 vCPU x86_64\).* prediction"):
        reprice(table, Scenario(skus=("aws/m7i.xlarge",)), BOOK)
    with pytest.raises(ScenarioError, match=r"\(H100\).* than any run was measured on \(2 vCPU x86_64\)"):
        reprice(table, Scenario(skus=("aws/p5.4xlarge",)), BOOK)


def test_runs_on_another_kind_of_device_keep_their_sku_and_that_is_said(table):
    runs = table.runs.copy()
    four = json.dumps(BOOK.point("aws/m7i.xlarge", Market.ON_DEMAND).row)
    runs.loc[0, ["sku", "price_point"]] = ["aws/m7i.xlarge", four]
    mixed = reprice(replace(table, runs=runs), Scenario(skus=("aws/m5.large",)), BOOK)
    assert list(mixed.runs["sku"]) == ["aws/m7i.xlarge", *["aws/m5.large"] * (len(runs) - 1)]
    assert "because they ran on another kind of device than aws/m5.large: 1 run;" in " ".join(price_remarks(mixed))


def test_a_missing_rate_is_reported_and_nothing_is_priced(table):
    with pytest.raises(PriceBookError, match=r"gcp/e2-standard-2 has no reserved rate; it has: on_demand, spot"):
        reprice(table, Scenario(market=Market.RESERVED), BOOK)


def test_terms_and_other_parts_can_be_changed(table):
    free = reprice(table, Scenario(terms={"labelling_usd_per_sample": 0.0, "keep_months": 0.0}), BOOK)
    assert spend_by_part(free)["data"] == 0
    assert free.terms == CostTerms(maintenance_share=0.1)
    dearer = reprice(table, Scenario(changes=(RateChange(part="data", factor=3.0),)), BOOK)
    assert spend_by_part(dearer)["data"] == pytest.approx(3 * spend_by_part(table)["data"])


@settings(deadline=None)
@given(factor=st.floats(0.01, 100))
def test_a_factor_on_everything_moves_every_price_and_no_rank(table, factor):
    changes = tuple(RateChange(part=part, factor=factor) for part in ("compute", "storage", "data"))
    scaled = reprice(table, Scenario(changes=changes), BOOK)
    assert scaled.spend_usd == pytest.approx(table.spend_usd * factor)
    before, after = frontier_table(table), frontier_table(scaled)
    assert list(after["run_id"] + after["epoch"].astype(str)) == list(before["run_id"] + before["epoch"].astype(str))


def test_a_run_that_was_logged_without_its_price_point_is_found_in_the_book(table):
    old = replace(table, runs=table.runs.assign(price_point=""))
    assert reprice(old, Scenario(market=Market.SPOT), BOOK).spend_usd == pytest.approx(
        reprice(table, Scenario(market=Market.SPOT), BOOK).spend_usd
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


def test_where_lower_is_better_the_levels_are_reached_from_above(by_hand):
    trials = [by_hand.trial(0, [0.9, 0.4], [100.0, 200.0]), by_hand.trial(1, [0.6], [90.0])]
    table = by_hand.build(trials, direction=Direction.MINIMIZE)
    levels = compare_scenarios(table, table, ("one", "two"))["levels"]
    assert [level["quality"] for level in levels] == [0.6, 0.4]
    assert [level["first"]["trial"] for level in levels] == [1, 0]
    assert [level["price_ratio"] for level in levels] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("sku", "factor"), [("aws/p5.48xlarge", 0.56), ("aws/p4de.24xlarge", 0.67), ("aws/m5.large", 1)]
)
def test_the_hardware_front_is_won_by_those_who_train_on_its_chips(by_hand, sku, factor):
    run, steps = on(sku, by_hand.trial(0, [0.5], [100.0]))
    table = by_hand.build([({**run, "accelerators": int(sku != "aws/m5.large")}, steps)])
    billed, cheaper = (reprice(table, each, BOOK) for each in (Scenario(), read_scenario(HARDWARE)))
    assert cheaper.spend_usd / billed.spend_usd == pytest.approx(factor)
    idle = [remark for remark in price_remarks(cheaper) if "changes the price of no run" in remark]
    assert len(idle) == (4 if factor == 1 else 3)


def test_a_mixed_study_is_moved_with_a_sku_for_each_kind_of_device(by_hand):
    gpu, steps = on("aws/p5.48xlarge", by_hand.trial(0, [0.5], [100.0]))
    cpu, other = on("aws/m5.large", by_hand.trial(1, [0.4], [100.0]))
    table = by_hand.build([({**gpu, "accelerators": 1}, steps), (cpu, other)])
    with pytest.raises(PriceBookError, match=r"aws/.* has no spot rate.*same kind of device these have one: .*gcp/"):
        reprice(table, Scenario(market=Market.SPOT), BOOK)
    moved = reprice(table, Scenario(market=Market.SPOT, skus=("gcp/a3-highgpu-8g", "gcp/e2-standard-2")), BOOK)
    assert list(moved.runs["sku"]) == ["gcp/a3-highgpu-8g", "gcp/e2-standard-2"]
    cheap = reprice(table, Scenario(changes=(RateChange(usd_per_accelerator_hour=1.5),)), BOOK)
    assert list(cheap.runs["usd_per_hour"]) == [pytest.approx(12.0), 0.096]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (RateChange(provider="gcq", factor=0.5), "unknown provider 'gcq'; did you mean 'gcp'?"),
        (RateChange(accelerator="h100", factor=0.5), "unknown accelerator 'h100'; did you mean 'H100'?"),
        (RateChange(sku="gcp/e2-standard-22", factor=0.5), "unknown sku 'gcp/e2-standard-22'; did you mean"),
    ],
)
def test_a_scenario_that_names_what_nobody_knows_is_refused(table, change, said):
    with pytest.raises(ScenarioError) as caught:
        reprice(table, Scenario(changes=(change,)), BOOK)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"factor": -1.0},
        {"factor": 0.0},
        {"factor": 0.5, "usd_per_hour": 3.0},
        {"usd_per_hour": math.nan},
        {"part": "dta", "factor": 0.5},
        {"decline_per_year": 1.5, "until": date(2028, 1, 1)},
    ],
)
def test_a_change_from_python_is_held_to_the_same_rules_as_one_from_a_file(wrong):
    with pytest.raises(ScenarioError):
        RateChange(**wrong)
    with pytest.raises(ScenarioError, match="is not a date like"):
        Scenario(as_of="2026-08-03")
    with pytest.raises(ScenarioError, match=r"costs.keep_month: unknown key; did you mean 'keep_months'"):
        Scenario(terms={"keep_month": 1})


def test_the_usage_at_a_checkpoint_is_that_of_the_step_before_where_it_did_not_change(table):
    free = reprice(table, Scenario(terms={"startup_billed": False}), BOOK)
    trials = free.checkpoints.assign(startup_seconds=free.usage("startup_seconds")).query("role == 'trial'")
    assert (trials["startup_seconds"] > 0).all()
    run = free.runs.set_index("run_id").loc[trials["run_id"].iloc[0]]
    seconds = trials["wall_seconds"] - trials["startup_seconds"]
    expected = seconds / 3600 * run["usd_per_hour"] * 0.5 * 1.1  # half of two vCPU, a tenth for upkeep
    assert trials["price_usd"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-4)


def test_an_empty_study_can_be_re_priced(empty):
    again = reprice(empty, Scenario(market=Market.SPOT), BOOK)
    assert (len(again.runs), again.spend_usd) == (0, 0)


def test_a_large_study_is_priced_row_by_row_like_a_small_one(build_large):
    table = build_large(200, 10)
    priced = reprice(table, Scenario(changes=(RateChange(factor=2.0),)), BOOK)
    assert np.allclose(priced.checkpoints["price_usd"], 2 * table.checkpoints["price_usd"])
    assert not math.isnan(priced.spend_usd)
