"""The shipped price table itself: what holds for every row of it."""

import csv
import re
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise

import pytest

from tracker.pricing.energy import country_of
from tracker.pricing.offers import HOME_REGIONS
from tracker.pricing.price_book import BILLABLE_QUALITIES, PRICES_CSV, load_price_book
from tracker.pricing.price_point import COLUMNS, QUALITIES
from tracker.records import Market

POINTS = load_price_book().points
USD_PER_ACCELERATOR_HOUR = {
    "A10": (0.5, 5.5),
    "A10G": (0.4, 3.5),
    "A100-40GB": (0.5, 5),
    "A100-80GB": (1, 7),
    "B200": (3, 16),
    "B300": (4, 20),
    "GB200": (5, 30),
    "H100": (1.5, 20),
    "H100-NVL": (1.5, 8),
    "H100-PCIe": (1.5, 6),
    "H200": (2, 16),
    "L4": (0.2, 3),
    "L40": (0.5, 2.5),
    "L40S": (0.6, 4),
    "MI300X": (2, 12),
    "RTX4090": (0.3, 1.5),
    "RTXPRO6000": (1, 6),
    "T4": (0.15, 1.5),
    "Trainium1": (0.8, 2),
    "V100": (0.4, 4),
    "V100-32GB": (0.5, 4.5),
}
"""From the cheapest seller's spot offer to the dearest region's list price since 2022, with some room. Most rows in
which the price of one GPU stands for that of its whole machine, or the other way round, lie outside."""


def test_has_the_columns_that_are_documented_in_their_order():
    with PRICES_CSV.open(newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_offers_cpu_and_gpu_machines_of_the_big_clouds_and_of_sellers_of_gpus():
    skus = {point.sku: point for point in POINTS}
    assert len(skus) >= 100
    assert sum(not point.accelerator for point in skus.values()) >= 30
    assert sum(bool(point.accelerator) for point in skus.values()) >= 30
    providers = {point.provider for point in POINTS}
    assert providers >= {
        "aws",
        "gcp",
        "azure",
        "lambda",
        "datacrunch",
        "oblivus",
        "oracle",
        "ovh",
        "paperspace",
        "runpod",
    }
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", provider) for provider in providers)
    assert not any(re.search(r"\s", sku) for sku in skus)


def test_holds_a_history_of_every_year_from_2022_to_2026():
    dated = {(point.sku, point.region, point.market, point.effective_from) for point in POINTS}
    assert len(dated) >= 250
    years = Counter(day.year for *_, day in dated)
    assert sorted(years) == [2022, 2023, 2024, 2025, 2026]
    assert min(years.values()) >= 30


@pytest.mark.parametrize("placeholder", [700.0, 1.0, 0.0])
def test_no_rate_is_a_placeholder(placeholder):
    assert all(point.usd_per_hour != placeholder for point in POINTS)


def test_every_row_says_where_its_figures_are_from_and_under_which_licence():
    for point in POINTS:
        assert point.source and point.licence and point.date_kind, point.place
        assert point.quality in set(QUALITIES) - {"fetched", "user"}, point.place
        assert bool(point.spec_source) == (point.ram_gb is not None), point.place


def test_a_row_that_is_not_the_seller_s_own_says_so():
    qualities = {
        "the-full-stack/website": "table",
        "tsaol/aws-gpu": "table",
        "tugot17/gpu-price-tracker": "median",
    }
    for point in POINTS:
        assert point.quality == qualities.get(point.source.partition("@")[0], "price_list"), point.place


def test_every_date_is_one_on_which_prices_were_known():
    assert all(date(2022, 1, 1) <= point.effective_from <= date(2026, 11, 30) for point in POINTS)


def test_one_offer_has_one_rate_a_day_and_none_ends_after_the_next_began():
    offers = defaultdict(list)
    for point in sorted(POINTS, key=lambda point: point.effective_from):
        offers[point.sku, point.region, point.market].append(point)
    for offer in offers.values():
        for earlier, later in pairwise(offer):
            assert (earlier.effective_to or earlier.effective_from) <= later.effective_from, later.place
            assert earlier.effective_from < later.effective_from, later.place


def test_every_figure_of_money_is_in_us_dollars():
    assert [column for column in COLUMNS if "per_hour" in column or "price" in column] == ["usd_per_hour"]
    assert not re.search(r"[€£¥]|\b(EUR|GBP|CHF|CAD|JPY|CNY|INR)\b", PRICES_CSV.read_text(encoding="utf-8"))


def test_spot_is_cheaper_than_on_demand_ever_was():
    cheapest = defaultdict(lambda: float("inf"))
    for point in POINTS:
        if point.market is Market.ON_DEMAND:
            cheapest[point.sku] = min(cheapest[point.sku], point.usd_per_hour)
    for point in POINTS:
        if point.market is Market.SPOT:
            assert point.usd_per_hour < cheapest[point.sku], point.place


def test_rates_lie_where_such_machines_cost():
    for point in POINTS:
        if point.accelerator:
            low, high = USD_PER_ACCELERATOR_HOUR[point.accelerator]
            assert low < point.usd_per_accelerator_hour < high, point.place
        else:
            assert 0.01 < point.usd_per_hour / point.vcpu < 0.1, point.place


def test_what_others_once_copied_is_never_taken_where_the_seller_s_own_rate_is_known():
    book = load_price_book()
    listed = {(point.sku, point.market) for point in POINTS if point.quality in BILLABLE_QUALITIES}
    assert all(book.point(sku, market).quality in BILLABLE_QUALITIES for sku, market in listed)
    assert book.point("gcp/a2-highgpu-1g", Market.SPOT, date(2023, 1, 1)).usd_per_hour == 1.1
    assert book.point("gcp/a2-highgpu-1g", Market.SPOT).usd_per_hour == 1.92802


@pytest.mark.parametrize(("provider", "count"), [("aws", 16), ("azure", 15), ("gcp", 11)])
def test_each_cloud_has_skus_with_rates_in_several_regions(provider, count):
    regions = defaultdict(set)
    for point in POINTS:
        if point.provider == provider and point.region:
            regions[point.sku].add(point.region)
    several = {sku: places for sku, places in regions.items() if len(places) > 1}
    assert len(several) >= count
    assert all(HOME_REGIONS[provider] in places for places in several.values())


def test_the_country_of_every_region_is_known():
    assert all(country_of(point.provider, point.region) for point in POINTS if point.region)


def test_machines_on_arm_are_marked_as_such():
    arm = {point.sku for point in POINTS if point.architecture == "arm64"}
    assert arm == {"aws/m8g.large", "aws/m8g.2xlarge", "azure/Standard_ND128isr_NDR_GB200_v6"}


def test_one_accelerator_name_means_one_size_of_memory():
    sizes = {(point.accelerator, point.accelerator_memory_gb) for point in POINTS if point.accelerator}
    assert max(Counter(name for name, _ in sizes).values()) == 1
