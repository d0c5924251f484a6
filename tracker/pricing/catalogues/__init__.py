"""The live catalogues that prices can be fetched from, where there is a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from tracker.pricing.catalogues.azure import fetch_azure
from tracker.pricing.catalogues.fetched import Fetched
from tracker.pricing.catalogues.gpuhunt_offers import fetch_gpuhunt
from tracker.pricing.price_book import PriceBook


class Fetch(Protocol):
    """Reads a catalogue. ``book`` says which machines are known, ``today`` is the day that rates are dated.

    ``regions`` limits the offers; empty, they are those in which the book has rates of the same provider.
    Raises CatalogueError where the catalogue is out of reach or makes no sense, PriceBookError where what is
    asked for is not possible here. A single bad offer is no error: it is among ``Fetched.refused``.
    """

    def __call__(self, book: PriceBook, today: date, regions: Collection[str] = ()) -> Fetched:
        """What the catalogue has to say today."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A source of live prices, by the name that users write."""

    name: str
    help: str
    fetch: Fetch


CATALOGUES: Mapping[str, Catalogue] = {
    catalogue.name: catalogue
    for catalogue in (
        Catalogue(
            "azure",
            "Azure Retail Prices API, for the Azure SKUs of the price book; no account needed",
            fetch_azure,
        ),
        Catalogue(
            "gpuhunt",
            "gpuhunt's catalogue: GPU machines of AWS, Azure, GCP, Lambda, Nebius, OCI, RunPod, Verda and CloudRift",
            fetch_gpuhunt,
        ),
    )
}
"""Every catalogue by its name."""
