"""Other currencies: amounts are kept in USD and shown in another one by a dated rate that the user gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tracker.errors import PriceBookError, did_you_mean

Amount = TypeVar("Amount", float, NDArray[np.float64])

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """What one unit of a currency was worth in USD on a day. ``code`` is its ISO 4217 code."""

    code: str
    usd: float
    on: date | None
    source: str

    @property
    def symbol(self) -> str:
        """What stands before an amount: the currency's sign where it has one of its own, else its code."""
        return _SYMBOLS.get(self.code, f"{self.code} ")

    def of(self, usd: Amount) -> Amount:
        """An amount of USD, or an array of them, in this currency."""
        return usd / self.usd

    @property
    def name(self) -> str:
        """The currency in words."""
        return "US dollars" if self.code == "USD" else self.code

    @property
    def sentence(self) -> str:
        """What the amounts were converted by."""
        return f"shown in {self.code}: 1 {self.code} = ${self.usd:g} on {self.on}, {self.source}"


USD = ExchangeRate("USD", 1.0, None, "")


def exchange_rate(code: str, known: Iterable[ExchangeRate], on: date | None = None) -> ExchangeRate:
    """The rate of a currency on the day ``on``, or today's: the newest one by then.

    Raises PriceBookError for a currency or a day that the user gave no rate for.
    """
    if code.upper() == USD.code:
        return USD
    rates = [rate for rate in known if rate.on is not None]
    of_code = [rate for rate in rates if rate.code == code.upper()]
    if not of_code:
        names = {"USD", *(rate.code for rate in rates)}
        raise PriceBookError(f"unknown currency {code!r}; {did_you_mean(code.upper(), names)}; add it as [[currency]]")
    day = on or date.today()
    held = [rate for rate in of_code if rate.on is not None and rate.on <= day]
    if not held:
        days = ", ".join(sorted(str(rate.on) for rate in of_code))
        raise PriceBookError(f"no rate of {code.upper()} on {day}; its rates begin on: {days}")
    return max(held, key=lambda rate: rate.on or date.min)
