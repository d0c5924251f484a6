"""Numbers for people: dollars that stay readable when tiny, times, counts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tracker.pricing.money_unit import DOLLARS, SMALLEST, MoneyUnit

MOST_PARTS = 9_999.5
"""From this many thousandths, millionths or billionths of a currency, an amount is written in whole units of it."""
NOTHING = "—"
"""Shown where there is no figure."""


_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for line feeds and tabs, what turns the direction of text, and halves of characters."""


def visible(text: str) -> str:
    r"""``text`` with what a terminal would obey, and not show, written out.

    >>> print(visible("a\x1b[31mb \u202e c 🦊"))
    a\u001b[31mb \u202e c 🦊

    In a JSON document that is JSON's own way to write them: it stays a document of the same values.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def usd(value: float) -> str:
    """Dollars: cents from $1 up, three significant digits below.

    >>> usd(1234.5), usd(0.25), usd(0.000012345), usd(0)
    ('$1,234.50', '$0.25', '$0.0000123', '$0')
    """
    return money(value, DOLLARS)


def money(value_usd: float, unit: MoneyUnit) -> str:
    """An amount of dollars in a display unit: a currency's sign goes before it, that of a fraction after it.

    >>> from tracker.pricing.currency import ExchangeRate
    >>> money(116.0, MoneyUnit(ExchangeRate("EUR", 1.16, None, ""))), money(0.0000127, MoneyUnit(prefix="m"))
    ('€100.00', '0.0127 m$')
    >>> money(0.0015, MoneyUnit(prefix="µ")), money(0.01, MoneyUnit(prefix="µ"))
    ('1,500 µ$', '$0.01')
    """
    value = unit.of(value_usd)
    if not math.isfinite(value):
        return NOTHING
    if unit.prefix and abs(value) < MOST_PARTS:
        return f"{_digits(value)} {unit.symbol}"
    if unit.prefix:
        return money(value_usd, MoneyUnit(unit.currency))
    if value == 0:
        return f"{unit.symbol}0"
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size >= 0.9995:
        return f"{sign}{unit.symbol}{size:,.2f}"
    text = f"{size:.{decimals_for(size)}f}".rstrip("0")
    return f"{sign}{unit.symbol}{text if len(text) >= 4 else text.ljust(4, '0')}"


def money_part(value_usd: float, unit: MoneyUnit) -> str:
    """A part of an amount, in the unit of the whole; amounts far below its smallest figure read "less than".

    >>> money_part(0.002, MoneyUnit()), money_part(1e-15, MoneyUnit(prefix="µ"))
    ('less than $0.01', 'less than 0.0100 µ$')
    """
    least = unit.usd(SMALLEST)
    return f"less than {money(least, unit)}" if 0 < value_usd < least / 2 else money(value_usd, unit)


def _digits(value: float) -> str:
    """Three significant digits, and all of those before the point."""
    size = abs(value)
    decimals = 0 if size >= 99.95 or value == 0 else max(0, 2 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"


def decimals_for(value: float) -> int:
    """How many decimals show a positive number with three significant digits; at least two.

    >>> decimals_for(12.0), decimals_for(0.00012)
    (2, 6)
    """
    return max(2, 2 - math.floor(math.log10(value))) if 0 < value < math.inf else 2


def quality(value: float) -> str:
    """A quality with four significant digits, so that columns align.

    >>> quality(0.742149), quality(0.49), quality(1234.0)
    ('0.7421', '0.4900', '1234')
    """
    return f"{value:#.4g}".rstrip(".") if math.isfinite(value) else NOTHING


def duration(seconds: float) -> str:
    """A time in the largest unit that fits.

    >>> duration(0.5), duration(42.42), duration(600), duration(7300)
    ('0.5 s', '42.4 s', '10 min 0 s', '2 h 1 min')
    """
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def percent(share: float) -> str:
    """A share as a whole percentage; a share above 0 never reads as 0.

    >>> percent(0.421), percent(0.001), percent(0)
    ('42 %', '< 1 %', '0 %')
    """
    if not math.isfinite(share):
        return NOTHING
    return "< 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def several(count: int, noun: str) -> str:
    """A count with its noun.

    >>> several(1, "run"), several(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def figure(value: float) -> str:
    """A measured figure with three significant digits.

    >>> figure(1234.5), figure(0.0012345)
    ('1,230', '0.00123')
    """
    if not math.isfinite(value):
        return NOTHING
    return f"{float(f'{value:.3g}'):,g}"


def setting(value: object) -> str:
    """The value of a setting, a float with four significant digits; None where a run has none of it.

    >>> setting(0.000870664478), setting(16), setting("bf16"), setting(True), setting(None)
    ('0.0008707', '16', 'bf16', 'True', '—')
    """
    if value is None:
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def change(difference: float, low: float, high: float, in_words: Callable[[float], str]) -> str:
    """A difference with its sign, and its interval where there is one.

    >>> change(-0.5, -0.75, -0.25, str), change(0.5, math.nan, math.nan, str)
    ('-0.5 (-0.75 to -0.25)', '+0.5')
    """
    texts = [in_words(value) if value <= 0 else f"+{in_words(value)}" for value in (difference, low, high)]
    return texts[0] if math.isnan(low) else f"{texts[0]} ({texts[1]} to {texts[2]})"


def percent_change(ratio: float) -> str:
    """A ratio as a signed percentage change.

    >>> percent_change(0.8), percent_change(1.254)
    ('-20 %', '+25 %')
    """
    return f"{100 * (ratio - 1):+.0f} %" if math.isfinite(ratio) else NOTHING


def tags(own: Mapping[str, str]) -> str:
    """A study's own tags in a line.

    >>> tags({"team": "search", "cost_center": "4711"})
    'team = search, cost_center = 4711'
    """
    return ", ".join(f"{key} = {value}" for key, value in own.items())


def now() -> str:
    """The time, as a report has it: in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def hours(value: float) -> str:
    """Hours of a machine: whole ones from a hundred on.

    >>> hours(0.1097), hours(2_310_000.4)
    ('0.11', '2,310,000')
    """
    return f"{value:,.0f}" if value >= 100 else figure(value)
