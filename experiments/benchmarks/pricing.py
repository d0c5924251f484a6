"""How fast prices are: re-pricing a large study under a scenario, and loading the price book; on one core.

    python -m experiments.benchmarks.pricing [--json] [--runs 100000] [--checkpoints 10] [--repeats 5]

The runs are made up, their usages drawn at random; what is measured is the arithmetic. Each figure stands beside a
baseline of the same minute: pricing the same checkpoints one by one, and pandas reading the same file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks.figures import Figure, main
from tracker.pricing.cost import DEFAULT_TERMS, price_of
from tracker.pricing.price_book import PRICES_CSV, PriceBook, load_price_book
from tracker.pricing.price_table import read_price_table
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.records import STEADY_USAGE, Direction, Market, QualityMetric, Usage
from tracker.report.repricing import reprice
from tracker.store.run_table import CHECKPOINT_COLUMNS, RUN_COLUMNS, CheckpointMetrics, StudyTable

SCENARIO = Scenario(
    name="a price war on the spot market",
    market=Market.SPOT,
    changes=(RateChange(accelerator="H100", factor=0.6), RateChange(part="storage", factor=0.5)),
    terms={"keep_months": 1.0},
)
ONE_BY_ONE = 2_000


def measure(runs: int, checkpoints: int, repeats: int) -> Iterator[Figure]:
    """All figures, on one core where the system lets a process choose."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table, book = large_study(runs, checkpoints), load_price_book()
    seconds = _timed(lambda: reprice(table, SCENARIO, book), repeats)
    value = statistics.median(seconds)
    name = f"re-pricing {runs:,} runs of {checkpoints} checkpoints"
    yield Figure(name, value, "s", "<= 1", value <= 1.0, seconds)
    single = statistics.median(_timed(lambda: _one_by_one(table, book), repeats)) / ONE_BY_ONE
    ratio = single * runs * (checkpoints + 1) / value
    yield Figure("pricing them one by one / that", ratio, "×", ">= 10", ratio >= 10)

    seconds = _timed(_load, max(repeats, 10))
    value = statistics.median(seconds) * 1000
    yield Figure("loading the price book", value, "ms", "<= 50", value <= 50, [each * 1000 for each in seconds])
    baseline = statistics.median(_timed(lambda: pd.read_csv(PRICES_CSV), max(repeats, 10))) * 1000
    ratio = value / baseline
    yield Figure("that / pandas.read_csv, unchecked", ratio, "×", "<= 20", ratio <= 20)


def _timed(work: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return seconds


def _load() -> str:
    """As the first command of a process does, with every check and the version."""
    return PriceBook(read_price_table(PRICES_CSV)).version


def _one_by_one(table: StudyTable, book: PriceBook) -> float:
    point = book.point("gcp/e2-standard-2", Market.SPOT)
    seconds = table.checkpoints["wall_seconds"].to_numpy()[:ONE_BY_ONE]
    return sum(price_of(Usage(float(wall), 0.0, 1), point, DEFAULT_TERMS).usd for wall in seconds)


def large_study(runs: int, checkpoints: int) -> StudyTable:
    """A study of made-up usages, billed on demand as every machine that has a spot rate too."""
    generator = np.random.default_rng(0)
    book = load_price_book()
    spot = {point.sku for point in book.offers(market=Market.SPOT) if point.region == "us-central1"}
    billed = [point for point in book.offers(market=Market.ON_DEMAND, region="us-central1") if point.sku in spot]
    chosen = generator.integers(0, len(billed), runs)
    texts = np.array([json.dumps(point.row) for point in billed], dtype=object)[chosen]
    accelerators = np.array([min(1, point.accelerator_count) for point in billed])[chosen]
    run_ids = np.array([f"{number:032x}" for number in range(runs)], dtype=object)
    wall_seconds = np.cumsum(generator.uniform(10, 600, (runs, checkpoints)), axis=1)
    known: dict[str, Any] = dict.fromkeys(RUN_COLUMNS, 0.0)
    every_run = known | {
        "run_id": run_ids,
        "price_point": texts,
        "sku": np.array([point.sku for point in billed], dtype=object)[chosen],
        "accelerators": accelerators,
        "cores": generator.integers(1, 3, runs),
        "wall_seconds": wall_seconds[:, -1],
        "energy_kwh": np.nan,
        **_steady(generator, runs),
    }
    every_checkpoint = dict.fromkeys(CHECKPOINT_COLUMNS, 0.0) | {
        "run": np.repeat(np.arange(runs), checkpoints),
        "wall_seconds": wall_seconds.ravel(),
    }
    quality = QualityMetric("accuracy", Direction.MAXIMIZE)
    nothing = pd.DataFrame(index=pd.RangeIndex(runs))
    metrics = CheckpointMetrics.of(_steady(generator, runs * checkpoints))
    tables = pd.DataFrame(every_run), nothing, nothing, pd.DataFrame(every_checkpoint), metrics
    return StudyTable("large", quality, None, book.version, "completed", *tables)


def _steady(generator: np.random.Generator, rows: int) -> dict[str, Any]:
    return {name: generator.uniform(0, 2**30, rows) for name in STEADY_USAGE}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the study")
    parser.add_argument("--checkpoints", type=int, default=10, help="checkpoints of each run")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each figure; the median counts")


if __name__ == "__main__":
    main("pricing", _arguments, measure)
