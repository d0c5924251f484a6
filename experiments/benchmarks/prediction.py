"""How well times on other accelerators are predicted, on published throughputs.

    python -m experiments.benchmarks.prediction [TABLE.csv] [--fit] [--json]

Without a table: on the rows that the coefficients are fitted on (experiments/benchmarks/data/throughput.csv), each
source, then each chip, left out of the fit in turn. With one, of the same columns: by the coefficients that are
installed. An error is |predicted time / true time - 1|; the order of two accelerators counts where their speeds differ
by 15 % or more. ``--fit`` fits the coefficients again and writes them into tracker/prediction/data/. Beside the method
stand three that fit nothing: the ratio of peak FLOP/s, of bandwidths, and the geometric mean of both.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.prediction_fit import COVERED, fit, write_coefficients
from experiments.benchmarks.pricing import large_study
from experiments.benchmarks.throughput_pairs import TABLE, Pairs, read_pairs
from tracker.prediction.speed import Coefficients, load_coefficients, speed_ups
from tracker.pricing.price_book import load_price_book
from tracker.report.prediction_targets import ALL, find_targets
from tracker.report.predictions import predictions_table
from tracker.store.run_table import StudyTable

ORDERED = 0.15
"""Two accelerators are to be put in the right order where their speeds differ by so much."""
RUNS, TARGETS = 10_000, 50

Speeds = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Log speed-ups and the logs of their factors, both [n]."""


def measure(table: Path | None, fit_again: bool) -> Report:
    """Judge the method, on a table that it never saw or with parts of its own left out."""
    pairs = read_pairs(table or TABLE)
    if fit_again:
        write_coefficients(fit(read_pairs(TABLE)), read_pairs(TABLE))
        load_coefficients.cache_clear()
    figures: list[Figure] = []
    if table is None:
        figures += _judged(pairs, _left_out(pairs, pairs.rows["source"].to_numpy()), "each source left out")
        figures += _judged_of_chips(pairs)
    else:
        figures += _judged(pairs, _predicted(pairs, load_coefficients()), "the method")
        for suite in dict.fromkeys(pairs.rows["suite"]):
            of_suite = pairs.take((pairs.rows["suite"] == suite).to_numpy())
            figures += _judged(of_suite, _predicted(of_suite, load_coefficients()), f"suite {suite}", targets=False)
    figures += _baselines(pairs)
    figures.append(_speed())
    text = "\n".join(f"left out: {count:,} {why}" for why, count in pairs.left_out.items())
    return Report(figures, {"pairs": len(pairs), "left_out": pairs.left_out}, text)


def _predicted(pairs: Pairs, coefficients: Coefficients) -> Speeds:
    found = speed_ups(pairs.origin, pairs.target, pairs.mfu, coefficients)
    return np.log(found.ratio), np.log(found.factor)


def _left_out(pairs: Pairs, groups: NDArray[np.object_]) -> Speeds:
    """The speeds of each group's pairs by a fit on the others, ranges included."""
    ratios, factors = np.zeros(len(pairs)), np.zeros(len(pairs))
    for group in np.unique(groups):
        of_it = groups == group
        ratios[of_it], factors[of_it] = _predicted(pairs.take(of_it), fit(pairs.take(~of_it)))
    return ratios, factors


def _judged(pairs: Pairs, speeds: Speeds, what: str, *, targets: bool = True) -> Iterator[Figure]:
    ratios, factors = speeds
    truth = pairs.rows["log_speed_up"].to_numpy()
    errors = np.abs(np.expm1(truth - ratios))
    covered = float((np.abs(truth - ratios) <= factors).mean())
    right = _order(truth, ratios)
    name = f"{what}, {len(pairs):,} pairs"
    held: Callable[[str], str] = lambda target: target if targets else ""  # noqa: E731
    median, mean = float(np.median(errors)), float(errors.mean())
    yield Figure(f"{name}: median error", 100 * median, "%", held("at most 18"), median <= 0.18 or not targets)
    yield Figure(f"{name}: mean error", 100 * mean, "%", held("at most 30"), mean <= 0.30 or not targets)
    inside = 0.88 <= covered <= 0.97 or not targets
    yield Figure(f"{name}: within the {100 * COVERED:.0f} % range", covered, "", held("0.88 to 0.97"), inside)
    yield Figure(f"{name}: factor of the range, on average", float(np.exp(factors.mean())), "", "", True)
    if right == right:
        yield Figure(f"{name}: right order", 100 * right, "%", held("at least 95"), right >= 0.95 or not targets)


def _judged_of_chips(pairs: Pairs) -> Iterator[Figure]:
    """Every chip left out in turn, as source and as target: the mean over chips."""
    chips = np.union1d(pairs.rows["gpu_s"], pairs.rows["gpu_t"])
    truth = pairs.rows["log_speed_up"].to_numpy()
    found = []
    for chip in chips:
        of_it = ((pairs.rows["gpu_s"] == chip) | (pairs.rows["gpu_t"] == chip)).to_numpy()
        ratios, factors = _predicted(pairs.take(of_it), fit(pairs.take(~of_it)))
        errors = np.abs(np.expm1(truth[of_it] - ratios))
        found.append((np.median(errors), errors.mean(), (np.abs(truth[of_it] - ratios) <= factors).mean()))
    median, mean, covered = np.mean(found, axis=0)
    name = f"each of {len(chips)} chips left out, their mean"
    yield Figure(f"{name}: median error", 100 * float(median), "%", "at most 18", bool(median <= 0.18))
    yield Figure(f"{name}: mean error", 100 * float(mean), "%", "at most 30", bool(mean <= 0.30))
    held = bool(0.88 <= covered <= 0.97)
    yield Figure(f"{name}: within the {100 * COVERED:.0f} % range", float(covered), "", "0.88 to 0.97", held)


def _baselines(pairs: Pairs) -> Iterator[Figure]:
    peak = np.log(pairs.target.peak / pairs.origin.peak)
    bandwidth = np.log(pairs.target.bandwidth / pairs.origin.bandwidth)
    truth = pairs.rows["log_speed_up"].to_numpy()
    for name, ratios in (
        ("ratio of peak FLOP/s", peak),
        ("ratio of bandwidths", bandwidth),
        ("geometric mean of both", (peak + bandwidth) / 2),
    ):
        errors = np.abs(np.expm1(truth - ratios))
        yield Figure(f"{name}: median error", 100 * float(np.median(errors)), "%", "", True)
        yield Figure(f"{name}: mean error", 100 * float(errors.mean()), "%", "", True)
        yield Figure(f"{name}: right order", 100 * _order(truth, ratios), "%", "", True)


def _order(truth: NDArray[np.float64], ratios: NDArray[np.float64]) -> float:
    apart = np.abs(truth) >= np.log1p(ORDERED)
    return float((np.sign(ratios) == np.sign(truth))[apart].mean()) if apart.any() else float("nan")


def _speed() -> Figure:
    """Time and price of many runs of a study on many accelerators, with everything that a table of them has."""
    table = _many_runs()
    points = pd.DataFrame({"run": range(RUNS), "at": range(RUNS), "trial": range(RUNS), "epoch": 1, "quality": 0.5})
    points = points.assign(wall_seconds=table.checkpoints["wall_seconds"], price_usd=1.0)
    targets = (find_targets([ALL], load_price_book()) * TARGETS)[:TARGETS]
    begin = time.perf_counter()
    found = predictions_table(table, targets, points)
    value = time.perf_counter() - begin
    predicted = int((found["refused"] == "").sum())
    name = f"predicting {RUNS:,} runs on {TARGETS} machines ({predicted:,} not refused)"
    return Figure(name, value, "s", "at most 1", value <= 1.0)


def _many_runs() -> StudyTable:
    """A made-up study on the machines of the price book, with all that predictions read."""
    table = large_study(RUNS, 1)
    machines = [json.loads(text)["accelerator"] for text in table.runs["price_point"]]
    texts = [f"a processor, 8 cores, 64 GiB + 1 × {name}" if name else "a processor, 8 cores" for name in machines]
    seconds = table.runs["wall_seconds"].to_numpy()
    runs = table.runs.assign(hardware=texts, startup_seconds=1.0, places="")
    summary = pd.DataFrame({"train_seconds": 0.8 * seconds, "flops": 1e12 * seconds})
    return replace(table, runs=runs, summary=summary)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", type=Path, metavar="TABLE.csv", help="judge on this table instead")
    parser.add_argument("--fit", dest="fit_again", action="store_true", help="fit again and write the coefficients")


if __name__ == "__main__":
    main("prediction", _arguments, measure)
