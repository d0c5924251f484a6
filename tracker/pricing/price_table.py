"""Reading a price table (CSV) and holding its rows to the rules that span rows."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.price_point import COLUMNS, PricePoint, price_point_from_row
from tracker.records import Market

COLUMN_HELP: Mapping[str, str] = {
    "provider": "who sells the machine",
    "sku": "the machine, as provider/name",
    "region": "where it is sold; blank for any region",
    "architecture": "of its CPU: x86_64 or arm64; blank where it is not stated",
    "accelerator": "the accelerator's name; blank without one",
    "accelerator_count": "accelerators of the machine",
    "accelerator_memory_gb": "memory of one accelerator, in GiB",
    "vcpu": "virtual CPUs; blank where nobody could verify it",
    "ram_gb": "memory, in GiB; blank where nobody could verify it",
    "market": "how it is bought: on_demand, spot, reserved or on_prem",
    "usd_per_hour": "the rate of the whole machine, in USD an hour",
    "effective_from": "the first day that the rate holds",
    "effective_to": "the day after the last one; blank until the next rate of the same SKU, region and market",
    "quality": "how far the rate can be trusted; see below",
    "date_kind": "what effective_from is: the day of a price list, of a catalogue, …",
    "source": "where the rate is from",
    "licence": "the source's licence",
    "spec_source": "where vCPU and memory are from",
}
"""What each column of a price table holds, with its unit."""


def read_price_table(path: Path) -> tuple[PricePoint, ...]:
    """The price points of a CSV file with the columns COLUMNS, each right by itself.

    Raises PriceBookError naming the file, the line and what is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            _check_columns(path, rows.fieldnames or ())
            return tuple(_point(row, f"{path.name}, line {rows.line_num}") for row in rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PriceBookError(f"{path} cannot be read as a price table: {error}") from error


def check_together(points: Iterable[PricePoint]) -> None:
    """Hold the rules that no row can break alone.

    One SKU is one machine; at most one rate a day for a SKU in a region and market, the user's own rates apart
    from the listed ones; a spot rate is not its on-demand rate (such rows are copies, not prices). Raises
    PriceBookError naming both rows.
    """
    by_sku: dict[str, list[PricePoint]] = defaultdict(list)
    by_offer: dict[tuple[str, str, Market, bool], list[PricePoint]] = defaultdict(list)
    for point in points:
        by_sku[point.sku].append(point)
        by_offer[point.sku, point.region, point.market, point.quality == "user"].append(point)
    for same in by_sku.values():
        for point in same[1:]:
            if point.machine != same[0].machine:
                raise PriceBookError(f"{_where(point)}: describes another machine than {_where(same[0])}")
    for (sku, region, market, users), offer in by_offer.items():
        _check_periods(offer)
        if market is Market.SPOT:
            _check_spot(offer, by_offer.get((sku, region, Market.ON_DEMAND, users), []))


def _check_columns(path: Path, found: Iterable[str]) -> None:
    columns = tuple(found)
    for column in columns:
        if column not in COLUMNS:
            raise PriceBookError(f"{path.name}, line 1: unknown column {column!r}; {did_you_mean(column, COLUMNS)}")
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise PriceBookError(f"{path.name}, line 1: no column {', '.join(missing)}")


def _point(row: dict[str, str], place: str) -> PricePoint:
    # DictReader gives None for a cell that is missing, and keeps surplus cells under the key None.
    if None in row or None in row.values():
        raise PriceBookError(f"{place}: has not the {len(COLUMNS)} cells of the header")
    return price_point_from_row(row, place)


def _check_periods(offer: list[PricePoint]) -> None:
    offer.sort(key=lambda point: point.effective_from)
    for earlier, later in pairwise(offer):
        end = earlier.effective_to
        if earlier.effective_from == later.effective_from or (end is not None and end > later.effective_from):
            raise PriceBookError(
                f"{_where(later)}: a second rate for {later.sku}, {later.market} on {later.effective_from}, "
                f"beside {_where(earlier)}"
            )


def _check_spot(spot: list[PricePoint], on_demand: list[PricePoint]) -> None:
    for point in spot:
        started = [twin for twin in on_demand if twin.effective_from <= point.effective_from]
        twin = max(started, key=lambda each: each.effective_from, default=None)
        if twin is not None and twin.usd_per_hour == point.usd_per_hour:
            raise PriceBookError(
                f"{_where(point)}: spot rate {point.usd_per_hour:g} is the on_demand rate of {_where(twin)}"
            )


def _where(point: PricePoint) -> str:
    return point.place or f"{point.sku} ({point.market}, {point.effective_from})"
