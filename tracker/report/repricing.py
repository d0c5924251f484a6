"""Re-pricing: a study's recorded usage at other prices. Nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tracker.errors import ScenarioError, did_you_mean
from tracker.pricing.cost import Parts, RateColumns, UsageColumns, check_billable, price_parts
from tracker.pricing.currency import USD, exchange_rate
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint, price_point_from_row
from tracker.pricing.scenario import Scenario
from tracker.records import STEADY_USAGE, CostPart, Market, PriceBasis
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.store.study_frames import carbon_grams
from tracker.study.costs import CostTerms


def reprice(table: StudyTable, scenario: Scenario, book: PriceBook) -> StudyTable:
    """Re-price the study under ``scenario``; the tables keep their rows and columns.

    Every price is a pure function of the recorded usage, the rate that ``scenario`` gives each run, and the study's
    cost terms. ``price_basis`` is PriceBasis.repriced of what it was. Where none of ``scenario.skus`` is a run's kind
    of device (PricePoint.device_kind), its time there would be a prediction: that run keeps its SKU.

    Raises PriceBookError where a rate is missing, ScenarioError where one of ``scenario.skus`` suits no run, or a
    change names something unknown.
    """
    codes, billed = _billed_points(table, book)
    _check_names(scenario, billed, book)
    points = [scenario.point_for(point, book) for point in billed]
    for at, accelerators in set(zip(codes.tolist(), table.runs["accelerators"].tolist(), strict=True)):
        check_billable(points[at], accelerators)
    terms = scenario.cost_terms(table.terms)
    runs = _repriced_runs(table, codes, points, scenario, terms)
    checkpoints = _repriced_checkpoints(table, codes, points, scenario, terms)
    return replace(table, runs=runs, checkpoints=checkpoints, terms=terms, scenario=scenario, price_book=book.version)


def priced_study_table(home: Home, name: str, scenario: Scenario, currency: str = USD.code) -> StudyTable:
    """A study's tables, at billed prices or, if the scenario is not empty, re-priced.

    ``currency`` is the currency of amounts for people. Raises StudyNotFoundError, StoreError, and what
    ``reprice`` and ``exchange_rate`` raise.
    """
    table = table_of(home, name)
    if scenario.is_empty and currency == USD.code:
        return table  # the price book is not needed, so its errors do not matter
    book = home.price_book(table.prices_file)
    table = replace(table, currency=exchange_rate(currency, book.exchange_rates, scenario.as_of))
    return table if scenario.is_empty else reprice(table, scenario, book)


def _billed_points(table: StudyTable, book: PriceBook) -> tuple[NDArray[np.intp], list[PricePoint]]:
    """The distinct rates that runs were billed at, and the index of each run's rate."""
    texts = table.runs["price_point"]
    missing = texts == ""
    if missing.any():
        texts = texts.where(~missing, _rates_found_again(table.runs[missing], book))
    codes, distinct = pd.factorize(texts)
    return codes, [_point_of(text) for text in distinct]


def _rates_found_again(runs: pd.DataFrame, book: PriceBook) -> pd.Series[str]:
    """The price points of older runs, which lack theirs: the book's machines at the billed rates."""
    identities = zip(runs["sku"], runs["market"], runs["usd_per_hour"], runs["price_date"], strict=True)
    points = [
        replace(book.machine(sku), market=Market(market), usd_per_hour=rate, effective_from=date.fromisoformat(day))
        for sku, market, rate, day in identities
    ]
    return pd.Series([json.dumps(point.row) for point in points], index=runs.index, dtype=object)


@cache
def _point_of(text: str) -> PricePoint:
    return price_point_from_row(json.loads(text), "")


def _check_names(scenario: Scenario, billed: list[PricePoint], book: PriceBook) -> None:
    """Check the names in a scenario: a misspelt one would silently change nothing."""
    points = (*book.points, *billed)
    for column in ("provider", "accelerator", "sku"):
        known = {str(getattr(point, column)) for point in points} - {""}
        for change in scenario.changes:
            named = getattr(change, column)
            if named and named not in known:
                raise ScenarioError(f"{scenario.label}: unknown {column} {named!r}; {did_you_mean(named, known)}")
    for sku in scenario.skus:
        if billed and not any(book.machine(sku).device_kind == point.device_kind for point in billed):
            kinds = ", ".join(sorted({_kind(point) for point in billed}))
            raise ScenarioError(
                f"{sku} is another kind of device ({_kind(book.machine(sku))}) than any run was measured on ({kinds}): "
                "a price there would be a prediction, not a re-pricing"
            )


def _kind(point: PricePoint) -> str:
    if point.accelerator:
        return point.accelerator
    return f"{point.vcpu:g} vCPU {point.architecture}" if point.vcpu else "vCPU unknown"


def _repriced_runs(
    table: StudyTable, codes: NDArray[np.intp], points: list[PricePoint], scenario: Scenario, terms: CostTerms
) -> pd.DataFrame:
    runs = table.runs
    grams_per_kwh = np.array([carbon_grams(1.0, point.sku, point.region, table.country) for point in points])
    parts = _priced(_usage(runs, runs.__getitem__, runs), codes, points, scenario, terms)
    of_points = {
        "sku": [point.sku for point in points],
        "market": [str(point.market) for point in points],
        "region": [point.region for point in points],
        "price_source": [point.source for point in points],
        "price_date": [point.effective_from.isoformat() for point in points],
        "price_point": [json.dumps(point.row, ensure_ascii=False) for point in points],
    }
    return runs.assign(
        **{name: _of_runs(texts, codes) for name, texts in of_points.items()},
        usd_per_hour=np.array([point.usd_per_hour for point in points], dtype=np.float64)[codes],
        **{f"{part}_usd": getattr(parts, part) for part in CostPart},
        price_usd=parts.usd,
        billed_seconds=parts.billed_seconds,
        machine_share=parts.share,
        price_basis=_repriced_bases(runs["price_basis"]),
        co2_grams=runs["energy_kwh"].to_numpy(dtype=np.float64) * grams_per_kwh[codes],
    )


def _repriced_bases(bases: pd.Series[str]) -> pd.api.extensions.ExtensionArray:
    codes, distinct = pd.factorize(bases)
    return _of_runs([PriceBasis(basis).repriced for basis in distinct], codes)


def _of_runs(texts: Sequence[str], codes: NDArray[np.intp]) -> pd.api.extensions.ExtensionArray:
    """The text of each run's price point, without a Python string per run."""
    return pd.array(texts, dtype="str").take(codes)


def _repriced_checkpoints(
    table: StudyTable, codes: NDArray[np.intp], points: list[PricePoint], scenario: Scenario, terms: CostTerms
) -> pd.DataFrame:
    rows = table.checkpoints["run"].to_numpy(dtype=np.int64)
    usage = _usage(table.checkpoints, table.usage, table.runs[["cores", "accelerators"]].take(rows))
    return table.checkpoints.assign(price_usd=_priced(usage, codes[rows], points, scenario, terms).usd)


def _usage(steps: pd.DataFrame, steady: Callable[[str], ArrayLike], runs: pd.DataFrame) -> UsageColumns:
    """The usage at ``steps``, ``steady`` usage by its name; constants of a run are from ``runs``, row by row."""
    return UsageColumns(
        wall_seconds=steps["wall_seconds"].to_numpy(dtype=np.float64),
        cores=runs["cores"].to_numpy(dtype=np.float64),
        accelerators=runs["accelerators"].to_numpy(dtype=np.float64),
        **{name: np.asarray(steady(name), dtype=np.float64) for name in STEADY_USAGE},
    )


def _priced(
    usage: UsageColumns, codes: NDArray[np.intp], points: list[PricePoint], scenario: Scenario, terms: CostTerms
) -> Parts:
    """The parts of each usage's price at its point, changed as the scenario says."""
    alone = len(points) == 1  # one rate for all: no array per row
    rates = RateColumns.of(points[0]) if alone else RateColumns.of_many(points).at(codes)
    parts = price_parts(usage, rates, terms)
    factors = {
        str(part): np.array([scenario.part_factor(part, point) for point in points])[0 if alone else codes]
        for part in CostPart
        if part is not CostPart.COMPUTE
    }
    return replace(parts, **{name: getattr(parts, name) * factor for name, factor in factors.items()})
