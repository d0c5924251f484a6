"""What if prices were others: which rates are taken, and what is changed about them.

A scenario is a value: two of them one after the other are a scenario again (``then``). It is applied to price
points and to the parts of a price; it never touches a usage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import CostPart, Market
from tracker.study.costs import CostTerms

DAYS_PER_YEAR = 365.25
ENERGY = "energy"
"""Besides the four parts of a price: the electricity of own hardware, which is inside compute."""
PARTS = (*CostPart, ENERGY)


@dataclass(frozen=True, slots=True)
class RateChange:
    """One change, for what it names: the empty text is any.

    Exactly one of these is given: ``factor``; a new hourly rate of the machine (``usd_per_hour``) or of one of
    its accelerators (``usd_per_accelerator_hour``); ``decline_per_year``, the share by which it falls each year,
    compounding, from ``since`` (the day of the rate, without one) until ``until``.
    """

    part: str = CostPart.COMPUTE
    provider: str = ""
    accelerator: str = ""
    sku: str = ""
    market: str = ""
    factor: float | None = None
    usd_per_hour: float | None = None
    usd_per_accelerator_hour: float | None = None
    decline_per_year: float | None = None
    since: date | None = None
    until: date | None = None

    def concerns(self, point: PricePoint) -> bool:
        """Whether the change is for this machine in this market."""
        wanted = (self.provider, self.accelerator, self.sku, self.market)
        given = (point.provider, point.accelerator, point.sku, point.market)
        return all(not want or want == have for want, have in zip(wanted, given, strict=True))

    def factor_for(self, point: PricePoint) -> float:
        """What the amount is multiplied by; for a new rate, that rate over the one it replaces."""
        if self.factor is not None:
            return self.factor
        if self.usd_per_hour is not None:
            return self.usd_per_hour / point.usd_per_hour
        if self.usd_per_accelerator_hour is not None:
            return self.usd_per_accelerator_hour * point.accelerator_count / point.usd_per_hour
        since, until = self.since or point.effective_from, self.until or point.effective_from
        years = max(0.0, (until - since).days / DAYS_PER_YEAR)
        return float((1 - (self.decline_per_year or 0.0)) ** years)

    def applied_to(self, point: PricePoint) -> PricePoint:
        """A price point after a change of its compute or its electricity.

        A factor on compute leaves the upkeep of own hardware alone; a new rate stands for everything. Raises
        PriceBookError where the rate that comes out cannot be one.
        """
        factor = self.factor_for(point)
        energy, upkeep = point.energy_usd_per_hour, point.maintenance_usd_per_hour
        capital = point.usd_per_hour - energy - upkeep
        energy *= factor
        if self.part != ENERGY:
            capital *= factor
        if self.usd_per_hour is not None or self.usd_per_accelerator_hour is not None:
            upkeep *= factor
        rate = capital + energy + upkeep
        return replace(point, usd_per_hour=rate, energy_usd_per_hour=energy, maintenance_usd_per_hour=upkeep)

    @property
    def document(self) -> dict[str, Any]:
        """The change as a JSON-safe document: what is given of it."""
        given = {key: value for key, value in asdict(self).items() if value not in (None, "")}
        return {key: str(value) if isinstance(value, date) else value for key, value in given.items()}

    @property
    def sentence(self) -> str:
        """The change in words."""
        named = [name for name in (self.provider, self.sku, self.accelerator, self.market) if name]
        what = f"{self.part} of {', '.join(named) or 'everything'}"
        if self.factor is not None:
            return f"{what} × {self.factor:g}"
        if self.usd_per_hour is not None:
            return f"{what} at ${self.usd_per_hour:g} an hour"
        if self.usd_per_accelerator_hour is not None:
            return f"{what} at ${self.usd_per_accelerator_hour:g} an hour for one accelerator"
        since = f" from {self.since}" if self.since else ""
        return f"{what} {self.decline_per_year or 0:.4g} lower each year{since} until {self.until}"


@dataclass(frozen=True)
class Scenario:
    """Which rates to take, and what to change about them; what is None or empty stays as it was billed.

    ``terms`` replaces assumptions of the study (study.costs.CostTerms) by name; ``sources`` are the files that it
    was read from.
    """

    name: str = ""
    market: Market | None = None
    region: str | None = None
    as_of: date | None = None
    sku: str | None = None
    changes: tuple[RateChange, ...] = ()
    terms: Mapping[str, Any] | None = None
    sources: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.chooses or self.changes or self.terms)

    @property
    def chooses(self) -> bool:
        """Whether other rates are taken from the price book than those that were billed."""
        return any(each is not None for each in (self.market, self.region, self.as_of, self.sku))

    def then(self, later: Scenario) -> Scenario:
        """Both, one after the other: what ``later`` chooses wins, changes add up in their order."""
        return Scenario(
            name=" + ".join(filter(None, [self.name, later.name])),
            market=later.market or self.market,
            region=later.region if later.region is not None else self.region,
            as_of=later.as_of or self.as_of,
            sku=later.sku or self.sku,
            changes=(*self.changes, *later.changes),
            terms={**(self.terms or {}), **(later.terms or {})},
            sources=(*self.sources, *later.sources),
        )

    def point_for(self, billed: PricePoint, book: PriceBook) -> PricePoint:
        """The rate at which a run that was billed at ``billed`` is priced here.

        Where nothing is chosen anew, the billed rate itself is changed, and the book is not asked: what became
        of it since does not matter. ``sku`` applies to runs on the same kind of device (PricePoint.device_kind);
        on another, the time would be a prediction, and ``billed``'s own SKU stays. Raises PriceBookError where
        the book has no such rate, or a changed rate cannot be one.
        """
        point = billed
        if self.chooses:
            sku = billed.sku
            if self.sku is not None and self.reprices(billed, book):
                sku = self.sku
            region = self.region if self.region is not None else (billed.region if sku == billed.sku else "")
            point = book.point(sku, self.market or billed.market, self.as_of, region)
        return self._changed(point)

    def reprices(self, billed: PricePoint, book: PriceBook) -> bool:
        """Whether ``sku`` is the same kind of device as a run's: then its price there needs no prediction."""
        return self.sku is not None and book.machine(self.sku).device_kind == billed.device_kind

    def part_factor(self, part: CostPart, point: PricePoint) -> float:
        """What a part other than compute is multiplied by, for a run priced at ``point``."""
        factor = 1.0
        for change in self.changes:
            if change.part == part and change.concerns(point):
                factor *= change.factor_for(point)
        return factor

    def cost_terms(self, terms: CostTerms) -> CostTerms:
        """A study's terms with those of this scenario in place of its own."""
        return replace(terms, **self.terms) if self.terms else terms

    @property
    def sentences(self) -> tuple[str, ...]:
        """The scenario in words, a phrase for each thing that it does."""
        chosen = [
            f"market {self.market}" if self.market else "",
            f"region {self.region}" if self.region else "",
            f"prices of {self.as_of}" if self.as_of else "",
            f"billed as {self.sku}" if self.sku else "",
        ]
        terms = [f"{name} = {str(value).lower()}" for name, value in (self.terms or {}).items()]
        return (*filter(None, chosen), *(change.sentence for change in self.changes), *terms)

    @property
    def document(self) -> dict[str, Any]:
        """The scenario as a JSON-safe document."""
        return {
            "name": self.name,
            "market": self.market,
            "region": self.region,
            "as_of": self.as_of and self.as_of.isoformat(),
            "sku": self.sku,
            "changes": [change.document for change in self.changes],
            "costs": dict(self.terms or {}),
            "sources": list(self.sources),
            "sentences": list(self.sentences),
        }

    def _changed(self, point: PricePoint) -> PricePoint:
        changed = point
        for change in self.changes:
            if change.part in (CostPart.COMPUTE, ENERGY) and change.concerns(point):
                changed = change.applied_to(changed)
        if changed is point:
            return point
        return replace(changed, source=f"{point.source}; changed by scenario {self.name or '(unnamed)'}")


AS_BILLED = Scenario()
"""The scenario that changes nothing."""


def compose(scenarios: Iterable[Scenario]) -> Scenario:
    """All of them, one after the other; the one that changes nothing where there is none."""
    whole = AS_BILLED
    for scenario in scenarios:
        whole = whole.then(scenario)
    return whole
