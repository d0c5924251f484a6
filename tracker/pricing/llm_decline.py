"""How fast hosted models get cheaper: the dated changes of genai-prices, and a yearly rate fitted to them by class.

A price is that of a million tokens, three read for each one written. A model's class is the band that the geometric
mean of its first and its last price lies in: by the last alone, every model that fell would be a cheap one.

The package dates some changes and leaves others out, provider by provider. A provider is therefore watched from its
first dated change (which opens the watch and is not counted, for what came before it is not known) until the last
dated change of the package by the day that is asked for. One that was watched for less than LEAST_DAYS is left out: its
changes of a few weeks say nothing of a year, and many of them are a list that was read again, not a price that changed.
The rate of a class is the sum of all changes of its models' log prices over the sum of their years under watch, models
without a change among them. Its range is the central 90 % of bootstraps over providers (Efron and Tibshirani 1993),
because a provider changes many prices at once; of a handful of providers it is a rough one.

The package does not say when a model appeared: each counts as if it had been there all the while, so rates err towards
0. A rate is that at which a model that you have chosen gets cheaper. That newer models do the same for less is not in
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np

from tracker.pricing.llm_api import blended_usd, price_package, providers_of

BANDS = {"below $0.50": (0.0, 0.5), "$0.50 to $5": (0.5, 5.0), "above $5": (5.0, math.inf)}
"""The classes: USD a million tokens, from and to."""
ALL = "all prices"
RANGE = 0.9
DRAWS = 4000
LEAST_DAYS = 180
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A dated change of a model's price, in USD a million tokens. ``band`` is the model's class.

    ``counts`` is False for those of the day that opened the watch on its provider, and of a provider that was watched
    for less than LEAST_DAYS.
    """

    provider: str
    model: str
    day: date
    before_usd: float
    after_usd: float
    band: str
    counts: bool


@dataclass(frozen=True, slots=True)
class Decline:
    """The fitted change of a class's prices a year: ``rate`` and its range are of the log price; it falls below 0.

    ``changes`` that counted of those that are ``dated``, by ``providers`` that were watched, over ``model_years``, from
    ``since`` until ``until``.
    """

    band: str
    rate: float
    low: float
    high: float
    changes: int
    dated: int
    providers: int
    model_years: float
    since: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """A model's prices in order: the day of each (None for the first one known), and USD a million tokens."""

    provider: str
    model: str
    days: tuple[date | None, ...]
    usd: tuple[float, ...]

    def band(self, until: date) -> str:
        """Its class by the prices known until a day; "" where none is."""
        known = [usd for day, usd in zip(self.days, self.usd, strict=True) if day is None or day <= until]
        return band_of(math.sqrt(known[0] * known[-1])) if known else ""


def band_of(usd_per_million: float) -> str:
    """The class of a price."""
    return next(name for name, (low, high) in BANDS.items() if low <= usd_per_million < high)


def price_histories() -> tuple[PriceHistory, ...]:
    """Of every model of genai-prices with rates for text read and written, but for those priced by the hour of the day.

    Raises PriceBookError as price_package.
    """
    return _of_package()


def price_changes(histories: Sequence[PriceHistory], until: date, least_days: float = LEAST_DAYS) -> list[PriceChange]:
    """Every dated change by the day ``until``, by provider, model and day."""
    watched = _watched(histories, until, least_days)
    found = [
        PriceChange(each.provider, each.model, day, before, after, each.band(until), _counts(watched, each, day))
        for each in histories
        for before, after, day in zip(each.usd, each.usd[1:], each.days[1:], strict=False)
        if day is not None and day <= until and before != after
    ]
    return sorted(found, key=lambda each: (each.provider, each.model, each.day))


def _counts(watched: Mapping[str, tuple[date, date]], model: PriceHistory, day: date) -> bool:
    return model.provider in watched and day > watched[model.provider][0]


def fitted_decline(
    histories: Sequence[PriceHistory], band: str, until: date, least_days: float = LEAST_DAYS, seed: int = 0
) -> Decline:
    """The rate of a class (of BANDS, or ALL) from the changes by the day ``until``; NaN where nothing is watched.

    ``least_days`` is how long a provider must have been watched; ``seed`` is that of the bootstrap.
    """
    watched = _watched(histories, until, least_days)
    changes = price_changes(histories, until, least_days)
    counted = [each for each in changes if each.counts and band in (ALL, each.band)]
    grown, years = dict.fromkeys(watched, 0.0), dict.fromkeys(watched, 0.0)
    for each in counted:
        grown[each.provider] += math.log(each.after_usd / each.before_usd)
    for model in histories:
        if model.provider in watched and band in (ALL, model.band(until)):
            opened, closed = watched[model.provider]
            years[model.provider] += (closed - opened).days / _YEAR_DAYS
    kept = [provider for provider, each in years.items() if each > 0]
    if not kept:
        return Decline(band, math.nan, math.nan, math.nan, 0, len(changes), 0, 0.0, None, None)
    sums = np.array([(grown[provider], years[provider]) for provider in kept])
    draws = sums[np.random.default_rng(seed).integers(0, len(sums), (DRAWS, len(sums)))].sum(axis=1)
    low, high = np.quantile(draws[:, 0] / draws[:, 1], ((1 - RANGE) / 2, (1 + RANGE) / 2))
    total = sums.sum(axis=0)
    return Decline(
        band,
        float(total[0] / total[1]),
        float(low),
        float(high),
        changes=len(counted),
        dated=len([each for each in changes if band in (ALL, each.band)]),
        providers=len(kept),
        model_years=float(total[1]),
        since=min(watched[provider][0] for provider in kept),
        until=max(watched[provider][1] for provider in kept),
    )


def _watched(histories: Sequence[PriceHistory], until: date, least_days: float) -> dict[str, tuple[date, date]]:
    """From when to when each provider was watched by the day ``until``, those that were for ``least_days``."""
    days = [(each.provider, day) for each in histories for day in each.days if day is not None and day <= until]
    opened: dict[str, date] = {}
    for provider, day in days:
        opened[provider] = min(opened.get(provider, day), day)
    closed = max((day for _, day in days), default=until)
    return {provider: (day, closed) for provider, day in opened.items() if (closed - day).days >= least_days}


@cache
def _of_package() -> tuple[PriceHistory, ...]:
    providers = providers_of(price_package()).values()
    return tuple(filter(None, (_history(each.id, model) for each in providers for model in each.models)))


def _history(provider: str, model: Any) -> PriceHistory | None:
    prices = model.prices if isinstance(model.prices, list) else [model]
    if any(hasattr(getattr(each, "constraint", None), "start_time") for each in prices):
        return None
    known = list(_blended(prices))
    days, usd = tuple(day for day, _ in known), tuple(each for _, each in known)
    return PriceHistory(provider, str(model.id), days, usd) if known else None


def _blended(prices: Any) -> Iterator[tuple[date | None, float]]:
    for each in prices:
        rates = [getattr(rate, "base", rate) for rate in (each.prices.input_mtok, each.prices.output_mtok)]
        if all(rates):
            yield getattr(getattr(each, "constraint", None), "start_date", None), blended_usd(*map(float, rates))
