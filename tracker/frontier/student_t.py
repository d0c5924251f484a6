"""Student's t (Student 1908, Biometrika 6): how wide an interval is whose variance is only estimated."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
"""Of every interval that is shown."""


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """How many standard errors the central ``confidence`` of Student's t reaches to either side.

    By bisection of the distribution's finite series (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).

    >>> round(t_quantile(2), 3), round(t_quantile(9), 3)
    (4.303, 2.262)
    """
    low, high = 0.0, 1.0
    while _t_inside(high, degrees) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_inside(middle, degrees) < confidence else (low, middle)
    return high


def t_below(bound: float, degrees: int) -> float:
    """The probability that Student's t is below ``bound``.

    >>> round(t_below(2.353, 3), 3), round(t_below(-2.353, 3), 3)
    (0.95, 0.05)
    """
    return 0.5 + math.copysign(_t_inside(abs(bound), degrees) / 2, bound)


def _t_inside(bound: float, degrees: int) -> float:
    """The probability that Student's t is between -bound and bound."""
    angle = math.atan(bound / math.sqrt(degrees))
    sine, cosine, odd = math.sin(angle), math.cos(angle), degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(1 + odd, degrees, 2):
        total += term
        term *= cosine * cosine * power / (power + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
