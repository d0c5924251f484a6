"""Writing to a price table: at its end, whole or not at all, by several at once."""

import fcntl
import multiprocessing
import os
from dataclasses import replace
from datetime import date

import pytest

from tracker.errors import PriceBookError, StoreError
from tracker.pricing.catalogues.update import update_price_table
from tracker.pricing.price_book import PriceBook, load_price_book
from tracker.pricing.price_point import COLUMNS
from tracker.pricing.price_table import read_price_table
from tracker.records import Market

LISTED = load_price_book().point("aws/p5.48xlarge", Market.ON_DEMAND)
BOOK = PriceBook((LISTED,))
FETCHED = replace(
    LISTED, usd_per_hour=50.5, effective_from=date(2026, 12, 1), quality="fetched", source='an API, "live"'
)
OTHER = replace(FETCHED, sku="aws/other", usd_per_hour=16)
OLD_TABLE = ",".join(COLUMNS) + "\nown,own/x,,,,0,,4,16,on_demand,0.2,2026-01-01,,user,contract,me,,me\n"


@pytest.fixture
def table(tmp_path):
    return tmp_path / "home" / "prices.csv"


@pytest.fixture
def old_table(table):
    table.parent.mkdir()
    table.write_text(OLD_TABLE)
    return table


# --- the file ------------------------------------------------------------------------------------


def test_what_is_in_the_table_already_stays_byte_for_byte(old_table):
    update_price_table(old_table, BOOK, [FETCHED])
    assert old_table.read_text().startswith(OLD_TABLE)
    assert read_price_table(old_table)[1:] == (FETCHED,)


@pytest.mark.parametrize(
    "before",
    [
        OLD_TABLE.rstrip("\n"),
        OLD_TABLE.replace("\n", "\r\n"),
        ",".join(COLUMNS) + "\n",
        ",".join(COLUMNS),
        "\n".join(",".join(reversed(line.split(","))) for line in OLD_TABLE.splitlines()),
    ],
)
def test_rows_go_behind_a_table_however_a_spreadsheet_saved_it(old_table, before):
    old_table.write_bytes(before.encode())
    existing = read_price_table(old_table)
    update_price_table(old_table, BOOK, [FETCHED])
    assert old_table.read_bytes().startswith(before.encode())
    assert read_price_table(old_table) == (*existing, FETCHED)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (OLD_TABLE.replace(",0.2,", ",0,"), "prices.csv, line 2: usd_per_hour is 0"),
        (OLD_TABLE + "own,own/x,,", "prices.csv, line 3: has not the"),
        (OLD_TABLE.replace("licence", "license", 1), "unknown column 'license'"),
        (OLD_TABLE + OLD_TABLE.splitlines()[1] + "\n", "prices.csv, line 3: a second rate for own/x"),
        (OLD_TABLE.replace("own,own/x", "aws,aws/p5.48xlarge"), "describes another machine than"),
        ("", "no column provider"),
        ("\x89PNG\r\n", "unknown column"),
    ],
)
def test_a_table_that_is_malformed_is_reported_and_left_alone(old_table, content, shown):
    old_table.write_text(content)
    before = old_table.read_bytes()
    with pytest.raises(PriceBookError, match=shown):
        update_price_table(old_table, BOOK, [FETCHED])
    assert old_table.read_bytes() == before
    assert not (old_table.parent / ".prices.csv.new").exists()


def test_where_nothing_is_appended_the_file_is_not_touched(old_table):
    before = old_table.stat()
    update_price_table(old_table, BOOK, [replace(FETCHED, usd_per_hour=LISTED.usd_per_hour)])
    after = old_table.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def fail(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_disk_that_fails_leaves_the_table_as_it_was(old_table, monkeypatch, broken):
    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(StoreError) as caught:
        update_price_table(old_table, BOOK, [FETCHED])
    assert str(caught.value) == f"'{old_table}' cannot be written: No space left on device"
    assert old_table.read_text() == OLD_TABLE
    assert sorted(path.name for path in old_table.parent.iterdir()) == [".prices.csv.lock", "prices.csv"]


def test_a_row_that_would_be_read_as_another_is_not_written(old_table):
    owned = replace(FETCHED, energy_usd_per_hour=0.1)  # a table has no column for it
    with pytest.raises(StoreError, match="nothing was appended"):
        update_price_table(old_table, BOOK, [owned])
    assert old_table.read_text() == OLD_TABLE


def test_a_place_that_cannot_be_written_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    table = tmp_path / "file" / "prices.csv"
    with pytest.raises(StoreError) as caught:
        update_price_table(table, BOOK, [FETCHED])
    assert str(caught.value) == f"'{table}' cannot be written: Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_reported_in_one_line(old_table):
    old_table.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be written: Permission denied"):
            update_price_table(old_table, BOOK, [FETCHED])
    finally:
        old_table.parent.chmod(0o700)
    assert old_table.read_text() == OLD_TABLE


def test_what_a_killed_update_left_is_no_hindrance(old_table):
    (old_table.parent / ".prices.csv.new").write_text("half a row")
    assert update_price_table(old_table, BOOK, [FETCHED]).appended == (FETCHED,)
    assert [path.name for path in sorted(old_table.parent.iterdir())] == [".prices.csv.lock", "prices.csv"]


def test_who_may_read_the_table_stays_the_same(old_table):
    old_table.chmod(0o640)
    update_price_table(old_table, BOOK, [FETCHED])
    assert old_table.stat().st_mode & 0o777 == 0o640


def test_a_table_that_is_a_link_stays_one(old_table, tmp_path):
    link = tmp_path / "prices.csv"
    link.symlink_to(old_table)
    update_price_table(link, BOOK, [FETCHED])
    assert link.is_symlink()
    assert len(read_price_table(old_table)) == 2


# --- several at once -------------------------------------------------------------------------------

PROCESSES = multiprocessing.get_context("fork")
UPDATES_EACH = 20


def update_often(table, name, start):
    start.wait()
    for number in range(UPDATES_EACH):
        update_price_table(table, BOOK, [replace(FETCHED, sku=f"aws/{name}{number}")])


def test_of_two_updates_at_once_neither_loses_a_row(table):
    start = PROCESSES.Barrier(2)
    both = [PROCESSES.Process(target=update_often, args=(table, name, start)) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    skus = {point.sku for point in read_price_table(table)}
    assert skus == {f"aws/{name}{number}" for name in "ab" for number in range(UPDATES_EACH)}


def test_an_update_waits_for_another_and_then_knows_what_it_appended(old_table, tmp_path):
    update_price_table(tmp_path / "theirs.csv", BOOK, [OTHER])
    theirs = (tmp_path / "theirs.csv").read_text().splitlines()[1]
    with (old_table.parent / ".prices.csv.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = PROCESSES.Process(target=update_price_table, args=(old_table, BOOK, [FETCHED, OTHER]))
        process.start()
        process.join(0.3)
        assert process.is_alive()
        assert old_table.read_text() == OLD_TABLE
        old_table.write_text(f"{OLD_TABLE}{theirs}\n")
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: the process has inherited the file
    process.join()
    assert process.exitcode == 0
    assert [point.sku for point in read_price_table(old_table)] == ["own/x", OTHER.sku, FETCHED.sku]
