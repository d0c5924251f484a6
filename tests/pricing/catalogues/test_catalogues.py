"""From a live catalogue to the table of fetched prices."""

import csv
from dataclasses import replace
from datetime import date

import pytest

from tracker.errors import CatalogueError
from tracker.pricing.catalogues import CATALOGUES
from tracker.pricing.catalogues.azure import fetch_azure
from tracker.pricing.catalogues.gpuhunt_offers import fetch_gpuhunt
from tracker.pricing.catalogues.update import update_price_table
from tracker.pricing.price_book import load_price_book

BOOK = load_price_book()
TODAY = date(2026, 12, 1)


def test_every_catalogue_is_found_by_its_name():
    assert set(CATALOGUES) == {"azure", "gpuhunt"}
    assert all(name == catalogue.name and catalogue.help for name, catalogue in CATALOGUES.items())


def test_what_is_fetched_ends_in_the_table_and_a_spot_rate_that_is_a_copy_does_not(gpuhunt_at, tmp_path):
    h100 = "p5.48xlarge,us-east-1,50.0,192,2048.0,8,H100,80.0,False,,nvidia,,x86,{}"
    cpu = "m7i.large,us-east-1,0.11,2,8.0,0,,,False,,,,x86,{}"
    gpuhunt_at(aws=[h100, h100.replace("False", "True"), cpu])
    table = tmp_path / "prices.csv"
    update = update_price_table(table, BOOK, fetch_gpuhunt(BOOK, TODAY).points)
    with table.open(newline="") as file:
        written = [(row["sku"], row["market"], row["usd_per_hour"]) for row in csv.DictReader(file)]
    assert written == [("aws/p5.48xlarge", "on_demand", "50"), ("aws/m7i.large", "on_demand", "0.11")]
    assert len(update.refused) == 1
    assert "spot rate 50 is the on_demand rate" in update.refused[0]


def test_without_a_network_the_table_stays_as_it_is(closed_port, tmp_path):
    table = tmp_path / "prices.csv"
    known = BOOK.points[0]
    update_price_table(table, BOOK, [replace(known, usd_per_hour=known.usd_per_hour * 1.1, effective_from=TODAY)])
    before = table.read_bytes()
    with pytest.raises(CatalogueError):
        update_price_table(table, BOOK, fetch_azure(BOOK, TODAY, url=f"http://127.0.0.1:{closed_port}").points)
    assert table.read_bytes() == before
