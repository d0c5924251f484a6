"""The price book: dated rates of machines, each with its source, and how to find the right one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path

from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.price_point import COLUMNS, PricePoint
from tracker.pricing.price_table import check_together, read_price_table
from tracker.records import Hardware, Market

PRICES_CSV = Path(__file__).with_name("data") / "prices.csv"


@dataclass(frozen=True)
class PriceBook:
    """Price points that agree with one another. Raises PriceBookError, naming the rows, where they do not."""

    points: tuple[PricePoint, ...]

    def __post_init__(self) -> None:
        check_together(self.points)

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits of the content's SHA-256: equal for equal rates, in any order of rows."""
        lines = sorted("\x1f".join(str(getattr(point, column)) for column in COLUMNS) for point in self.points)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    @cached_property
    def skus(self) -> tuple[str, ...]:
        """Every SKU, sorted by name."""
        return tuple(sorted(self._by_sku))

    @cached_property
    def accelerators(self) -> tuple[str, ...]:
        """Every accelerator by the name that SKUs have it under, sorted."""
        return tuple(sorted({point.accelerator for point in self.points if point.accelerator}))

    def point(self, sku: str, market: Market, on: date | None = None) -> PricePoint:
        """The rate of ``sku`` on the day ``on``, or its newest in the book; of several regions the cheapest.

        Raises PriceBookError for a SKU, market or day that the book has no rate for, saying which it has.
        """
        rows = self._by_sku.get(sku)
        if rows is None:
            raise PriceBookError(f"unknown SKU {sku!r}; {did_you_mean(sku, self.skus)}")
        offers = [row for row in rows if row.market == market]
        if not offers:
            markets = ", ".join(sorted({row.market for row in rows}))
            raise PriceBookError(f"{sku} has no {market} rate; it has: {markets}")
        candidates = _newest(row for row in offers if on is None or row.holds_on(on))
        if not candidates:
            days = ", ".join(sorted({row.effective_from.isoformat() for row in offers}))
            raise PriceBookError(f"{sku} has no {market} rate on {on}; its rates begin on: {days}")
        return min(candidates, key=lambda row: (row.usd_per_hour, row.region))

    def cheapest_for(self, hardware: Hardware, device: str, market: Market) -> PricePoint:
        """What a trial on ``device`` ("cpu" or "cuda") of this machine is billed as where nobody names a SKU.

        - cpu: of the SKUs of the machine's architecture without accelerator, those with the fewest vCPU
          that are at least its cores, and of these the cheapest. A machine with more cores than any SKU is
          billed as the largest, by a share above one.
        - cuda: of the SKUs with the machine's accelerator, the lowest rate for one accelerator: a trial
          takes one and is billed its share. Equal to a hundredth of a cent: the fewest accelerators.

        Only rates that have not ended count; ties go by name. Raises PriceBookError where none fits.
        """
        current = _newest(row for row in self.points if row.market == market)
        on_sale = [row for row in current if row.effective_to is None]
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
        return ", ".join(sorted({row.market for row in self.points if wanted(row)})) or "none"

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


def _newest(points: Iterable[PricePoint]) -> list[PricePoint]:
    """Of each SKU, region and market the point that began last."""
    newest: dict[tuple[str, str, Market], PricePoint] = {}
    for point in sorted(points, key=lambda point: point.effective_from):
        newest[point.sku, point.region, point.market] = point
    return list(newest.values())
