"""Price scenarios: which rates are used, and how they are changed.

A scenario is a value: two of them one after the other are a scenario again (``then``). It is applied to price
points and to the parts of a price; it never touches a usage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from tracker.errors import ScenarioError
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.pricing.rate_change import ENERGY, RateChange
from tracker.records import CostPart, Market
from tracker.study.costs import CostTerms, term_problems
from tracker.study.toml_file import day_problem


@dataclass(frozen=True)
class Scenario:
    """Which rates to take, and what to change about them; what is None or empty stays as it was billed.

    ``skus`` are what runs are billed as instead, each for runs on its own kind of device; of two of one kind the
    first. ``terms`` replaces assumptions of the study (study.costs.CostTerms) by name; ``sources`` are the files
    that it was read from, which two equal scenarios need not share.
    """

    name: str = ""
    market: Market | None = None
    region: str | None = None
    as_of: date | None = None
    skus: tuple[str, ...] = ()
    changes: tuple[RateChange, ...] = ()
    terms: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.as_of is not None and (problem := day_problem(self.as_of)):
            raise ScenarioError(f"as_of: {problem}")
        for name, problem in term_problems(self.terms).items():
            raise ScenarioError(f"costs.{name}: {problem}")

    @property
    def label(self) -> str:
        """What the scenario is called in a heading: its name, or what it does."""
        return self.name or "; ".join(self.sentences) or "billed"

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.chooses or self.changes or self.terms)

    @property
    def chooses(self) -> bool:
        """Whether other rates are taken from the price book than those that were billed."""
        return bool(self.skus) or any(each is not None for each in (self.market, self.region, self.as_of))

    def then(self, later: Scenario) -> Scenario:
        """Both, one after the other: what ``later`` chooses wins, changes add up in their order."""
        return Scenario(
            name=" + ".join(filter(None, [self.name, later.name])),
            market=later.market or self.market,
            region=later.region if later.region is not None else self.region,
            as_of=later.as_of or self.as_of,
            skus=(*later.skus, *self.skus),
            changes=(*self.changes, *later.changes),
            terms={**self.terms, **later.terms},
            sources=(*self.sources, *later.sources),
        )

    def point_for(self, billed: PricePoint, book: PriceBook) -> PricePoint:
        """The rate at which a run that was billed at ``billed`` is priced here.

        Where nothing else is chosen, the billed rate itself is changed without the book: its later history does not
        matter. A SKU in ``skus`` is for runs on the same kind of device (PricePoint.device_kind); on another, the time
        would be a prediction, and ``billed``'s own SKU stays. Where such a SKU is sold in one market only, that is
        meant. Raises PriceBookError where the book has no such rate, or a changed rate cannot be one.
        """
        if not self.chooses:
            return self._changed(billed)
        sku = self.sku_for(billed, book)
        market = self.market or _market_of(sku, billed, book)
        region = self.region if self.region is not None else (billed.region if sku == billed.sku else "")
        return self._changed(book.point(sku, market, self.as_of, region))

    def sku_for(self, billed: PricePoint, book: PriceBook) -> str:
        """The first of ``skus`` on the same kind of device as a run was billed for, else the run's own.

        Raises PriceBookError for a SKU that the book does not know.
        """
        alike = [sku for sku in self.skus if book.machine(sku).device_kind == billed.device_kind]
        return alike[0] if alike else billed.sku

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
            f"billed as {' or '.join(self.skus)}" if self.skus else "",
        ]
        terms = [f"{name} = {str(value).lower()}" for name, value in self.terms.items()]
        return (*filter(None, chosen), *(change.sentence for change in self.changes), *terms)

    @property
    def document(self) -> dict[str, Any]:
        """The scenario as a JSON-safe document."""
        return {
            "name": self.name,
            "market": self.market,
            "region": self.region,
            "as_of": self.as_of and self.as_of.isoformat(),
            "skus": list(self.skus),
            "changes": [change.document for change in self.changes],
            "costs": dict(self.terms),
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


def _market_of(sku: str, billed: PricePoint, book: PriceBook) -> Market:
    """The market of a run, or the only one that another SKU is sold in."""
    markets = {point.market for point in book.history(sku)} if sku != billed.sku else {billed.market}
    return markets.pop() if len(markets) == 1 else billed.market


def compose(scenarios: Iterable[Scenario]) -> Scenario:
    """All of them, one after the other; the one that changes nothing where there is none."""
    whole = AS_BILLED
    for scenario in scenarios:
        whole = whole.then(scenario)
    return whole
