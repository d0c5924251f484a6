from dataclasses import replace
from datetime import date

import pytest

from tracker.pricing.catalogues.update import MOST_JUMP, Update, update_price_table
from tracker.pricing.price_book import PriceBook, load_price_book
from tracker.pricing.price_point import COLUMNS, PricePoint
from tracker.pricing.price_table import read_price_table
from tracker.records import Market

TODAY = date(2026, 12, 1)
TOMORROW = date(2026, 12, 2)
LISTED = PricePoint(
    provider="acme",
    sku="acme/small",
    region="here",
    architecture="x86_64",
    accelerator="H100",
    accelerator_count=1,
    accelerator_memory_gb=80,
    vcpu=4,
    ram_gb=15.5,
    market=Market.ON_DEMAND,
    usd_per_hour=2.0,
    effective_from=date(2026, 1, 1),
    effective_to=None,
    quality="price_list",
    date_kind="list price",
    source="a test",
    licence="none",
    spec_source="a test",
)
BOOK = PriceBook((LISTED,))
FETCHED = replace(
    LISTED, usd_per_hour=1.9, effective_from=TODAY, quality="fetched", source='an API, "live"', date_kind="live"
)
SPOT = replace(FETCHED, market=Market.SPOT, usd_per_hour=0.1 + 0.2)
BIG = replace(FETCHED, sku="acme/big", accelerator_count=8, vcpu=32, usd_per_hour=16)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "home" / "prices.csv"


# --- what is appended ------------------------------------------------------------------------------


def test_new_rates_are_appended_to_a_table_that_is_made_for_them(table):
    update = update_price_table(table, BOOK, [FETCHED, SPOT, BIG])
    assert update == Update(appended=(FETCHED, BIG, SPOT), unchanged=0, refused=())
    assert read_price_table(table) == update.appended
    assert table.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert PriceBook((*BOOK.points, *read_price_table(table))).point("acme/small", Market.ON_DEMAND, TODAY) == FETCHED


def test_a_rate_that_is_known_is_not_appended_again(table):
    update_price_table(table, BOOK, [FETCHED, SPOT])
    before = table.read_bytes()
    again = [replace(FETCHED, effective_from=TOMORROW), replace(SPOT, effective_from=TOMORROW), SPOT]
    assert update_price_table(table, BOOK, again) == Update(appended=(), unchanged=3, refused=())
    # A book that has read the table is reported the same.
    book = PriceBook((*BOOK.points, *read_price_table(table)))
    assert update_price_table(table, book, again).unchanged == 3
    assert table.read_bytes() == before


def test_a_rate_computed_in_another_way_is_the_same_rate(table):
    book = PriceBook((replace(LISTED, usd_per_hour=0.3),))
    assert update_price_table(table, book, [replace(FETCHED, usd_per_hour=0.1 + 0.2)]).unchanged == 1


def test_a_change_of_the_next_day_is_one_more_row(table):
    update_price_table(table, BOOK, [FETCHED])
    dearer = replace(FETCHED, usd_per_hour=2.5, effective_from=TOMORROW)
    assert update_price_table(table, BOOK, [dearer]).appended == (dearer,)
    book = PriceBook((*BOOK.points, *read_price_table(table)))
    rates = [
        book.point("acme/small", Market.ON_DEMAND, day).usd_per_hour for day in (date(2026, 6, 1), TODAY, TOMORROW)
    ]
    assert rates == [2.0, 1.9, 2.5]


def test_a_rate_of_an_old_table_is_appended_where_a_live_catalogue_confirms_it(table):
    book = PriceBook((replace(LISTED, quality="table"),))
    same = replace(FETCHED, usd_per_hour=LISTED.usd_per_hour)
    assert update_price_table(table, book, [same]).appended == (same,)


def test_a_rate_that_had_ended_is_appended_where_it_is_sold_again(table):
    book = PriceBook((replace(LISTED, effective_to=date(2026, 6, 1)),))
    same = replace(FETCHED, usd_per_hour=LISTED.usd_per_hour)
    assert update_price_table(table, book, [same]).appended == (same,)


def test_a_rate_that_the_user_agreed_on_does_not_keep_the_listed_one_out(table):
    agreed = replace(LISTED, quality="user", usd_per_hour=0.01, effective_from=TODAY)
    assert update_price_table(table, PriceBook((LISTED, agreed)), [FETCHED]).appended == (FETCHED,)


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (replace(FETCHED, ram_gb=16), "acme/small (here, on_demand): acme/small (on_demand, 2026-12-01): describes "
         "another machine"),
        (replace(FETCHED, region="there", vcpu=8), "acme/small (there, on_demand): acme/small (on_demand, 2026-12-01): "
         "describes another machine"),
        (replace(FETCHED, usd_per_hour=2.0 * MOST_JUMP * 1.01), "20.2 is 10.1 times the rate of 2026-01-01 (2)"),
        (replace(FETCHED, usd_per_hour=2.0 / MOST_JUMP * 0.99), "0.198 is 0.099 times the rate of 2026-01-01 (2)"),
        (replace(FETCHED, region="there", usd_per_hour=21), "21 is more than 10 times the dearest rate known of such"),
        (replace(BIG, usd_per_hour=161), "161 is more than 10 times the dearest rate known of such a machine (16)"),
        (replace(BIG, accelerator="B9000", usd_per_hour=700), "700 is what some catalogues write for a machine that"),
        (replace(FETCHED, effective_from=date(2026, 1, 1)), "1.9 from 2026-01-01 on, but a rate (2) that begins on"),
        (replace(FETCHED, effective_from=date(2025, 12, 31)), "1.9 from 2025-12-31 on, but a rate (2) that begins on"),
        (replace(SPOT, usd_per_hour=2.0), "spot rate 2 is the on_demand rate of acme/small (on_demand, 2026-01-01)"),
    ],
)  # fmt: skip
def test_a_rate_that_cannot_be_right_is_refused_and_the_others_are_appended(table, bad, shown):
    good = replace(FETCHED, sku="acme/other")
    update = update_price_table(table, BOOK, [bad, good])
    assert (update.appended, update.unchanged) == ((good,), 0)
    assert len(update.refused) == 1
    assert update.refused[0].startswith(f"{bad.sku} ({bad.region}, {bad.market}): ")
    assert shown in update.refused[0]


def test_a_large_change_is_not_yet_an_absurd_one(table):
    changes = [replace(FETCHED, usd_per_hour=2.0 * MOST_JUMP), replace(SPOT, usd_per_hour=0.02)]
    assert len(update_price_table(table, BOOK, changes).appended) == 2


def test_of_spot_rates_only_those_that_are_copies_of_on_demand_are_refused(table):
    copy = replace(SPOT, usd_per_hour=FETCHED.usd_per_hour)
    elsewhere = replace(SPOT, region="there")
    update = update_price_table(table, BOOK, [copy, elsewhere, FETCHED])
    assert update.appended == (FETCHED, elsewhere)
    assert len(update.refused) == 1
    assert "spot rate 1.9 is the on_demand rate" in update.refused[0]


def test_of_two_rates_of_one_day_the_first_is_taken(table):
    update = update_price_table(table, BOOK, [FETCHED, FETCHED, replace(FETCHED, usd_per_hour=1.8)])
    assert update.appended == (FETCHED,)
    assert len(update.refused) == 1


def test_of_two_machines_of_one_name_the_first_is_taken(table):
    update = update_price_table(table, BOOK, [BIG, replace(BIG, region="there", accelerator_count=4)])
    assert update.appended == (BIG,)
    assert "describes another machine" in update.refused[0]


def test_the_shipped_book_can_be_updated_with_itself(table):
    book = load_price_book()
    shipped = [point for point in book.points if point.quality == "price_list"]
    newest = {(point.sku, point.region, point.market): point for point in shipped}
    again = [replace(point, effective_from=TODAY, quality="fetched") for point in newest.values()]
    assert update_price_table(table, book, again) == Update((), len(again), ())
    dearer = [replace(point, usd_per_hour=point.usd_per_hour * 1.1) for point in again]
    assert update_price_table(table, book, dearer).refused == ()
    assert PriceBook((*book.points, *read_price_table(table))).skus == book.skus
