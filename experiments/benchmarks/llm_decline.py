"""How fast hosted language models get cheaper, by class, with the dated changes of price that the figures rest on.

    python -m experiments.benchmarks.llm_decline [--json] [--until DATE] [--least-days 180]

Needs genai-prices (pip install 'cost-quality-tracker[llm]'); nothing is fetched. The method is in
tracker/pricing/llm_decline.py: `tracker build-or-buy` takes its rates from there. --least-days shows how much they
depend on the providers that were watched for a short time.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date

from experiments.benchmarks.figures import Figure, Report, main
from tracker.pricing.llm_decline import (
    ALL,
    BANDS,
    LEAST_DAYS,
    Decline,
    PriceChange,
    fitted_decline,
    price_changes,
    price_histories,
)


def measure(until: date, least_days: float) -> Report:
    """The rate of each class and its range, and every dated change."""
    histories = price_histories()
    changes = price_changes(histories, until, least_days)
    fits = [fitted_decline(histories, band, until, least_days) for band in (*BANDS, ALL)]
    details = {
        "until": until.isoformat(),
        "least_days": least_days,
        "declines": [{**asdict(each), "since": str(each.since), "until": str(each.until)} for each in fits],
        "changes": [{**asdict(each), "day": each.day.isoformat()} for each in changes],
    }
    text = "\n".join([f"{'':2}{_HEAD}", *map(_line, changes), "* counts; the others do not: see --least-days"])
    return Report([figure for each in fits for figure in _figures(each)], details, text)


_HEAD = f"{'day':10}  {'provider':20} {'model':44} {'class':14} {'before':>9} {'after':>9}  USD a million tokens"


def _line(change: PriceChange) -> str:
    counts = "*" if change.counts else " "
    names = f"{change.provider[:20]:20} {change.model[:44]:44} {change.band:14}"
    return f"{counts} {change.day}  {names} {change.before_usd:9.4g} {change.after_usd:9.4g}"


def _figures(fit: Decline) -> Iterator[Figure]:
    for name, rate in (("", fit.rate), (", low", fit.low), (", high", fit.high)):
        yield Figure(f"{fit.band}{name}", 100 * math.expm1(rate), "% a year", "reported", True)
    yield Figure(f"{fit.band}: changes that count", fit.changes, f"of {fit.dated}", "reported", True)
    yield Figure(f"{fit.band}: model-years", fit.model_years, "years", "reported", True)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--until", type=date.fromisoformat, default=date.today(), help="changes by this day count")
    parser.add_argument("--least-days", type=float, default=LEAST_DAYS, help="how long a provider must be watched")


if __name__ == "__main__":
    main("llm_decline", _arguments, measure)
