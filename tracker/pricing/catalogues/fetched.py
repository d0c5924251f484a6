"""What a live catalogue gave: the offers that can be price points, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from tracker.pricing.price_point import PricePoint
from tracker.records import Market

QUALITY = "fetched"
DATE_KIND = "live catalogue read"
TIMEOUT_SECONDS = 20.0
"""How long a catalogue's server may stay silent before it counts as out of reach."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Offers read from a catalogue; ``refused`` tells of those that are left out, a line each."""

    points: tuple[PricePoint, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """The price of a machine: ``usd_per_hour`` is for the whole machine, ``source`` is its provenance."""

    region: str
    market: Market
    usd_per_hour: float
    today: date
    source: str
    licence: str


def offer_of(machine: PricePoint, offer: Offer) -> PricePoint:
    """The price point of ``offer`` for the machine that ``machine`` describes; its rate is not looked at.

    Raises PriceBookError where the rate cannot be one.
    """
    return replace(
        machine,
        region=offer.region,
        market=offer.market,
        usd_per_hour=offer.usd_per_hour,
        energy_usd_per_hour=0.0,
        maintenance_usd_per_hour=0.0,
        effective_from=offer.today,
        effective_to=None,
        quality=QUALITY,
        date_kind=DATE_KIND,
        source=offer.source,
        licence=offer.licence,
        place="",
    )
