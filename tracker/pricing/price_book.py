"""The price book: dated rates of machines, each with its source, and how to find the right one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path

from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.currency import ExchangeRate
from tracker.pricing.offers import in_region, newest, users_first
from tracker.pricing.price_point import PricePoint
from tracker.pricing.price_table import check_together, read_price_table
from tracker.pricing.user_rates import read_user_rates
from tracker.records import Hardware, Market

PRICES_CSV = Path(__file__).with_name("data") / "prices.csv"
BILLABLE_QUALITIES = ("price_list", "fetched", "user")
"""What a rate may be to be billed without anybody having asked for it."""


@dataclass(frozen=True)
class PriceBook:
    """Price points that agree with one another, and the user's exchange rates.

    Where a user has a rate of their own for a SKU and market, it is taken in place of the listed ones while it
    holds. Raises PriceBookError, naming the rows, where points do not agree.
    """

    points: tuple[PricePoint, ...]
    exchange_rates: tuple[ExchangeRate, ...] = ()

    def __post_init__(self) -> None:
        check_together(self.points)

    def with_user_rates(self, path: Path) -> PriceBook:
        """This book with the rates of a user's TOML file too. Raises PriceBookError, RequestError."""
        rates = read_user_rates(path, {sku: rows[0] for sku, rows in self._by_sku.items()})
        return PriceBook((*self.points, *rates.points), (*self.exchange_rates, *rates.exchange_rates))

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits of the content's SHA-256: equal for equal rates, in any order of rows."""
        lines = sorted("\x1f".join(point.row.values()) for point in self.points)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    @cached_property
    def skus(self) -> tuple[str, ...]:
        """Every SKU, sorted by name."""
        return tuple(sorted(self._by_sku))

    @cached_property
    def accelerators(self) -> tuple[str, ...]:
        """Every accelerator by the name that SKUs have it under, sorted."""
        return tuple(sorted({point.accelerator for point in self.points if point.accelerator}))

    def machine(self, sku: str) -> PricePoint:
        """Any price point of ``sku``, for what it says of the machine. Raises PriceBookError for an unknown SKU."""
        rows = self._by_sku.get(sku)
        if rows is None:
            raise PriceBookError(f"unknown SKU {sku!r}; {did_you_mean(sku, self.skus)}")
        return rows[0]

    def history(self, sku: str) -> tuple[PricePoint, ...]:
        """Every dated rate of ``sku``, by market, region and day. Raises PriceBookError for an unknown SKU."""
        self.machine(sku)
        return tuple(sorted(self._by_sku[sku], key=lambda row: (row.market, row.region, row.effective_from)))

    def offers(
        self,
        on: date | None = None,
        *,
        provider: str = "",
        accelerator: str = "",
        region: str = "",
        market: Market | None = None,
    ) -> tuple[PricePoint, ...]:
        """What is on offer, by SKU: of each SKU, region and market the rate on the day ``on``, or today's.

        "" and None are any. Raises PriceBookError, naming the nearest, for a provider, accelerator or region that
        no rate has.
        """
        for column, wanted in (("provider", provider), ("accelerator", accelerator), ("region", region)):
            self._check_known(column, wanted)
        rows = newest(row for row in self.points if row.holds_on(on or date.today()))
        fitting = (
            row
            for row in rows
            if (not provider or row.provider == provider)
            and (not accelerator or row.accelerator == accelerator)
            and (not region or row.region == region)
            and (market is None or row.market == market)
        )
        return tuple(sorted(fitting, key=lambda row: (row.sku, row.market, row.region)))

    def point(self, sku: str, market: Market, on: date | None = None, region: str = "") -> PricePoint:
        """The rate of ``sku`` on the day ``on``, or today's.

        Without ``region`` that of the provider's home region (offers.HOME_REGIONS), and of a SKU that is not listed
        there the cheapest region's. Raises PriceBookError for a SKU, market, region or day that the book has no rate
        for, saying which it has.
        """
        self.machine(sku)
        self._check_known("region", region)
        rows = self._by_sku[sku]
        offers = [row for row in rows if row.market == market]
        day = on or date.today()
        if not offers:
            markets = _listed(row.market for row in rows)
            raise PriceBookError(f"{sku} has no {market} rate; it has: {markets}{self._alternatives(sku, market, day)}")
        nearby = in_region(offers, region)
        if not nearby:
            regions = _listed(row.region or "(not stated)" for row in offers)
            raise PriceBookError(f"{sku} has no {market} rate in region {region!r}; it has: {regions}")
        candidates = users_first(newest(row for row in nearby if row.holds_on(day)))
        if not candidates:
            days = _listed(row.effective_from.isoformat() for row in nearby)
            raise PriceBookError(
                f"{sku} has no {market} rate on {day}; its rates begin on: {days}{self._alternatives(sku, market, day)}"
            )
        # A rate that somebody once copied counts only where no seller's own is known for that day.
        candidates = [row for row in candidates if row.quality in BILLABLE_QUALITIES] or candidates
        return min(candidates, key=lambda row: (row.usd_per_hour, row.region))

    def _check_known(self, column: str, wanted: str) -> None:
        known = {str(getattr(row, column)) for row in self.points} - {""} if wanted else set()
        if wanted and wanted not in known:
            raise PriceBookError(f"no rate has the {column} {wanted!r}; {did_you_mean(wanted, known)}")

    def _alternatives(self, sku: str, market: Market, day: date) -> str:
        """SKUs of the same kind of device that do have a rate in a market that day, as the end of a message."""
        kind = self._by_sku[sku][0].device_kind
        alike = (row for row in self.points if row.device_kind == kind and row.market == market)
        names = sorted({row.sku for row in alike if row.holds_on(day)})
        return f"; of the same kind of device these have one: {', '.join(names[:6])}" if names else ""

    def cheapest_for(self, hardware: Hardware, device: str, market: Market, region: str = "") -> PricePoint:
        """What a trial on ``device`` ("cpu" or "cuda") of this machine is billed as where nobody names a SKU.

        - cpu: of the SKUs of the machine's architecture without accelerator, those with the fewest vCPU
          that are at least its cores, and of these the cheapest. A machine with more cores than any SKU is
          billed as the largest, by a share above one.
        - cuda: of the SKUs with the machine's accelerator, the lowest rate for one accelerator: a trial
          takes one and is billed its share. Equal to a hundredth of a cent: the fewest accelerators.

        Only rates of BILLABLE_QUALITIES that hold today count: what a table of the past or a median of other
        people's offers says is billed only where a user names its SKU. Without ``region`` those of other regions
        count as in ``point``. Ties go by name. Raises PriceBookError where none fits.
        """
        offers = in_region([row for row in self.points if row.market == market], region)
        today = date.today()
        billable = (row for row in offers if row.quality in BILLABLE_QUALITIES and row.holds_on(today))
        on_sale = users_first(newest(billable))
        if device == "cpu":
            return self._cheapest_cpu(hardware, market, on_sale)
        if not hardware.accelerator:
            raise PriceBookError("this machine has no accelerator to bill; set sku_cuda in [pricing]")
        fitting = [row for row in on_sale if row.accelerator == hardware.accelerator]
        if not fitting:
            raise PriceBookError(self._no_accelerator(hardware.accelerator, market))
        return min(fitting, key=lambda row: (round(row.usd_per_accelerator_hour, 4), row.accelerator_count, row.sku))

    def _cheapest_cpu(self, hardware: Hardware, market: Market, on_sale: list[PricePoint]) -> PricePoint:
        vcpu: dict[PricePoint, float] = {
            row: row.vcpu
            for row in on_sale
            if not row.accelerator and row.vcpu is not None and row.architecture == hardware.architecture
        }
        if not vcpu:
            has = self._markets(lambda row: not row.accelerator and row.architecture == hardware.architecture)
            raise PriceBookError(
                f"the price book has no {market} rate of {hardware.architecture} machines without accelerator "
                f"(markets with one: {has}); set sku_cpu in [pricing]"
            )
        enough = [count for count in vcpu.values() if count >= hardware.cores]
        size = min(enough) if enough else max(vcpu.values())
        return min((row for row in vcpu if vcpu[row] == size), key=lambda row: (row.usd_per_hour, row.sku))

    def _no_accelerator(self, name: str, market: Market) -> str:
        if name in self.accelerators:
            has = self._markets(lambda row: row.accelerator == name)
            return f"the price book has no {market} rate of {name} (markets with one: {has}); set sku_cuda in [pricing]"
        known = ", ".join(self.accelerators)
        return f"the price book has no accelerator {name!r}; set sku_cuda in [pricing] to a SKU with one of: {known}"

    def _markets(self, wanted: Callable[[PricePoint], bool]) -> str:
        unasked = (row for row in self.points if row.quality in BILLABLE_QUALITIES)
        return ", ".join(sorted({row.market for row in unasked if wanted(row)})) or "none"

    @cached_property
    def _by_sku(self) -> dict[str, list[PricePoint]]:
        by_sku: dict[str, list[PricePoint]] = {}
        for point in self.points:
            by_sku.setdefault(point.sku, []).append(point)
        return by_sku


@cache
def load_price_book() -> PriceBook:
    """The price book that is installed with the tracker, read once a process."""
    return PriceBook(read_price_table(PRICES_CSV))


def open_price_book(fetched: Path | None = None, *user_files: Path) -> PriceBook:
    """The installed book with a table of fetched prices and the user's files of rates, each where it is there.

    Later files of the user win over earlier ones only where they say so by SKU, market and day: two rates for the
    same are refused. Raises PriceBookError, RequestError.
    """
    book = load_price_book()
    if fetched is not None and fetched.exists():
        book = PriceBook((*book.points, *_beside(book, read_price_table(fetched))))
    for path in dict.fromkeys(path.resolve() for path in user_files):
        book = book.with_user_rates(path)
    return book


def _beside(book: PriceBook, fetched: Iterable[PricePoint]) -> list[PricePoint]:
    """What was fetched, without what the installed book has come to know better since: the same day, the machine."""
    known = {(row.sku, row.region, row.market, row.effective_from) for row in book.points}
    machines = {row.sku: row.machine for row in book.points}
    return [
        row
        for row in fetched
        if (row.sku, row.region, row.market, row.effective_from) not in known
        and machines.get(row.sku, row.machine) == row.machine
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
