"""The shipped tables of chips, grids and regions themselves: what holds for every row of them."""

import csv
import re
from collections import Counter
from datetime import date

import pytest

from tracker.pricing.energy import country_of, cpu_chip, grams_per_kwh, tdp_of_accelerator
from tracker.pricing.price_book import PRICES_CSV, load_price_book

COLUMNS = {
    "chips.csv": ["name", "kind", "tdp_watts", "threads", "pattern", "source", "date"],
    "grid_carbon.csv": ["country", "name", "grams_per_kwh", "year", "source"],
    "regions.csv": ["provider", "region", "country", "source"],
}
WITHOUT_PUBLIC_TDP = {"Trainium1"}
"""Accelerators of the price book whose maker publishes no design power."""


def rows_of(name):
    with PRICES_CSV.with_name(name).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == COLUMNS[name]
        return list(reader)


CHIPS = rows_of("chips.csv")
CPUS = [row for row in CHIPS if row["kind"] == "cpu"]
GRIDS = rows_of("grid_carbon.csv")
REGIONS = rows_of("regions.csv")


def duplicates(names):
    return [name for name, count in Counter(names).items() if count > 1]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_row_has_all_cells_and_a_source(name):
    for row in rows_of(name):
        assert None not in row and None not in row.values(), row
        assert row["source"].strip(), row


def test_nothing_is_there_twice():
    assert not duplicates(row["name"] for row in CHIPS)
    assert not duplicates(row["pattern"] for row in CHIPS if row["pattern"])
    assert not duplicates(row["country"] for row in GRIDS)
    assert not duplicates(row["name"].casefold() for row in GRIDS)
    assert not duplicates((row["provider"], row["region"]) for row in REGIONS)


def test_a_countrys_name_is_never_anothers_code():
    assert not {row["name"].casefold() for row in GRIDS} & {row["country"].casefold() for row in GRIDS}


@pytest.mark.parametrize("row", CHIPS, ids=lambda row: row["name"])
def test_a_chips_figures_are_plausible(row):
    assert row["kind"] in ("accelerator", "cpu")
    assert 5 <= float(row["tdp_watts"]) <= 3000
    assert date.fromisoformat(row["date"]) >= date(2020, 1, 1)
    if row["kind"] == "cpu":
        assert int(row["threads"]) > 0
        assert (
            1 <= float(row["tdp_watts"]) / int(row["threads"]) <= 15
        )  # the whole chip's power, and all of its threads
        assert row["pattern"]
    else:
        assert row["threads"] == ""


@pytest.mark.parametrize("row", [row for row in CHIPS if row["pattern"]], ids=lambda row: row["name"])
def test_a_pattern_matches_its_own_chip_alone(row):
    pattern = re.compile(row["pattern"], re.IGNORECASE)
    matched = [other["name"] for other in CHIPS if pattern.search(other["name"])]
    assert matched in ([row["name"]], []) if row["kind"] == "accelerator" else matched == [row["name"]]


@pytest.mark.parametrize("row", CHIPS, ids=lambda row: row["name"])
def test_a_chip_is_found_by_its_name(row):
    chip = cpu_chip(row["name"]) if row["kind"] == "cpu" else tdp_of_accelerator(row["name"])
    assert chip is not None
    assert (chip.name, chip.tdp_watts) == (row["name"], float(row["tdp_watts"]))


@pytest.mark.parametrize(
    "name", ["", "AMD EPYC", "AMD EPYC Processor", "Intel(R) Xeon(R) CPU @ 2.20GHz", "QEMU Virtual CPU"]
)
def test_a_cpu_that_hides_what_it_is_stays_unknown(name):
    assert not [row["name"] for row in CPUS if re.search(row["pattern"], name, re.IGNORECASE)]


def test_every_accelerator_of_the_price_book_has_a_design_power():
    unknown = {name for name in load_price_book().accelerators if tdp_of_accelerator(name) is None}
    assert unknown <= WITHOUT_PUBLIC_TDP


def test_a_grids_figures_are_plausible():
    for row in GRIDS:
        assert re.fullmatch(r"[A-Z]{3}", row["country"]), row
        assert 0 < float(row["grams_per_kwh"]) <= 1500, row  # over its life cycle no grid is free of CO2: 0 is a gap
        assert 2000 <= int(row["year"]) <= date.today().year, row


def test_every_region_is_in_a_country_whose_grid_is_known():
    for row in REGIONS:
        assert row["provider"] in ("aws", "azure", "gcp")
        assert row["region"] == row["region"].casefold()
        assert country_of(row["provider"], row["region"]) == row["country"]
        assert grams_per_kwh(row["country"]).country == row["country"]


def test_every_region_that_the_three_clouds_have_rates_for_is_known():
    clouds = {row["provider"] for row in REGIONS}
    offered = {(point.provider, point.region) for point in load_price_book().points if point.provider in clouds}
    assert [where for where in sorted(offered) if where[1] and country_of(*where) is None] == []
