"""One price point: a machine's rate with its seller, region, market and date."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date

from tracker.errors import PriceBookError, did_you_mean
from tracker.records import Market

ARCHITECTURES = ("x86_64", "arm64", "")
QUALITIES: Mapping[str, str] = {
    "price_list": "read from the seller's own price list on the day it is dated",
    "table": "copied from a table that people keep; it may be older than the day it is dated",
    "median": "the median of many sellers' offers on that day",
    "fetched": "read from a live catalogue by `tracker prices update`",
    "user": "given by the user: negotiated, internal, or worked out for own hardware",
}
"""The qualities of rates, with their meanings."""
MOST_CHARACTERS = 500
MOST_USD_PER_HOUR = 1000.0
"""Above any machine on sale (the dearest in the book, eight B300, costs 142): beyond it lie typing errors."""


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A machine of one kind (a SKU), with its rate from one day on.

    ``ram_gb`` and ``accelerator_memory_gb`` (of one accelerator) are meant as the clouds mean them: GiB of
    2**30 bytes. ``vcpu`` and ``ram_gb`` are None where nobody could verify them. The rate holds from
    ``effective_from`` to the day before ``effective_to``; without one, until the next rate of the same SKU,
    region and market. ``quality`` is one of QUALITIES; ``date_kind`` tells what ``effective_from`` is (often the
    day on which a price list was read), ``place`` which line of which file the point stands in.

    Own hardware has no seller: of its ``usd_per_hour``, ``energy_usd_per_hour`` is electricity and
    ``maintenance_usd_per_hour`` upkeep. A seller's rate includes both, unsaid; there they are 0.

    Raises PriceBookError where a value cannot be one.
    """

    provider: str
    sku: str  # "provider/name", as users write it
    region: str
    architecture: str  # "" where it is not stated
    accelerator: str  # "" without one
    accelerator_count: int
    accelerator_memory_gb: float | None
    vcpu: float | None
    ram_gb: float | None
    market: Market
    usd_per_hour: float
    effective_from: date
    effective_to: date | None
    quality: str
    date_kind: str
    source: str
    licence: str
    spec_source: str  # where vCPU and RAM come from
    energy_usd_per_hour: float = 0.0
    maintenance_usd_per_hour: float = 0.0
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise PriceBookError(f"{self.place}: {problem}" if self.place else f"{self.sku}: {problem}")

    @property
    def machine(self) -> tuple[object, ...]:
        """What is sold, without for how much: the same in every row of one SKU."""
        return (self.architecture, self.accelerator, self.accelerator_count, self.vcpu, self.ram_gb)

    @property
    def row(self) -> dict[str, str]:
        """The point as the texts of a table's row: what ``price_point_from_row`` reads back."""
        values = {name: getattr(self, name) for name in (*COLUMNS, *_OWN_HARDWARE_COLUMNS)}
        return {name: _cell(value) for name, value in values.items() if name in COLUMNS or value}

    @property
    def device_kind(self) -> tuple[object, ...]:
        """What a measured time depends on: equal for SKUs on which a run would take as long.

        The same accelerator, or without one the same architecture and number of vCPU.
        """
        return (self.accelerator,) if self.accelerator else (self.architecture, self.vcpu)

    @property
    def usd_per_accelerator_hour(self) -> float:
        """The rate for one of its accelerators; ZeroDivisionError without any."""
        return self.usd_per_hour / self.accelerator_count

    def holds_on(self, day: date) -> bool:
        """Whether the rate is in effect on ``day``."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


_OWN_HARDWARE_COLUMNS = ("energy_usd_per_hour", "maintenance_usd_per_hour")
COLUMNS = tuple(column.name for column in fields(PricePoint) if column.name not in (*_OWN_HARDWARE_COLUMNS, "place"))
"""The columns of a price table, in order."""


def price_point_from_row(row: Mapping[str, str], place: str) -> PricePoint:
    """The price point that a row of texts describes, every one of COLUMNS among its keys.

    Raises PriceBookError naming ``place``, the column and the value.
    """
    try:
        return PricePoint(
            provider=row["provider"],
            sku=row["sku"],
            region=row["region"],
            architecture=row["architecture"],
            accelerator=row["accelerator"],
            accelerator_count=_count(row, "accelerator_count"),
            accelerator_memory_gb=_number_or_none(row, "accelerator_memory_gb"),
            vcpu=_number_or_none(row, "vcpu"),
            ram_gb=_number_or_none(row, "ram_gb"),
            market=_market(row["market"]),
            usd_per_hour=_number(row, "usd_per_hour"),
            effective_from=_day(row, "effective_from"),
            effective_to=_day(row, "effective_to") if row["effective_to"] else None,
            quality=row["quality"],
            date_kind=row["date_kind"],
            source=row["source"],
            licence=row["licence"],
            spec_source=row["spec_source"],
            energy_usd_per_hour=float(row.get("energy_usd_per_hour", 0.0)),
            maintenance_usd_per_hour=float(row.get("maintenance_usd_per_hour", 0.0)),
            place=place,
        )
    except ValueError as error:
        raise PriceBookError(f"{place}: {error}") from None
    except KeyError as error:
        raise PriceBookError(f"{place}: {error} is missing") from None


def _cell(value: object) -> str:
    """Blank for None, a float without a useless ".0" and with every digit that it has."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return "" if value is None else str(value)


def _count(row: Mapping[str, str], column: str) -> int:
    try:
        return int(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}, not a whole number") from None


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}, not a number") from None


def _number_or_none(row: Mapping[str, str], column: str) -> float | None:
    return _number(row, column) if row[column] else None


def _day(row: Mapping[str, str], column: str) -> date:
    try:
        return date.fromisoformat(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}, not a date like 2026-07-20") from None


def _market(text: str) -> Market:
    try:
        return Market(text)
    except ValueError:
        raise ValueError(f"unknown market {text!r}; {did_you_mean(text, list(Market))}") from None


def _problem(point: PricePoint) -> str | None:
    """The first rule that the point breaks, with the value; None where it keeps them all."""
    if not point.provider or not point.sku.startswith(f"{point.provider}/") or point.sku == f"{point.provider}/":
        return f"sku is {point.sku!r}, not 'provider/name' with the provider {point.provider!r}"
    for column in ("sku", "region", "accelerator", "date_kind", "source", "licence", "spec_source"):
        text = getattr(point, column)
        if len(text) > MOST_CHARACTERS or not text.isprintable():
            return f"{column} is {text[:40]!r}…; a text is printable and of at most {MOST_CHARACTERS} characters"
    if point.architecture not in ARCHITECTURES:
        return f"architecture is {point.architecture!r}; {did_you_mean(point.architecture, ARCHITECTURES)}"
    if point.quality not in QUALITIES:
        return f"quality is {point.quality!r}; {did_you_mean(point.quality, QUALITIES)}"
    if not 0 < point.usd_per_hour <= MOST_USD_PER_HOUR:
        return f"usd_per_hour is {point.usd_per_hour:g}; a rate is above 0 and at most {MOST_USD_PER_HOUR:g}"
    for column in _OWN_HARDWARE_COLUMNS:
        part = getattr(point, column)
        if not 0 <= part <= point.usd_per_hour:
            return f"{column} is {part:g}; it is a part of the rate, from 0 to {point.usd_per_hour:g}"
    if bool(point.accelerator) != (point.accelerator_count > 0):
        return f"accelerator is {point.accelerator!r} and accelerator_count is {point.accelerator_count}"
    for column in ("vcpu", "ram_gb", "accelerator_memory_gb"):
        value = getattr(point, column)
        if value is not None and not (value > 0 and math.isfinite(value)):
            return f"{column} is {value:g}; it is above 0, or blank where unknown"
    if point.vcpu is None and point.ram_gb is None and not point.accelerator:
        return "vcpu, ram_gb and accelerator are all blank: no share of it could be billed"
    if point.effective_to is not None and point.effective_to <= point.effective_from:
        return f"effective_to {point.effective_to} is not after effective_from {point.effective_from}"
    return None if point.source else "source is blank: every rate says where it is from"
