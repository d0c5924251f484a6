"""The shipped price table itself: what holds for every row of it."""

import csv
from collections import Counter
from datetime import date

import pytest

from tracker.pricing.price_book import PRICES_CSV, load_price_book
from tracker.pricing.price_point import COLUMNS
from tracker.records import Market

POINTS = load_price_book().points


def test_has_the_columns_that_are_documented_in_their_order():
    with PRICES_CSV.open(newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_offers_cpu_and_gpu_machines_of_the_big_clouds():
    skus = {point.sku: point for point in POINTS}
    assert len(skus) >= 100
    assert sum(not point.accelerator for point in skus.values()) >= 30
    assert sum(bool(point.accelerator) for point in skus.values()) >= 30
    assert {point.provider for point in POINTS} == {"aws", "gcp", "azure"}


@pytest.mark.parametrize("placeholder", [700.0, 1.0, 0.0])
def test_no_rate_is_a_placeholder(placeholder):
    assert all(point.usd_per_hour != placeholder for point in POINTS)


def test_every_row_says_where_its_figures_are_from_and_under_which_licence():
    for point in POINTS:
        assert point.source and point.licence and point.date_kind, point.place
        assert point.spec_source or point.ram_gb is None, point.place


def test_every_date_is_one_on_which_prices_were_known():
    assert all(date(2022, 1, 1) <= point.effective_from <= date(2026, 11, 30) for point in POINTS)


def test_spot_is_cheaper_than_on_demand():
    on_demand = {(p.sku, p.region): p.usd_per_hour for p in POINTS if p.market is Market.ON_DEMAND}
    for point in POINTS:
        if point.market is Market.SPOT and (point.sku, point.region) in on_demand:
            assert point.usd_per_hour < on_demand[point.sku, point.region], point.place


def test_rates_lie_where_such_machines_cost():
    for point in POINTS:
        if point.accelerator:
            assert 0.1 < point.usd_per_accelerator_hour < 30, point.place
        else:
            assert 0.01 < point.usd_per_hour / point.vcpu < 0.1, point.place


def test_machines_on_arm_are_marked_as_such():
    arm = {point.sku for point in POINTS if point.architecture == "arm64"}
    assert arm == {"aws/m8g.large", "aws/m8g.2xlarge", "azure/Standard_ND128isr_NDR_GB200_v6"}


def test_one_accelerator_name_means_one_size_of_memory():
    sizes = {(point.accelerator, point.accelerator_memory_gb) for point in POINTS if point.accelerator}
    assert max(Counter(name for name, _ in sizes).values()) == 1
