"""How often the intervals of `tracker compare` hold the truth: many studies of one kind, replayed, each judged alone.

    python -m experiments.benchmarks.coverage [--methods random tpe frontier] [--seeds 100] [--full-trainings 20]
        [--processes 2] [--json]

The truth is the mean hypervolume over all seeds at 10, 25, 50 and 97 % of the budget. Each study's interval is made
from that study alone (frontier/half_splits.py), and for pairs of studies of one kind the interval of their difference,
whose truth is 0. A 95 % interval should hold the truth 95 times of 100.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.curve_table import CurveTable, load_tables
from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.replay import replay
from experiments.benchmarks.search import RECORDED
from experiments.benchmarks.search_methods import METHODS
from tracker.frontier.estimates import Estimate
from tracker.frontier.half_splits import DEGREES, Corner, Payments, hypervolume_at, scatter_between_halves
from tracker.records import Direction
from tracker.training.machine import usable_cores

SHARES = np.array([0.1, 0.25, 0.5, 0.97])
"""Of the budget; a search does not spend all of it."""
LEAST = 0.9
"""What a 95 % interval is held to here: the search learns, which the method does not model."""
_Job = tuple[Path, str, str, int, int]
Floats = NDArray[np.float64]


def measure(methods: Sequence[str], seeds: int, full_trainings: int, processes: int) -> Report:
    """Replay every method on every recorded task with every seed, and count the intervals that hold the truth."""
    tasks = [(path, each.task) for path in sorted(RECORDED.glob("*.npz")) for each in load_tables(path)]
    kinds = [(path, task, method) for path, task in tasks for method in methods]
    jobs = [(*kind, seed, full_trainings) for kind in kinds for seed in range(seeds)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        judged = list(pool.map(_judged, jobs, chunksize=4))
    figures, texts = [], []
    for at, (_, task, method) in enumerate(kinds):
        found = np.array(judged[at * seeds : (at + 1) * seeds])
        alone, between = _held(found)
        name = f"intervals that hold the truth, {method} on {task}"
        figures.append(Figure(name, min(alone), "", f">= {LEAST}", min(alone) >= LEAST, alone))
        name = f"differences, {method} on {task}"
        figures.append(Figure(name, min(between), "", f">= {LEAST}", min(between) >= LEAST, between))
        truth, scatter = found[:, 0].mean(axis=0), found[:, 0].std(axis=0, ddof=1)
        estimated = np.sqrt(np.nanmean(found[:, 1] ** 2, axis=0))
        outcome = f"hypervolume {truth.round(3)}, deviation {scatter.round(3)}, estimated {estimated.round(3)}"
        texts.append(f"{task}, {method}: {outcome} (root mean square)")
    details: dict[str, object] = {"seeds": seeds, "full_trainings": full_trainings, "shares": SHARES.tolist()}
    return Report(figures, details, "\n".join(texts))


def _judged(job: _Job) -> tuple[Floats, Floats]:
    """A study's hypervolume at SHARES of its budget, and its deviation as estimated from it alone."""
    path, task, method, seed, full_trainings = job
    table = load_tables(path, [task])[0]
    budget_usd = full_trainings * float(np.median(table.full_price_usd))
    outcome = replay(METHODS[method](table, seed, budget_usd), table, budget_usd)
    paid = np.diff(np.array(outcome.spend_usd), prepend=0.0)
    payments = Payments(np.array(outcome.trial), paid, np.array(outcome.quality), np.array(outcome.price_usd))
    corner, spend_usd = _corner(table), SHARES * budget_usd
    return hypervolume_at(payments, spend_usd, corner), scatter_between_halves(payments, spend_usd, corner)


def _corner(table: CurveTable) -> Corner:
    return Corner(float(table.quality[:, 0].min()), float(table.full_price_usd.max()), Direction.MAXIMIZE)


def _held(found: Floats) -> tuple[list[float], list[float]]:
    """For each of SHARES, the part of the intervals of single studies, and of differences, that hold the truth.

    ``found`` [seeds, 2, shares] has hypervolumes and their estimated deviations.
    """
    truth = found[:, 0].mean(axis=0)
    alone, between = [], []
    for at in range(len(SHARES)):
        every = [Estimate(value, error, DEGREES) for value, error in found[:, :, at]]
        alone.append(_part(every, float(truth[at])))
        between.append(_part([one.minus(other) for one, other in zip(every[::2], every[1::2], strict=False)], 0.0))
    return alone, between


def _part(estimates: Sequence[Estimate], truth: float) -> float:
    known = [each for each in estimates if np.isfinite(each.half_width)]
    return sum(abs(each.value - truth) <= each.half_width for each in known) / len(known)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", default=("random", "tpe", "frontier"), choices=METHODS, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=100, help="studies of each kind")
    parser.add_argument("--full-trainings", type=int, default=20, help="a study's budget, in median full trainings")
    parser.add_argument("--processes", type=int, default=usable_cores(), help="studies side by side")


if __name__ == "__main__":
    main("coverage", _arguments, measure)
