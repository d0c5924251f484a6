"""Which of several rates counts: by region, by origin, by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracker.pricing.price_point import PricePoint
from tracker.records import Market

HOME_REGIONS: Mapping[str, str] = {"aws": "us-east-1", "azure": "eastus", "gcp": "us-central1"}
"""Where a price is taken when nobody names a region."""


def is_users(point: PricePoint) -> bool:
    """Whether it is a rate of the user."""
    return point.quality == "user"


def in_region(points: list[PricePoint], region: str) -> list[PricePoint]:
    """The rates of one market that hold in a region; what a user gives without one holds everywhere.

    Without a region, a SKU's listed rates of its provider's home region, or where it has none those of every region,
    and the user's own: a cheaper region in the book changes no price of a study that named none. A listed rate without
    a region counts as one at home, because it is not known to be elsewhere.
    """
    if region:
        return [row for row in points if row.region == region or (is_users(row) and not row.region)]
    at_home = {row.sku for row in points if not is_users(row) and _is_at_home(row)}
    return [row for row in points if is_users(row) or _is_at_home(row) or row.sku not in at_home]


def _is_at_home(point: PricePoint) -> bool:
    return point.region in ("", HOME_REGIONS.get(point.provider))


def users_first(points: list[PricePoint]) -> list[PricePoint]:
    """Rates of one market, where the user has one for a SKU without what is listed of it."""
    own = {row.sku for row in points if is_users(row)}
    return [row for row in points if is_users(row) or row.sku not in own]


def newest(points: Iterable[PricePoint]) -> list[PricePoint]:
    """Of each SKU, region and market the point that began last; the user's own apart from the listed ones."""
    found: dict[tuple[str, str, Market, bool], PricePoint] = {}
    for point in sorted(points, key=lambda point: point.effective_from):
        found[point.sku, point.region, point.market, is_users(point)] = point
    return list(found.values())
