"""How good a search is: several, replayed on tables of learning curves from the same budgets, side by side.

    python -m experiments.benchmarks.search [TABLE.npz [TASK ...]] [--methods NAME ...] [--seeds 10] [--processes 2]
        [--decision-time] [--json]

A search spends 60 times the median price of a full training. Each is judged by the hypervolume of all checkpoints that
it paid for, quality against the logarithm of the price, as a share of what the whole table holds. Without a table it
runs on those in results/records/curves; experiments.benchmarks.curve_table says what a table is.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from experiments.benchmarks.curve_table import CurveTable, load_tables
from experiments.benchmarks.decision_time import DecisionTime, decision_time, growth_exponent
from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.replay import replay
from experiments.benchmarks.search_methods import COMPARED, METHODS, OURS
from experiments.benchmarks.search_statistics import (
    MEASURE,
    Estimate,
    Outcome,
    Replayed,
    as_details,
    average_table,
    by_task,
    over_tasks,
    table_of,
)
from tracker.errors import RequestError
from tracker.training.machine import usable_cores

RECORDED = Path(__file__).parents[2] / "results/records/curves"
FULL_TRAININGS = 60
"""The budget, in median prices of a full training."""
_Job = tuple[Path, str, str, int]


def measure(
    table: Path | None, tasks: Sequence[str], methods: Sequence[str], seeds: int, processes: int, decision_times: bool
) -> Report:
    """Replay every method on every task with every seed, in ``processes`` at a time, and report the outcome."""
    places = _places(table, tasks)
    figures: list[Figure] = []
    details: dict[str, object] = {"seeds": seeds, "full_trainings": FULL_TRAININGS}
    texts: list[str] = []
    if seeds:
        compared = tuple(dict.fromkeys((MEASURE, *methods)))
        jobs = [(path, task, name, seed) for path, task in places for name in compared for seed in range(seeds)]
        replayed = _all_replayed(jobs, processes)
        outcomes, averages = by_task(replayed), over_tasks(replayed)
        figures += _figures(outcomes, averages)
        details |= {"tasks": as_details(outcomes), "average": _plain(averages)}
        texts += [f"{task}\n{table_of(outcome)}" for task, outcome in outcomes.items()]
        texts.append(f"average over {len(outcomes)} tasks\n{average_table(averages)}")
    if decision_times:
        path, task = places[0]
        times = {name: decision_time(_table(path, task), name) for name in methods}
        figures += _decision_figures(times)
        details["decision_time"] = {name: [asdict(each) for each in trajectory] for name, trajectory in times.items()}
        texts += [f"{name} {each}" for name, trajectory in times.items() for each in trajectory]
    return Report(figures, details, "\n".join(texts))


def _places(table: Path | None, tasks: Sequence[str]) -> list[tuple[Path, str]]:
    paths = sorted(RECORDED.glob("*.npz")) if table is None else [table]
    if not paths:
        raise RequestError(f"no table is recorded in {RECORDED}; name one")
    return [(path, each.task) for path in paths for each in load_tables(path, tasks)]


def _all_replayed(jobs: Sequence[_Job], processes: int) -> list[Replayed]:
    if processes == 1:
        return [_replayed(job) for job in jobs]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for the processes that are spawned: each has a core
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_replayed, jobs))


def _replayed(job: _Job) -> Replayed:
    path, task, method, seed = job
    table = _table(path, task)
    budget_usd = FULL_TRAININGS * float(np.median(table.full_price_usd))
    trajectory = replay(METHODS[method](table, seed, budget_usd), table, budget_usd)
    steps = len(trajectory.decision_seconds)
    decision_ms = 1000 * statistics.fmean(trajectory.decision_seconds)
    return Replayed(task, method, seed, budget_usd, trajectory.trace(), trajectory.trials, steps, decision_ms)


@functools.lru_cache(maxsize=1)
def _table(path: Path, task: str) -> CurveTable:
    return load_tables(path, [task])[0]


def _figures(
    outcomes: Mapping[str, Mapping[str, Outcome]], averages: Mapping[str, Mapping[str, Estimate]]
) -> Iterator[Figure]:
    """How our search keeps its targets; nothing where it was not among the methods."""
    if OURS not in averages:
        return
    reached = [methods[OURS].to_measure.value for methods in outcomes.values()]
    name = "dollars to the hypervolume of TPE / its budget"
    median, most = statistics.median(reached), max(reached)
    yield Figure(f"{name}, median over tasks", median, "×", "<= 0.25", median <= 0.25, reached)
    yield Figure(f"{name}, worst task", most, "×", "<= 1", most <= 1)
    for share, ours in averages[OURS].items():
        others = [estimates[share].value for method, estimates in averages.items() if method != OURS]
        more = ours.value - max(others)
        yield Figure(f"hypervolume at {share} of the budget - the best other's", more, "", ">= 0", more >= 0)


def _decision_figures(times: Mapping[str, Sequence[DecisionTime]]) -> Iterator[Figure]:
    if OURS in times:
        last, exponent = times[OURS][-1], growth_exponent(times[OURS])
        yield Figure(f"a decision at {last.trials:,} trials", last.mean_ms, "ms", "<= 20", last.mean_ms <= 20)
        yield Figure("exponent of its growth with trials", exponent, "", "<= 1", exponent <= 1)


def _plain(averages: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        method: {share: asdict(each) for share, each in estimates.items()} for method, estimates in averages.items()
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", type=Path, help="an .npz of curves; default those that are recorded")
    parser.add_argument("tasks", nargs="*", metavar="task", help="tasks of the table; default all")
    parser.add_argument(
        "--methods", nargs="+", default=COMPARED, choices=METHODS, metavar="NAME",
        help=f"{', '.join(METHODS)}; {MEASURE} always, default {', '.join(COMPARED)}",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=10, help="searches of each method on each task; 0 for none")
    parser.add_argument("--processes", type=int, default=usable_cores(), help="searches side by side")
    parser.add_argument(
        "--decision-time",
        dest="decision_times",
        action="store_true",
        help="also how long decisions take, up to 1,000 trials",
    )


if __name__ == "__main__":
    main("search", _arguments, measure)
