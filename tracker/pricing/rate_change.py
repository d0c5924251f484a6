"""One change of prices: which machines it concerns, and how it changes their rate or a cost part."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from tracker.errors import ScenarioError, did_you_mean
from tracker.pricing.price_point import PricePoint
from tracker.records import CostPart

DAYS_PER_YEAR = 365.25
ENERGY = "energy"
"""Besides the four parts of a price: the electricity of own hardware, which is inside compute."""
PARTS = (*CostPart, ENERGY)
AMOUNTS = ("factor", "usd_per_hour", "usd_per_accelerator_hour", "decline_per_year")
"""What a change may say of an amount."""


@dataclass(frozen=True, slots=True)
class RateChange:
    """One change, for what it names: the empty text is any.

    Exactly one of these is given: ``factor``; a new hourly rate of the machine (``usd_per_hour``) or of one of
    its accelerators (``usd_per_accelerator_hour``); ``decline_per_year``, the share by which it falls each year,
    compounding, from ``since`` (the day of the rate, without one) until ``until``. Raises ScenarioError for anything
    else.
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

    def __post_init__(self) -> None:
        amounts = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(amounts) != 1:
            given = f"{', '.join(amounts)} are given" if amounts else "nothing is given"
            raise ScenarioError(f"{given}; a change has exactly one of: {', '.join(AMOUNTS)}")
        if self.part not in PARTS:
            raise ScenarioError(f"part {self.part!r}; {did_you_mean(self.part, PARTS)}")
        if problem := self._inconsistency(amounts[0]):
            raise ScenarioError(problem)

    def _inconsistency(self, amount: str) -> str:
        """What is wrong with the values together; "" where nothing is."""
        value = float(getattr(self, amount))
        if not math.isfinite(value) or (value < 0 and amount != "decline_per_year"):
            return f"{amount} is {value:g}; it is a number of at least 0"
        if amount.startswith("usd_") and self.part != CostPart.COMPUTE:
            return f"a new rate is one of compute; for {self.part} give factor or decline_per_year"
        if value == 0 and amount != "decline_per_year" and self.part == CostPart.COMPUTE:
            return f"{amount} is 0, and a rate is above 0; allowed: above 0"
        if amount != "decline_per_year":
            stray = [day for day in ("since", "until") if getattr(self, day) is not None]
            return f"{stray[0]} belongs to decline_per_year only" if stray else ""
        if value >= 1:
            return f"decline_per_year is {value:g}; it is a share below 1"
        if self.until is None:
            return "decline_per_year needs until, its last day"
        if self.since is None and self.part not in (CostPart.COMPUTE, ENERGY):
            return f"the decline of {self.part} needs since, its first day"
        if self.since is not None and self.since >= self.until:
            return f"until {self.until} is not after since {self.since}"
        return ""

    def has_effect_on(self, point: PricePoint) -> bool:
        """Whether a run that is priced at ``point``, after the change, is priced otherwise because of it."""
        replaced = self.usd_per_hour is not None or self.usd_per_accelerator_hour is not None
        return self.concerns(point) and (replaced or self.factor_for(point) != 1.0)

    def concerns(self, point: PricePoint) -> bool:
        """Whether the change is for this machine in this market."""
        if self.usd_per_accelerator_hour is not None and not point.accelerator_count:
            return False
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
        return replace(
            point, usd_per_hour=rate, energy_usd_per_hour=energy, maintenance_usd_per_hour=upkeep, place=self.sentence
        )

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
