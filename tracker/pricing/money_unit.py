"""The unit that amounts of money are shown in: one for all amounts of a study, so that they compare at a glance.

The rule: whole units of the currency where the smallest amount is at least a hundredth of one ($0.01); else thousandths
(m$) where it is at least a hundredth of one of these ($0.00001); else millionths (µ$), else billionths (n$). An amount
of 10,000 such parts or more, as a budget or the sum over a large study may be, is written in whole units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tracker.pricing.currency import USD, Amount, ExchangeRate

SMALLEST = 0.01
"""The smallest amount that a unit shows, in that unit."""
_PREFIXES = {"": (1.0, ""), "m": (1e3, "thousandths"), "µ": (1e6, "millionths"), "n": (1e9, "billionths")}


@dataclass(frozen=True, slots=True)
class MoneyUnit:
    """A currency, or a thousandth, a millionth or a billionth of it: ``prefix`` is "", "m", "µ" or "n"."""

    currency: ExchangeRate = USD
    prefix: str = ""

    @property
    def symbol(self) -> str:
        """As it stands beside an amount: $ before one, m$ after it."""
        return f"{self.prefix}{self.currency.symbol.strip()}" if self.prefix else self.currency.symbol

    @property
    def name(self) -> str:
        """The unit in words, for an axis or the head of a table.

        >>> MoneyUnit().name, MoneyUnit(prefix="m").name
        ('US dollars', 'm$ (thousandths of a US dollar)')
        """
        if not self.prefix:
            return self.currency.name
        whole = "US dollar" if self.currency.code == USD.code else self.currency.code
        return f"{self.symbol} ({_PREFIXES[self.prefix][1]} of a {whole})"

    def of(self, usd: Amount) -> Amount:
        """An amount of USD, or an array of them, in this unit."""
        return self.currency.of(usd) * _PREFIXES[self.prefix][0]

    def usd(self, amount: float) -> float:
        """An amount in this unit in USD."""
        return amount / _PREFIXES[self.prefix][0] * self.currency.usd


DOLLARS = MoneyUnit()


def money_unit(amounts_usd: ArrayLike, currency: ExchangeRate = USD) -> MoneyUnit:
    """The unit that suits amounts of USD, by the smallest above zero; whole units of the currency where there is none.

    >>> money_unit([0.0, 0.25, 30.0]).symbol, money_unit([0.0000127, 0.004]).symbol, money_unit([0.000002]).symbol
    ('$', 'm$', 'µ$')
    """
    amounts = np.asarray(amounts_usd, dtype=np.float64)
    usable = amounts[np.isfinite(amounts) & (amounts > 0)]
    if not len(usable):
        return MoneyUnit(currency)
    least = currency.of(float(usable.min()))
    fitting = (prefix for prefix, (factor, _) in _PREFIXES.items() if least * factor >= SMALLEST * (1 - 1e-9))
    return MoneyUnit(currency, next(fitting, "n"))
