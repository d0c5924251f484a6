"""How good a search is: several, replayed on tables of learning curves from the same budgets, side by side.

    python -m experiments.benchmarks.search [TABLE.npz ...] [TASK ...] [--methods NAME ...] [--seeds 10]
        [--processes 2] [--decision-time] [--json]

A search spends 60 times the median price of a full training. Each is judged by the hypervolume of all checkpoints that
it paid for, quality against the logarithm of the price, as a share of what the whole table holds. Without a table it
runs on those in results/records/curves; experiments.benchmarks.curve_table says what a table is. Differences between
two searches are paired by task and seed.
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

from experiments.benchmarks.curve_table import TABLE_ENDING, CurveTable, load_tables, tasks_of
from experiments.benchmarks.decision_time import DecisionTime, decision_time, growth_exponent
from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.replay import replay
from experiments.benchmarks.search_methods import COMPARED, METHODS, OURS
from experiments.benchmarks.search_report import ahead_lines, average_table, figures_of, table_of
from experiments.benchmarks.search_statistics import (
    MEASURE,
    Replayed,
    ahead_of,
    as_details,
    by_task,
    over_tasks,
)
from tracker.errors import RequestError, did_you_mean
from tracker.training.machine import usable_cores

RECORDED = Path(__file__).parents[2] / "results/records/curves"
FULL_TRAININGS = 60
"""The budget, in median prices of a full training."""
_Job = tuple[Path, str, str, int]


def measure(places: Sequence[str], methods: Sequence[str], seeds: int, processes: int, decision_times: bool) -> Report:
    """Replay every method on every task with every seed, in ``processes`` at a time, and report the outcome."""
    tasks = _tasks(places)
    figures: list[Figure] = []
    details: dict[str, object] = {"seeds": seeds, "full_trainings": FULL_TRAININGS}
    texts: list[str] = []
    if seeds:
        compared = tuple(dict.fromkeys((MEASURE, *methods)))
        jobs = [(path, task, name, seed) for path, task in tasks for name in compared for seed in range(seeds)]
        replayed = _all_replayed(jobs, processes)
        outcomes, averages = by_task(replayed), over_tasks(replayed)
        details |= {"tasks": as_details(outcomes), "average": as_details(averages)}
        texts += [f"{task}\n{table_of(outcome)}" for task, outcome in outcomes.items()]
        texts.append(f"average over {len(outcomes)} tasks\n{average_table(averages)}")
        if OURS in averages:
            ahead = ahead_of(replayed, OURS)
            figures += figures_of(replayed, OURS, outcomes, ahead)
            details["ahead"] = as_details(ahead)
            texts.append(ahead_lines(OURS, ahead))
    if decision_times:
        path, task = tasks[0]
        times = {name: decision_time(_table(path, task), name) for name in methods}
        figures += _decision_figures(times)
        details["decision_time"] = {name: [asdict(each) for each in trajectory] for name, trajectory in times.items()}
        texts += [f"{name} {each}" for name, trajectory in times.items() for each in trajectory]
    return Report(figures, details, "\n".join(texts))


def _tasks(places: Sequence[str]) -> list[tuple[Path, str]]:
    """The tables and tasks that are named, in that order: of no task all, of no table those that are recorded.

    Raises RequestError where a task is in no table, or in two.
    """
    paths = [Path(each) for each in places if each.endswith(TABLE_ENDING)] or sorted(RECORDED.glob(f"*{TABLE_ENDING}"))
    if not paths:
        raise RequestError(f"no table is recorded in {RECORDED}; name one")
    wanted = [each for each in places if not each.endswith(TABLE_ENDING)]
    there: dict[str, Path] = {}
    for path in dict.fromkeys(paths):
        for task in tasks_of(path):
            if task in there:
                raise RequestError(f"task '{task}' is in {there[task]} and in {path}: name one of the two tables")
            there[task] = path
    if unknown := [task for task in wanted if task not in there]:
        tables = ", ".join(map(str, paths))
        raise RequestError(f"{tables}: there is no task '{unknown[0]}'; {did_you_mean(unknown[0], list(there))}")
    found = [(there[task], task) for task in wanted or there]
    for path in dict.fromkeys(path for path, _ in found):  # a bad table is refused before anything is replayed
        load_tables(path, [task for place, task in found if place == path])
    return found


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


def _decision_figures(times: Mapping[str, Sequence[DecisionTime]]) -> Iterator[Figure]:
    if OURS in times:
        last, exponent = times[OURS][-1], growth_exponent(times[OURS])
        yield Figure(f"a decision at {last.trials:,} trials", last.mean_ms, "ms", "<= 20", last.mean_ms <= 20)
        yield Figure("exponent of its growth with trials", exponent, "", "<= 1", exponent <= 1)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "places", nargs="*", metavar="TABLE.npz | TASK",
        help="tables of curves, default those that are recorded; tasks of theirs, default all",
    )  # fmt: skip
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
