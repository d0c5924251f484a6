"""How a study's answer depends on prices: the same runs at other rates. Nothing is trained, no time is predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracker.errors import TrackerError
from tracker.pricing.price_book import PriceBook, open_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.records import Market
from tracker.report.axis_points import AxisPoints, axis_points
from tracker.report.recommendation import target_quality
from tracker.report.repricing import reprice
from tracker.report.words import percent
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

STEP = 0.2
DECLINE_PER_YEAR = 0.25
DECLINE_SOURCE = (
    "an assumption: performance per dollar of GPUs doubled every 2.46 years from 2006 to 2021 (Hobbhahn and Besiroglu,"
    " Trends in GPU price-performance, Epoch AI, 2022), which is a price 25 % lower each year for the same performance"
)
SCENARIOS: Mapping[str, Scenario] = {
    f"compute {percent(STEP)} cheaper": Scenario(changes=(RateChange(factor=1 - STEP),)),
    f"compute {percent(STEP)} dearer": Scenario(changes=(RateChange(factor=1 + STEP),)),
    "spot machines": Scenario(market=Market.SPOT),
    "after a year of decline": Scenario(changes=(RateChange(factor=1 - DECLINE_PER_YEAR),)),
}
"""What the report tries, by its name."""


@dataclass(frozen=True, slots=True)
class PricedCase:
    """A study at one set of prices.

    ``spend_usd`` is what the study costs, ``price_usd`` the cheapest checkpoint at the target (NaN without one),
    ``trial`` and ``epoch`` which one that is, and ``ratio`` its price over that of the first case. ``entered`` and
    ``left`` are the trials that are on this frontier only, and on the first case's only. ``problem`` says why there
    are no figures; "" where there are.
    """

    name: str
    spend_usd: float = math.nan
    price_usd: float = math.nan
    trial: int = -1
    epoch: int = 0
    ratio: float = math.nan
    entered: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    problem: str = ""


def sensitivity(table: StudyTable, name: str = "as priced here") -> list[PricedCase]:
    """The study as it is priced, called ``name``, and under each of SCENARIOS; none without a frontier.

    The target is recommendation.target_quality, the same in all cases. A scenario that the price book has no rate for
    is a case with a problem.
    """
    found = axis_points(table)
    if found.frontier.empty:
        return []
    target = target_quality(found)
    first, before = _case(name, found, target), set(found.frontier["trial"])
    cases = [first]
    try:
        book = _price_book(table)
    except TrackerError as error:
        return [first, *(PricedCase(each, problem=_line(error)) for each in SCENARIOS)]
    for each, scenario in SCENARIOS.items():
        try:
            repriced = axis_points(reprice(table, scenario, book))
            cases.append(_compared(_case(each, repriced, target), first, before, set(repriced.frontier["trial"])))
        except TrackerError as error:
            cases.append(PricedCase(each, problem=_line(error)))
    return cases


def _case(name: str, found: AxisPoints, target: float) -> PricedCase:
    frontier, spend_usd = found.frontier, found.table.spend_usd
    reached = frontier[found.sign * (frontier["y"] - target) >= 0]
    if reached.empty:
        return PricedCase(name, spend_usd)
    row = reached.iloc[0]
    return PricedCase(name, spend_usd, float(row["x"]), int(row["trial"]), int(row["epoch"]), ratio=1.0)


def _compared(case: PricedCase, first: PricedCase, before: set[int], now: set[int]) -> PricedCase:
    """The case beside the first one, by the trials that are on the frontier of each."""
    return replace(
        case,
        ratio=case.price_usd / first.price_usd,
        entered=tuple(sorted(map(int, now - before))),
        left=tuple(sorted(map(int, before - now))),
    )


def _price_book(table: StudyTable) -> PriceBook:
    return open_price_book() if table.home is None else Home(table.home).price_book(table.prices_file)


def _line(error: TrackerError) -> str:
    return " ".join(str(error).split())
