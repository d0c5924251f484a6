"""The headline answers of a study, to read before any chart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from tracker.records import Direction, PriceBasis
from tracker.report.tables import frontier_table, references_table, spend_by_state
from tracker.report.words import money, percent, quality, several
from tracker.store.run_table import StudyTable


@dataclass(frozen=True, slots=True)
class Headline:
    """One answer: its topic, its figure, and a sentence that explains it. All plain text."""

    title: str
    figure: str
    sentence: str
    baseline: bool = False


def headlines(table: StudyTable) -> list[Headline]:
    """Best, cheapest, the price of one more point, the spend, and the comparison with each baseline.

    Only the spend where no trial has a checkpoint.
    """
    frontier = frontier_table(table)
    answers = [] if frontier.empty else _of_frontier(frontier, table)
    answers.append(_spend(table))
    if not frontier.empty:
        answers += [_comparison(row, frontier, table) for row in references_table(table).to_dict("records")]
    return answers


def _of_frontier(frontier: pd.DataFrame, table: StudyTable) -> list[Headline]:
    metric, usd = table.quality.name, partial(money, unit=table.unit)
    rows = frontier.to_dict("records")
    cheapest, best = rows[0], rows[-1]
    tested = f"; test accuracy {quality(best['test_accuracy'])}" if math.isfinite(best["test_accuracy"]) else ""
    answers = [
        Headline(f"Best {metric}", quality(best["quality"]), f"for {usd(best['price_usd'])}, by {_name(best)}{tested}"),
        Headline(
            "Cheapest", usd(cheapest["price_usd"]), f"for {metric} {quality(cheapest['quality'])}, by {_name(cheapest)}"
        ),
    ]
    if len(rows) > 1:
        before = rows[-2]
        sentence = (
            f"for one more point (0.01) of {metric} at the top end: from {quality(before['quality'])} to"
            f" {quality(best['quality'])} for {usd(best['price_usd'] - before['price_usd'])} more"
        )
        answers.append(Headline("One more point", usd(best["usd_per_point"]), sentence))
    return answers


def _spend(table: StudyTable) -> Headline:
    usd = partial(money, unit=table.unit)
    spent = usd(table.spend_usd)
    trials = several(int((table.runs["role"] == "trial").sum()), "trial")
    if table.scenario is not None:
        return Headline("Would cost", spent, f"by {trials}, at the scenario's prices, everything that was paid for")
    if table.budget_usd:
        sentence = f"of {usd(table.budget_usd)} ({percent(table.spend_usd / table.budget_usd)} of the budget), {trials}"
    else:
        sentence = f"by {trials}; the study has no budget"
    by_state = spend_by_state(table).set_index("state")["spend_usd"]
    lost = sum(float(by_state.get(state, 0.0)) for state in ("failed", "killed"))
    sentence += f"; {usd(lost)} of it by trials that failed" if lost else ""
    sentence += "; estimated from timestamps" if PriceBasis.ESTIMATED in set(table.runs["price_basis"]) else ""
    repeats = float(by_state.get("repeats", 0.0))
    return Headline("Spent", spent, sentence + (f"; {usd(repeats)} of it by repeats" if repeats else ""))


def _comparison(baseline: dict[Any, Any], frontier: pd.DataFrame, table: StudyTable) -> Headline:
    """How the baseline compares with the frontier, whichever wins."""
    usd = partial(money, unit=table.unit)
    metric, sign = table.quality.name, 1 if table.quality.direction == Direction.MAXIMIZE else -1
    dominated, points = baseline["dominates"], len(frontier)
    if dominated == points:
        verdict = "it dominates the whole frontier: no trial is worth its price"
    elif dominated:
        verdict = f"it dominates {dominated} of {several(points, 'frontier point')}"
    else:
        verdict = "it dominates no frontier point"
    better = frontier[sign * (frontier["quality"] - baseline["quality"]) > 0].to_dict("records")
    if better:
        first = better[0]
        ratio = first["price_usd"] / baseline["price_usd"]
        verdict += f"; {_name(first)} is the cheapest that beats its {metric}, at {_times(ratio)} its price"
    elif dominated < points:
        verdict += f"; no trial reaches its {metric}"
    return Headline(
        f"Baseline {baseline['name']}",
        quality(baseline["quality"]),
        f"{metric} for {usd(baseline['price_usd'])}: {verdict}",
        baseline=True,
    )


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def _name(row: dict[Any, Any]) -> str:
    return f"trial #{row['trial']} after epoch {row['epoch']}"
