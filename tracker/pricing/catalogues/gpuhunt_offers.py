"""Live prices of many clouds' GPU machines, from the catalogue that the library gpuhunt publishes and downloads.

gpuhunt is optional: ``pip install 'cost-quality-tracker[prices]'``. Its catalogue is built by its maintainers from the
clouds' own price lists and kept per cloud, each with a version. Source: https://github.com/dstackai/gpuhunt
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from typing import Any, Protocol

from tracker.errors import CatalogueError, PriceBookError
from tracker.pricing.catalogues.fetched import DATE_KIND, QUALITY, TIMEOUT_SECONDS, Fetched, Offer, offer_of
from tracker.pricing.catalogues.gpuhunt_names import accelerator_of, machine_memory_gb, region_of, sku_of
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import Market

LICENCE = "MPL-2.0 (gpuhunt)"
SAME_SIZE_WITHIN = 0.1
"""Memories of one accelerator differ by less between catalogues (22 and 24 GB of an A10G); a slice by more."""
SAME_MACHINE_WITHIN = 0.02
"""How far vCPU and RAM may be from the price book's for a machine to be the same one."""

_ARCHITECTURES = {"x86": "x86_64", "arm": "arm64"}
_SOLD_OTHERWISE = frozenset({"gcp-dws-calendar-mode", "runpod-cluster"})
"""Flags of offers that are neither on demand nor spot: booked for fixed days, or only several machines at once."""
_VARYING_MACHINES = frozenset({"runpod"})
"""Providers whose offers of one name differ in vCPU and RAM, which is why neither is taken."""


class CatalogItem(Protocol):
    """What is used of gpuhunt's item: a machine's offer; ``price`` in USD an hour, memories in GB."""

    provider: str
    instance_name: str
    location: str
    price: float
    cpu: int
    memory: float
    gpu_count: int
    gpu_name: str | None
    gpu_memory: float | None
    spot: bool
    flags: list[str]
    cpu_arch: Any  # an enum, whose value is "x86" or "arm"


def fetch_gpuhunt(book: PriceBook, today: date, regions: Collection[str] = ()) -> Fetched:
    """What gpuhunt's newest catalogue has of machines with accelerators, and of other SKUs that the book knows.

    ``regions`` are the clouds' own names; empty, those in which the book has rates of the same cloud, and every region
    of a cloud that the book has none of. Raises CatalogueError where nothing can be downloaded, PriceBookError where
    gpuhunt is not installed.
    """
    loaded, refused = _download()
    reader = _Reader(book, today, regions)
    points: list[PricePoint] = []
    for provider, (catalogue_version, items) in sorted(loaded.items()):
        source = f"gpuhunt {version('gpuhunt')}, {provider} catalogue {catalogue_version}"
        for item in items:
            try:
                point = reader.point(item, source)
            except PriceBookError as error:
                refused.append(str(error))
            else:
                points.extend([point] if point else [])
    found = {point.region for point in points}
    refused += [f"gpuhunt: nothing to be taken in region {region!r}" for region in sorted(set(regions) - found)]
    return Fetched(tuple(dict.fromkeys(points)), tuple(dict.fromkeys(refused)))


class _Reader:
    """Turns gpuhunt's items into price points, by what the book knows."""

    def __init__(self, book: PriceBook, today: date, regions: Collection[str]) -> None:
        listed = [point for point in book.points if point.quality != "user"]
        self._machines = {point.sku: point for point in reversed(listed)}
        self._accelerators = {point.accelerator: point.accelerator_memory_gb for point in reversed(listed)}
        placed = [point for point in listed if point.region]
        self._places = {(point.provider, point.region) for point in placed}
        # What earlier updates fetched says nothing about the regions that are wanted.
        self._limited = {point.provider for point in placed if point.quality != QUALITY}
        self._wanted = set(regions)
        self._today = today

    def point(self, item: CatalogItem, source: str) -> PricePoint | None:
        """The item as a price point; None where nobody asked for it. Raises PriceBookError where it cannot be one."""
        accelerator = accelerator_of(item.gpu_name or "", item.gpu_memory, item.instance_name) if item.gpu_count else ""
        provider, sku = sku_of(item.provider, item.instance_name, item.gpu_count, accelerator)
        region = region_of(provider, item.location)
        known = self._machines.get(sku)
        if not (item.gpu_count or known) or not _SOLD_OTHERWISE.isdisjoint(item.flags):
            return None
        if not self._is_wanted(provider, region):
            return None
        market = Market.SPOT if item.spot else Market.ON_DEMAND
        offer = Offer(region, market, item.price, self._today, source, LICENCE)
        machine = self._machine(item, provider, sku, accelerator, offer)
        if known is None:
            return machine
        _check_same(machine, known)
        return offer_of(known, offer)

    def _is_wanted(self, provider: str, region: str) -> bool:
        if self._wanted:
            return region in self._wanted
        return provider not in self._limited or (provider, region) in self._places

    def _machine(self, item: CatalogItem, provider: str, sku: str, accelerator: str, offer: Offer) -> PricePoint:
        """The machine as the item describes it."""
        described = provider not in _VARYING_MACHINES
        return PricePoint(
            provider=provider,
            sku=sku,
            region=offer.region,
            architecture=_ARCHITECTURES.get(item.cpu_arch.value, ""),
            accelerator=accelerator,
            accelerator_count=item.gpu_count,
            accelerator_memory_gb=self._memory_gb(sku, accelerator, item.gpu_memory),
            vcpu=float(item.cpu) or None if described else None,
            ram_gb=machine_memory_gb(provider, item.memory) or None if described else None,
            market=offer.market,
            usd_per_hour=offer.usd_per_hour,
            effective_from=offer.today,
            effective_to=None,
            quality=QUALITY,
            date_kind=DATE_KIND,
            source=offer.source,
            licence=offer.licence,
            spec_source=offer.source,
        )

    def _memory_gb(self, sku: str, accelerator: str, given: float | None) -> float | None:
        """The accelerator's memory, by the book where it knows it: a slice of a GPU must not be billed as a whole."""
        known = self._accelerators.get(accelerator) if accelerator else None
        if given and known and abs(given - known) > SAME_SIZE_WITHIN * known:
            raise PriceBookError(f"{sku}: its {accelerator} has {given:g} GB, not {known:g}: a slice, or another kind")
        return known or given or None


def _check_same(machine: PricePoint, known: PricePoint) -> None:
    """Refuse an offer that describes another machine than the book does; what either leaves blank is not compared."""
    for column in ("architecture", "accelerator", "accelerator_count"):
        given, allowed = getattr(machine, column), getattr(known, column)
        if given != allowed and not (column == "architecture" and "" in (given, allowed)):
            raise PriceBookError(f"{machine.sku}: {column} is {given!r}; in the price book it is {allowed!r}")
    for column in ("vcpu", "ram_gb"):
        given, allowed = getattr(machine, column), getattr(known, column)
        if given and allowed and abs(given - allowed) > SAME_MACHINE_WITHIN * allowed:
            raise PriceBookError(f"{machine.sku}: {column} is {given:g}; in the price book it is {allowed:g}")


def _download() -> tuple[Mapping[str, tuple[str, Iterable[CatalogItem]]], list[str]]:
    """The newest catalogue of each provider, with its version; and what gpuhunt complained of."""
    try:
        import gpuhunt
    except ImportError:
        raise PriceBookError("gpuhunt is not installed; pip install 'cost-quality-tracker[prices]'") from None
    catalog = gpuhunt.Catalog(auto_reload=False)
    with _complaints() as complaints, _bounded_waits():
        try:
            catalog.load()
        except gpuhunt.GPUHuntError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise CatalogueError(f"gpuhunt's catalogue cannot be reached: {reason}") from error
    return {name: (loaded.version, loaded.items) for name, loaded in catalog.catalog.items()}, complaints


@contextmanager
def _bounded_waits() -> Iterator[None]:
    """gpuhunt opens its connections without a time limit: they take the process's default."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What gpuhunt would log, a line each in the list: without a network that is a traceback for each provider."""
    lines: list[str] = []
    logger, collector = logging.getLogger("gpuhunt"), _Collector(lines)
    propagated = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagated


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's message as a line, with the reason of the error that it comes with."""
        error = record.exc_info[1] if record.exc_info else None
        self._lines.append(f"gpuhunt: {record.getMessage()}" + (f" ({error})" if error else ""))
