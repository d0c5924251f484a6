"""Build or buy over time, while the hosted model gets cheaper: when training pays off, and until which decline.

Predictions come at a steady pace. Own ones cost the same throughout; the hosted price changes at a yearly log rate,
below 0 where it falls. After t years own = training + pace × own price × t, hosted = pace × hosted price × (e^(rate t)
- 1) / rate; training has paid off where the two meet. All prices in USD.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from tracker.errors import RequestError
from tracker.report.words import several

HORIZON_YEARS = 30.0
"""What has not paid off by then never does."""
YEAR_DAYS = 365.25
_STEPS = 80
_ANY = 0.999
"""A decline a year beyond which there is none to fear."""
_LEAST = -100.0
"""The least decline a year that is allowed: a price that grows to 101 times as much."""


@dataclass(frozen=True, slots=True)
class PriceWar:
    """How the hosted price changes: ``rate`` a year of its log, within ``low`` and ``high``; ``basis`` says from what.

    The predictions are spread evenly over ``months`` from the day ``starts_on``, and go on at that pace.
    """

    rate: float
    low: float
    high: float
    basis: str
    months: float
    starts_on: date

    def __post_init__(self) -> None:
        if not (math.isfinite(self.months) and self.months > 0):
            raise RequestError(f"months: {self.months} is not a finite number above 0")


def rate_of(decline: float) -> float:
    """The log rate of a decline a year, a share (0.3 for 30 %, below 0 for a rise).

    Raises RequestError for one that is not below 1, or below -100.
    """
    if not (math.isfinite(decline) and decline < 1):
        raise RequestError(f"decline: {100 * decline:g} % a year is not a finite number below 100 %")
    if decline < _LEAST:
        raise RequestError(f"decline: {100 * decline:g} % a year is below {100 * _LEAST:g} %, the least allowed")
    return math.log1p(-decline)


def years_to_break_even(training: float, own: float, hosted: float, a_year: float, rate: float) -> float | None:
    """The years after which training has paid off; None where it does not within HORIZON_YEARS."""
    until = HORIZON_YEARS
    if rate < 0 and own > 0:
        until = min(until, max(math.log(hosted / own) / -rate, 0.0) if hosted > 0 else 0.0)
    if _saved(own, hosted, a_year, rate, until) < training:
        return None
    low, high = 0.0, until
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _saved(own, hosted, a_year, rate, middle) >= training else (middle, high)
    return high


def _saved(own: float, hosted: float, a_year: float, rate: float, years: float) -> float:
    """What predictions of one's own have saved after so many years."""
    paid = years if rate == 0 else math.expm1(rate * years) / rate
    return a_year * (hosted * paid - own * years)


def fastest_decline(training: float, own: float, hosted: float, a_year: float) -> float | None:
    """The decline a year (a share) up to which training pays off within HORIZON_YEARS; None where a steady price does
    not do it.

    Savings are largest when the hosted price has fallen to one's own, ln(hosted / own) / r years on; there they are
    a_year × (hosted - own - own × ln(hosted / own)) / r, which meet the training at the r that is returned as a share.
    Where that is past the horizon, r is lower: it is searched for.
    """
    if hosted <= own or training <= 0 or years_to_break_even(training, own, hosted, a_year, 0.0) is None:
        return None
    spare = hosted - own - (own * math.log(hosted / own) if own > 0 else 0.0)
    rate = a_year * spare / training
    if years_to_cross(own, hosted, -rate) is None:
        slow, fast = 0.0, rate
        for _ in range(_STEPS):
            middle = (slow + fast) / 2
            pays = years_to_break_even(training, own, hosted, a_year, -middle) is not None
            slow, fast = (middle, fast) if pays else (slow, middle)
        rate = slow
    return -math.expm1(-rate)


def years_to_cross(own: float, hosted: float, rate: float) -> float | None:
    """The years until a hosted prediction costs as little as one of one's own, training apart; None for never."""
    if hosted <= own:
        return 0.0
    years = math.log(hosted / own) / -rate if rate < 0 and own > 0 else math.inf
    return years if years <= HORIZON_YEARS else None


def over_time(training: float, own: float, hosted: float, predictions: float, war: PriceWar) -> dict[str, Any]:
    """A model's break-even as a date, with the dates at either end of the range, and what the decline means for it.

    Dates are ISO days, None for never: ``break_even_on``, ``break_even_earliest``, ``break_even_latest``,
    ``hosted_cheaper_on`` (the day that a hosted prediction gets as cheap as one of one's own, training apart).
    ``pays_below_decline`` is the decline a year up to which training pays off at all (fastest_decline), a share.
    """
    a_year = predictions / war.months * 12
    ends = [years_to_break_even(training, own, hosted, a_year, rate) for rate in (war.rate, war.high, war.low)]
    likely, earliest, latest = (_day(war.starts_on, years) for years in ends)
    return {
        "break_even_on": likely,
        "break_even_earliest": earliest,
        "break_even_latest": latest,
        "hosted_cheaper_on": _day(war.starts_on, years_to_cross(own, hosted, war.rate)),
        "pays_below_decline": fastest_decline(training, own, hosted, a_year),
    }


def _day(start: date, years: float | None) -> str | None:
    return None if years is None else (start + timedelta(days=years * YEAR_DAYS)).isoformat()


def war_document(war: PriceWar, predictions: float) -> dict[str, Any]:
    """The assumptions over time: declines are shares a year, below 0 where the price rises."""
    declines = {name: -math.expm1(rate) for name, rate in (("", war.rate), ("_low", war.high), ("_high", war.low))}
    return {
        "starts_on": war.starts_on.isoformat(),
        "months": war.months,
        "predictions_a_month": predictions / war.months,
        **{f"decline_a_year{end}": decline for end, decline in declines.items()},
        "basis": war.basis,
    }


def war_sentences(document: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the price war means, in words: ``document`` is that of war_document, ``points`` have over_time's keys."""
    low, high = (change_words(document[f"decline_a_year{end}"]) for end in ("_high", "_low"))
    falls = change_words(document["decline_a_year"])
    spread = "" if low == high else f" (nine of ten: {low} to {high})"
    sentences = [
        f"over time, at {document['predictions_a_month']:,.0f} predictions a month from {document['starts_on']}: the"
        f" hosted price is taken to change by {falls} a year{spread}; {document['basis']}"
    ]
    limits = [point["pays_below_decline"] for point in points if point["pays_below_decline"] is not None]
    if not limits:
        never = f"does not pay at this pace within {HORIZON_YEARS:g} years, even if the hosted price stays as it is"
        return [*sentences, f"training your own {never}"]
    some = "" if len(limits) == len(points) else f" for {len(limits)} of {several(len(points), 'model')}"
    pays = f"training your own pays off at this pace{some}"
    if min(limits) > _ANY:
        return [*sentences, f"{pays} however fast the hosted price falls"]
    least, most = (f"{100 * limit:.3g} %" for limit in (min(limits), max(limits)))
    until = least if least == most else f"{least} (the dearest to train) to {most}"
    return [
        *sentences,
        f"{pays} as long as the hosted price falls by less than {until} a year; any faster, and it never does",
    ]


def change_words(decline: float) -> str:
    """A decline as a signed change.

    >>> change_words(0.3), change_words(-0.02), change_words(0.004), change_words(0.0)
    ('-30 %', '+2 %', '-0.4 %', '0 %')
    """
    if not math.isfinite(decline) or abs(decline) < 5e-5:
        return "0 %"
    return f"{-100 * decline:+.2g} %"
