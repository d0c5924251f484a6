"""What the benchmark of searches prints: a table a task, averages, how far our search is ahead, and its targets."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from experiments.benchmarks.figures import Figure
from experiments.benchmarks.search_statistics import (
    Estimate,
    Outcome,
    Replayed,
    dollars_to_measure,
    names_of_shares,
    percentile,
)

_EARLY, _LATE = ("10 %", "25 %"), ("50 %", "100 %")
_EARLY_RIVALS, _EARLY_MARGIN = ("halving", "moasha", "primo"), 0.03


def table_of(outcomes: Mapping[str, Outcome]) -> str:
    """A task's outcomes as a text: a line a method."""
    hypervolumes = _table({method: outcome.hypervolume for method, outcome in outcomes.items()})
    ends = ["  $ to TPE's / budget", *(f"  {outcome.to_measure}" for outcome in outcomes.values())]
    return "\n".join(line + end for line, end in zip(hypervolumes, ends, strict=True))


def average_table(averages: Mapping[str, Mapping[str, Estimate]]) -> str:
    """The averages over tasks as a text: a line a method."""
    return "\n".join(_table(averages))


def _table(estimates: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    lines = [f"  {'method':10}" + "".join(f"  {'hv at ' + name:22}" for name in names_of_shares())]
    for method, by_share in estimates.items():
        lines.append(f"  {method:10}" + "".join(f"  {by_share[name]!s:22}" for name in names_of_shares()))
    return lines


def ahead_lines(ours: str, ahead: Mapping[str, Mapping[str, Estimate]]) -> str:
    """How far our search is ahead of each other, as a text: a line for each other and share of the budget."""
    return "\n".join(
        f"  {name:5} of the budget: {ours} is ahead of {other} by {estimate}"
        for name in names_of_shares()
        for other, estimate in ((other, by_share[name]) for other, by_share in ahead.items())
    )


def figures_of(
    replayed: Sequence[Replayed],
    ours: str,
    outcomes: Mapping[str, Mapping[str, Outcome]],
    ahead: Mapping[str, Mapping[str, Estimate]],
) -> Iterator[Figure]:
    """How our search keeps its targets."""
    name = "dollars to the hypervolume of TPE / its budget"
    medians = [methods[ours].to_measure.value for methods in outcomes.values()]
    all_of_them = dollars_to_measure(replayed, ours)
    median, late, most = statistics.median(medians), percentile(all_of_them, 90), max(all_of_them)
    yield Figure(f"{name}, median over tasks", median, "×", "<= 0.12", median <= 0.12, medians)
    yield Figure(f"{name}, 90th percentile over tasks and seeds", late, "×", "<= 0.4", late <= 0.4, all_of_them)
    yield Figure(f"{name}, most over tasks and seeds", most, "×", "<= 1", most <= 1)
    for other, by_share in ahead.items():
        for share in (*(_EARLY if other in _EARLY_RIVALS else ()), *_LATE):
            least = _EARLY_MARGIN if share in _EARLY else 0.0
            more = by_share[share]
            target = f">= {least:g}, interval above 0"
            holds = more.value >= least and more.low > 0
            yield Figure(f"hypervolume at {share} of the budget - that of {other}", more.value, "", target, holds)
