"""What a usage costs at a rate: pure functions, so that every old run can be priced anew."""

from __future__ import annotations

from tracker.errors import PriceBookError
from tracker.pricing.price_point import PricePoint
from tracker.records import Price, Usage

BYTES_PER_GB = 2**30
"""A "GB" of RAM in the clouds' machine tables is a GiB."""
SECONDS_PER_HOUR = 3600.0


def dominant_share(usage: Usage, point: PricePoint) -> float:
    """The share of the machine that ``usage`` keeps others from using: the largest of its shares.

        max(cores / vCPU, peak memory / RAM, accelerators / accelerators of the machine)

    What is blank in the price point is left out. A usage larger than the machine has a share above 1:
    it needs as many machines' worth. Source: dominant resource fairness (Ghodsi et al., NSDI 2011).

    Raises PriceBookError where the usage has accelerators and the machine none, or the point says
    nothing to compare the usage with.
    """
    if usage.accelerators and not point.accelerator_count:
        raise PriceBookError(f"{point.sku} has no accelerator; this usage takes {usage.accelerators}")
    shares = []
    if point.vcpu is not None:
        shares.append(usage.cores / point.vcpu)
    if point.ram_gb is not None:
        shares.append(usage.peak_memory_bytes / (point.ram_gb * BYTES_PER_GB))
    if usage.accelerators:
        shares.append(usage.accelerators / point.accelerator_count)
    if not shares:
        raise PriceBookError(f"{point.sku}: vCPU and RAM are not known, so a usage of its CPU cannot be priced")
    return max(shares)


def price_of(usage: Usage, point: PricePoint) -> Price:
    """The price of ``usage``: wall hours times the hourly rate times the dominant share.

    Raises PriceBookError as ``dominant_share`` does.
    """
    share = dominant_share(usage, point)
    return Price(
        usd=usage.wall_seconds / SECONDS_PER_HOUR * point.usd_per_hour * share,
        sku=point.sku,
        market=point.market,
        usd_per_hour=point.usd_per_hour,
        share=share,
        source=point.source,
        effective_from=point.effective_from.isoformat(),
    )
