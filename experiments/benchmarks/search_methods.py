"""The searches that the benchmark of searches sets side by side, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.benchmarks.curve_table import QUALITY, CurveTable
from experiments.benchmarks.halving import ParetoHalving
from tracker.records import Direction
from tracker.search.full_runs import FullRuns
from tracker.search.sampler import DEFAULT_SAMPLER, Trials
from tracker.search.steps import Searcher

Method = Callable[[CurveTable, int], Searcher]
"""Makes a searcher for a table from a seed."""

_OBJECTIVES = {QUALITY: Direction.MAXIMIZE, "price_usd": Direction.MINIMIZE}


def _trials(table: CurveTable, seed: int, sampler: str = DEFAULT_SAMPLER) -> Trials:
    return Trials.create(None, table.task, _OBJECTIVES, table.space, seed, sampler)


def _full_runs(sampler: str) -> Method:
    return lambda table, seed: FullRuns(_trials(table, seed, sampler), tuple(_OBJECTIVES))


def _halving(table: CurveTable, seed: int) -> Searcher:
    return ParetoHalving(_trials(table, seed), QUALITY, table.price_usd.shape[1])


METHODS: Mapping[str, Method] = {
    "random": _full_runs("RandomSampler"),
    "nsga2": _full_runs("NSGAIISampler"),
    "tpe": _full_runs(DEFAULT_SAMPLER),
    "halving": _halving,
}
