"""The price of a usage: pure functions of usage, rate and terms, so that every old run can be re-priced.

Every function takes floats or numpy arrays of one shape (one entry a usage) and gives the same back, so that one
formula prices a single run and a hundred thousand.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tracker.errors import PriceBookError
from tracker.pricing.price_point import PricePoint
from tracker.records import Market, Price, Usage
from tracker.study.costs import CostTerms

Number: TypeAlias = float | NDArray[np.float64]
"""A float, or an array with one entry a usage."""

BYTES_PER_GB = 2**30
"""A "GB" in the clouds' machine and storage tables is a GiB."""
SECONDS_PER_HOUR = 3600.0
HOURS_PER_MONTH = 730.0
"""A twelfth of 8,760 hours: the month that clouds bill storage by."""
SHORTEST_INCREMENT_SECONDS = 0.001
"""Nobody bills by less: a shorter increment bills what was used, as 0 does."""
DEFAULT_TERMS = CostTerms()


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """The usage that prices depend on; each a float or an array. Fields as in records.Usage."""

    wall_seconds: Number
    startup_seconds: Number
    cores: Number
    accelerators: Number
    peak_memory_bytes: Number
    stored_bytes: Number
    kept_bytes: Number
    acquired_samples: Number
    acquired_bytes: Number

    @classmethod
    def of(cls, usage: Usage) -> UsageColumns:
        """Those of one usage."""
        return cls(*map(float, _OF_USAGE(usage)))


_OF_USAGE = operator.attrgetter(*(each.name for each in fields(UsageColumns)))


@dataclass(frozen=True, slots=True)
class RateColumns:
    """The machine and its rate; each a float or an array. NaN in ``vcpu`` or ``ram_gb`` is unknown."""

    usd_per_hour: Number
    energy_usd_per_hour: Number
    maintenance_usd_per_hour: Number
    vcpu: Number
    ram_gb: Number
    accelerator_count: Number
    spot: bool | NDArray[np.bool_]

    @classmethod
    def of(cls, point: PricePoint) -> RateColumns:
        """Those of one price point."""
        return cls(
            usd_per_hour=point.usd_per_hour,
            energy_usd_per_hour=point.energy_usd_per_hour,
            maintenance_usd_per_hour=point.maintenance_usd_per_hour,
            vcpu=math.nan if point.vcpu is None else point.vcpu,
            ram_gb=math.nan if point.ram_gb is None else point.ram_gb,
            accelerator_count=float(point.accelerator_count),
            spot=point.market is Market.SPOT,
        )

    @classmethod
    def of_many(cls, points: Sequence[PricePoint]) -> RateColumns:
        """Those of several price points, as arrays."""
        rows = [cls.of(point) for point in points]
        return cls(*(np.array([getattr(row, each.name) for row in rows]) for each in fields(cls)))

    def at(self, codes: NDArray[np.intp]) -> RateColumns:
        """Of arrays, one entry for each of ``codes``: the index of its price point."""
        return RateColumns(*(getattr(self, each.name)[codes] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Parts:
    """A price in USD by its four parts (records.CostPart), with the time and the share that were billed."""

    data: Number
    compute: Number
    storage: Number
    maintenance: Number
    billed_seconds: Number
    share: Number

    @property
    def usd(self) -> Number:
        """The whole price."""
        return self.data + self.compute + self.storage + self.maintenance


def price_of(usage: Usage, point: PricePoint, terms: CostTerms = DEFAULT_TERMS) -> Price:
    """The price of one usage at one rate.

    Raises PriceBookError where ``check_billable`` does.
    """
    check_billable(point, usage.accelerators)
    parts = price_parts(UsageColumns.of(usage), RateColumns.of(point), terms)
    return Price(
        data_usd=float(parts.data),
        compute_usd=float(parts.compute),
        storage_usd=float(parts.storage),
        maintenance_usd=float(parts.maintenance),
        sku=point.sku,
        region=point.region,
        market=point.market,
        usd_per_hour=point.usd_per_hour,
        share=float(parts.share),
        billed_seconds=float(parts.billed_seconds),
        source=point.source,
        effective_from=point.effective_from.isoformat(),
    )


def check_billable(point: PricePoint, accelerators: int) -> None:
    """Raise PriceBookError where a usage with this many accelerators cannot be billed as this machine.

    That is where the usage has accelerators and the machine none, or the price point says nothing to compare
    the usage with.
    """
    if accelerators and not point.accelerator_count:
        raise PriceBookError(f"{point.sku} has no accelerator; this usage takes {accelerators}")
    if not accelerators and point.vcpu is None and point.ram_gb is None:
        raise PriceBookError(f"{point.sku}: vCPU and RAM are not known, so a usage of its CPU cannot be priced")


def price_parts(usage: UsageColumns, rate: RateColumns, terms: CostTerms = DEFAULT_TERMS) -> Parts:
    """The four parts of a price.

    - data: samples and GB brought in, times what acquiring, cleaning and labelling each costs;
    - compute: billed hours × the hourly rate, electricity of own hardware included, × the share;
    - storage: GB-months that lay on disk during the attempt and for ``keep_months`` after it;
    - maintenance: upkeep of own hardware, a share of compute, and a share of a monthly sum.
    """
    share = dominant_share(usage, rate)
    if terms.idle_billed:
        share = np.ceil(share)
    seconds = billed_seconds(usage, rate.spot, terms)
    machine_hours = seconds / SECONDS_PER_HOUR * share
    compute = machine_hours * (rate.usd_per_hour - rate.maintenance_usd_per_hour)
    monthly = terms.maintenance_usd_per_month / HOURS_PER_MONTH
    upkeep = machine_hours * (rate.maintenance_usd_per_hour + monthly) + compute * terms.maintenance_share
    return Parts(_data_usd(usage, terms), compute, _storage_usd(usage, terms), upkeep, seconds, share)


def dominant_share(usage: UsageColumns, rate: RateColumns) -> Number:
    """The share of the machine that a usage keeps others from using: the largest of its shares.

        max(cores / vCPU, peak memory / RAM, accelerators / accelerators of the machine)

    What is unknown of the machine is left out. A usage larger than the machine has a share above 1: it needs as
    many machines' worth. Source: dominant resource fairness (Ghodsi et al., NSDI 2011).
    """
    of_memory = usage.peak_memory_bytes / (rate.ram_gb * BYTES_PER_GB)
    of_accelerators = usage.accelerators / np.maximum(rate.accelerator_count, 1.0)
    return np.fmax(np.fmax(usage.cores / rate.vcpu, of_memory), of_accelerators)


def billed_seconds(usage: UsageColumns, spot: bool | NDArray[np.bool_], terms: CostTerms) -> Number:
    """The seconds of one attempt that are paid for.

    Its wall time, without start-up where that is not billed; on spot machines the time that interruptions repeat;
    then at least the minimum, in whole increments.
    """
    seconds = usage.wall_seconds if terms.startup_billed else np.maximum(usage.wall_seconds - usage.startup_seconds, 0)
    if spot is not False:
        seconds = np.where(spot, with_interruptions(seconds, terms), seconds)
    seconds = np.maximum(seconds, terms.minimum_seconds)
    if terms.increment_seconds >= SHORTEST_INCREMENT_SECONDS:
        # A hair is taken off first, so that what divides exactly is not rounded up by a rounding error.
        steps = np.ceil(seconds / terms.increment_seconds * (1 - 1e-12))
        seconds = np.maximum(steps * terms.increment_seconds, seconds)
    return seconds


def with_interruptions(seconds: Number, terms: CostTerms) -> Number:
    """The time that ``seconds`` of work take, on average, on a machine that is taken away now and then.

    Interruptions come by chance at a rate r; each costs the work since the last checkpoint, which is paid for
    again, and a restart R. Work between two checkpoints d apart then takes (1 / r + R) × (exp(r d) - 1), that is d
    times (1 + r R) × (exp(r d) - 1) / (r d). Source: Daly, "A higher order estimate of the optimum checkpoint
    interval for restart dumps", Future Generation Computer Systems 22 (2006), without its cost of writing a
    checkpoint; R is paid after an interruption only.
    """
    rate = terms.interruptions_per_hour / SECONDS_PER_HOUR
    exposure = rate * np.minimum(seconds, terms.checkpoint_seconds)
    with np.errstate(invalid="ignore"):
        repeated = np.where(exposure > 0, np.expm1(exposure) / exposure, 1.0)
    return seconds * (1 + rate * terms.restart_seconds) * repeated


def _data_usd(usage: UsageColumns, terms: CostTerms) -> Number:
    per_sample = terms.acquisition_usd_per_sample + terms.cleaning_usd_per_sample + terms.labelling_usd_per_sample
    per_gb = terms.acquisition_usd_per_gb + terms.cleaning_usd_per_gb + terms.labelling_usd_per_gb
    return usage.acquired_samples * per_sample + usage.acquired_bytes / BYTES_PER_GB * per_gb


def _storage_usd(usage: UsageColumns, terms: CostTerms) -> Number:
    months = usage.wall_seconds / SECONDS_PER_HOUR / HOURS_PER_MONTH
    gb_months = (usage.stored_bytes * months + usage.kept_bytes * terms.keep_months) / BYTES_PER_GB
    return gb_months * terms.storage_usd_per_gb_month
