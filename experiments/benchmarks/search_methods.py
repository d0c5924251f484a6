"""The searches that the benchmark of searches sets side by side, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments import lazy
from experiments.benchmarks.curve_table import QUALITY, CurveTable
from experiments.benchmarks.halving import ParetoHalving
from tracker.errors import RequestError
from tracker.records import Direction, QualityMetric
from tracker.search.frontier_search import FrontierSearch
from tracker.search.full_runs import FullRuns
from tracker.search.objectives import Objective
from tracker.search.sampler import Sampling, Trials
from tracker.search.steps import Searcher

Method = Callable[[CurveTable, int, float], Searcher]
"""Makes a searcher for a table, from a seed and the dollars that it will have."""

OURS = "frontier"
_OBJECTIVES = {QUALITY: Direction.MAXIMIZE, "price_usd": Direction.MINIMIZE}


def _trials(table: CurveTable, seed: int, sampling: Sampling) -> Trials:
    return Trials.create(None, table.task, _OBJECTIVES, table.space, seed, sampling)


def _full_runs(sampling: Sampling) -> Method:
    def made(table: CurveTable, seed: int, budget_usd: float) -> Searcher:
        del budget_usd
        return FullRuns(_trials(table, seed, sampling), tuple(_OBJECTIVES))

    return made


def _halving(table: CurveTable, seed: int, budget_usd: float) -> Searcher:
    del budget_usd
    return ParetoHalving(_trials(table, seed, Sampling()), QUALITY, table.price_usd.shape[1])


def _frontier(table: CurveTable, seed: int, budget_usd: float) -> Searcher:
    return FrontierSearch(
        _trials(table, seed, Sampling()),
        table.space,
        QualityMetric(QUALITY, Direction.MAXIMIZE),
        [Objective(name, direction) for name, direction in _OBJECTIVES.items()],
        sampling=Sampling(),
        reference={"price_usd": budget_usd},
        seed=seed,
    )


def _of_a_library(place: str, library: str) -> Method:
    """A searcher that a module of its own makes, imported only when it is asked for."""

    def made(table: CurveTable, seed: int, budget_usd: float) -> Searcher:
        try:
            searcher: Searcher = lazy.call(place, table, seed, budget_usd)
        except ModuleNotFoundError as error:
            raise RequestError(
                f"{library} is not installed ({error.name} is missing): pip install 'cost-quality-tracker[benchmark]'"
            ) from None
        return searcher

    return made


METHODS: Mapping[str, Method] = {
    "random": _full_runs(Sampling("RandomSampler")),
    "nsga2": _full_runs(Sampling("NSGAIISampler")),
    "tpe": _full_runs(Sampling()),
    "halving": _halving,
    OURS: _frontier,
    "moasha": _of_a_library("experiments.benchmarks.search_moasha:moasha", "syne-tune"),
    "primo": _of_a_library("experiments.benchmarks.search_primo:primo", "neural-pipeline-search"),
}
"""Of Optuna's samplers the defaults. The last two are optional: RequestError where they are not installed."""

COMPARED = ("random", "nsga2", "tpe", "halving", OURS)
"""Those that are compared unless others are named."""
