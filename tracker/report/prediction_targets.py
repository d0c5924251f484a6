"""Where a run could have been trained: accelerators and SKUs by name, each at its rate under a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracker.errors import PredictionError, PriceBookError, did_you_mean
from tracker.prediction.accelerators import OLDEST, Accelerator, accelerator, is_known
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.records import Hardware, Market
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

ALL = "all"
"""Every accelerator of the price book that has a rate and whose specifications are known."""


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to predict for: its rate, and its accelerator, None for a processor. ``name`` is what it is called."""

    name: str
    accelerator: Accelerator | None
    point: PricePoint


def targets_of(table: StudyTable, home: Home, names: Sequence[str]) -> list[Target]:
    """``find_targets`` at the prices that a study's table has: its own file of rates, under its scenario."""
    return find_targets(names, home.price_book(table.prices_file), table.scenario)


def find_targets(names: Sequence[str], book: PriceBook, scenario: Scenario | None = None) -> list[Target]:
    """The machines of these names: accelerators (at the cheapest rate for one), SKUs, or ALL.

    An accelerator without a rate in the scenario's market is left out of ALL. Raises PredictionError for a name that is
    neither an accelerator nor a SKU, naming the nearest, and where nothing is left; PriceBookError where a rate is
    missing.
    """
    found: dict[str, Target] = {}
    for name in dict.fromkeys(names):
        for each in _of_all(book, scenario) if name == ALL else [_named(name, book, scenario)]:
            found.setdefault(each.name, each)
    if not found:
        market = (scenario and scenario.market) or Market.ON_DEMAND
        raise PredictionError(f"the price book has no {market} rate of any accelerator whose specifications are known")
    return list(found.values())


def _of_all(book: PriceBook, scenario: Scenario | None) -> list[Target]:
    found = []
    for name in filter(is_known, book.accelerators):
        try:
            found.append(_of_accelerator(name, book, scenario))
        except PriceBookError:
            continue  # not on sale in that market
    return found


def _named(name: str, book: PriceBook, scenario: Scenario | None) -> Target:
    if name in book.skus:
        return _of_sku(name, book, scenario)
    if is_known(name):
        known = accelerator(name)
        if known.is_too_old:
            raise PredictionError(f"{known.name} is older than {OLDEST}: the method does not hold there")
        return _of_accelerator(known.book_name or known.name, book, scenario)
    if name in book.accelerators:
        raise PredictionError(f"the specifications of {name!r} are not known, so nothing can be predicted for it")
    near = did_you_mean(name, [*book.accelerators, *book.skus])
    raise PredictionError(f"{name!r} is neither an accelerator nor a SKU; {near}")


def _of_accelerator(name: str, book: PriceBook, scenario: Scenario | None) -> Target:
    """One accelerator of this kind, at the lowest rate for one."""
    chosen = scenario or AS_BILLED
    wanted = Hardware("", "", "", 0, 0, accelerator=name, accelerator_count=1)
    market, region = chosen.market or Market.ON_DEMAND, chosen.region or ""
    try:
        point = book.cheapest_for(wanted, "cuda", market, region)
    except PriceBookError as error:
        raise PriceBookError(str(error).replace("; set sku_cuda in [pricing]", "")) from None
    return Target(name, accelerator(name), _at(point, book, scenario))


def _of_sku(sku: str, book: PriceBook, scenario: Scenario | None) -> Target:
    machine = book.machine(sku)
    markets = {row.market for row in book.history(sku)}
    market = Market.ON_DEMAND if Market.ON_DEMAND in markets else min(markets)
    chooses = scenario is not None and scenario.chooses
    point = replace(machine, market=market, region="") if chooses else book.point(sku, market)
    if machine.accelerator and not is_known(machine.accelerator):
        raise PredictionError(f"the specifications of {machine.accelerator!r} ({sku}) are not known")
    return Target(sku, accelerator(machine.accelerator) if machine.accelerator else None, _at(point, book, scenario))


def _at(point: PricePoint, book: PriceBook, scenario: Scenario | None) -> PricePoint:
    """The rate under the scenario; its SKUs are for runs as they were, and change nothing here."""
    return point if scenario is None else replace(scenario, skus=()).point_for(point, book)
