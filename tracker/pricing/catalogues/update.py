"""Adding fetched prices to a price table of the user's own: checked as the price book is, and only ever appended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import PriceBookError
from tracker.pricing.catalogues.table_file import append_points, held
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.pricing.price_table import check_together, read_price_table
from tracker.records import Market

MOST_JUMP = 10.0
"""A rate that is this many times the one before, or one part in so many, is an error until a person says otherwise.

A large change by comparison: one H100 at AWS fell from 12.29 to 6.88 $/h in June 2025.
"""
PLACEHOLDERS_USD_PER_HOUR = (700.0,)
"""What some catalogues write for "not on sale"."""
SAME_RATE_WITHIN = 1e-6
"""Rates that differ by a smaller part are one rate, computed or rounded in two ways."""

_ORIGINAL = ("price_list", "fetched")
"""The qualities of rates that a live catalogue cannot better by repeating them."""


@dataclass(frozen=True, slots=True)
class Update:
    """What an update did: the rows that it appended, how many rates were known already, and what it refused and why."""

    appended: tuple[PricePoint, ...]
    unchanged: int
    refused: tuple[str, ...]


def update_price_table(table: Path, book: PriceBook, fetched: Iterable[PricePoint]) -> Update:
    """Append those of ``fetched`` that are new to the price table at ``table``, which is made where there is none.

    ``book`` is what is known, the table's own rows among it or not. A point is left out where its rate is the newest
    known one of its SKU, region and market, and refused where the price book's rules, a rate of the same or a later
    day, or a jump beyond MOST_JUMP speak against it; the others are appended all the same. The file is replaced as a
    whole or not at all, one process at a time.

    Raises PriceBookError where the table is malformed or contradicts the book, StoreError where it cannot be written;
    its content is then what it was.
    """
    table = table.resolve()
    with held(table):
        existing = read_price_table(table) if table.exists() else ()
        check_together(existing)
        known = tuple(dict.fromkeys((*book.points, *existing)))
        check_together(known)
        update = _sift(known, fetched)
        check_together((*known, *update.appended))
        if update.appended:
            append_points(table, existing, update.appended)
    return update


def _sift(known: Sequence[PricePoint], fetched: Iterable[PricePoint]) -> Update:
    """Decide point by point; each that is taken is known to the next."""
    rates = _Rates(known)
    appended: list[PricePoint] = []
    refused: list[str] = []
    unchanged = 0
    # On demand first: where spot is a copy of it, it is the copy that is refused.
    for point in sorted(dict.fromkeys(fetched), key=lambda point: point.market is Market.SPOT):
        if rates.have(point):
            unchanged += 1
        elif problem := rates.objection(point):
            refused.append(f"{point.sku} ({point.region}, {point.market}): {problem}")
        else:
            rates.add(point)
            appended.append(point)
    return Update(tuple(appended), unchanged, tuple(refused))


class _Rates:
    """What is known, arranged by what a new point is held against. The user's own rates stand beside the listed."""

    def __init__(self, points: Iterable[PricePoint]) -> None:
        self._newest: dict[tuple[str, str, Market], PricePoint] = {}
        self._by_place: dict[tuple[str, str], list[PricePoint]] = {}
        self._first: dict[str, list[PricePoint]] = {}  # of each SKU one point, which tells the machine
        self._dearest: dict[str, float] = {}  # by SKU and, for one accelerator of it, by accelerator
        for point in sorted(points, key=lambda point: point.effective_from):
            self.add(point)

    def add(self, point: PricePoint) -> None:
        """Know the point too; points of one SKU, region and market come in the order of their days."""
        self._by_place.setdefault((point.sku, point.region), []).append(point)
        self._first.setdefault(point.sku, [point])
        if point.quality == "user":
            return
        self._newest[point.sku, point.region, point.market] = point
        self._dearest[point.sku] = max(point.usd_per_hour, self._dearest.get(point.sku, 0.0))
        if point.accelerator:
            rate = point.usd_per_accelerator_hour
            self._dearest[point.accelerator] = max(rate, self._dearest.get(point.accelerator, 0.0))

    def have(self, point: PricePoint) -> bool:
        """Whether the point's rate is the newest known one, holds on its day and is from a seller already."""
        newest = self._newest.get((point.sku, point.region, point.market))
        return (
            newest is not None
            and math.isclose(newest.usd_per_hour, point.usd_per_hour, rel_tol=SAME_RATE_WITHIN)
            and newest.holds_on(point.effective_from)
            and newest.quality in _ORIGINAL
        )

    def objection(self, point: PricePoint) -> str | None:
        """What speaks against appending the point; None where nothing does."""
        newest = self._newest.get((point.sku, point.region, point.market))
        if newest is not None and newest.effective_from >= point.effective_from:
            return (
                f"{point.usd_per_hour:g} from {point.effective_from} on, but a rate ({newest.usd_per_hour:g}) that "
                f"begins on {newest.effective_from} is known; one a day, in the order of days"
            )
        if problem := self._absurdity(point, newest):
            return problem
        nearest = self._by_place.get((point.sku, point.region)) or self._first.get(point.sku, [])
        try:
            check_together([*nearest, point])
        except PriceBookError as error:
            return str(error)
        return None

    def _absurdity(self, point: PricePoint, newest: PricePoint | None) -> str | None:
        rate = point.usd_per_hour
        if rate in PLACEHOLDERS_USD_PER_HOUR:
            return f"{rate:g} is what some catalogues write for a machine that is not on sale"
        if newest is not None:
            if 1 / MOST_JUMP <= rate / newest.usd_per_hour <= MOST_JUMP:
                return None
            return (
                f"{rate:g} is {rate / newest.usd_per_hour:.3g} times the rate of {newest.effective_from} "
                f"({newest.usd_per_hour:g}); at most {MOST_JUMP:g} times more or less is taken"
            )
        dearest = self._dearest.get(point.sku)
        if dearest is None and point.accelerator in self._dearest:
            dearest = self._dearest[point.accelerator] * point.accelerator_count
        if dearest is not None and rate > MOST_JUMP * dearest:
            return f"{rate:g} is more than {MOST_JUMP:g} times the dearest rate known of such a machine ({dearest:g})"
        return None
