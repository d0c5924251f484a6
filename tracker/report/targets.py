"""Answers to two questions: what is cheapest for this quality, and what is best for this money."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.records import Direction
from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints, point_key
from tracker.report.hovers import one_more
from tracker.report.words import money, percent, quality, several

_CHEAPEST = {"wall_seconds": "Quickest", "energy_joules": "Least energy for", "co2_grams": "Least CO2 for"}
MOST_STOPS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in plain sentences: ``sentence``, how ``sure`` it is, and what the ``next_better`` point costs.

    ``key`` is that of the point that it names (axis_points.point_key) and ``run`` its run's row in StudyTable.runs; ""
    and -1 where there is no point. ``reached`` is False where no point answers the question: then the point is the
    nearest one. ``sure`` and ``next_better`` are "" where there is nothing to say.
    """

    question: str
    sentence: str
    sure: str = ""
    next_better: str = ""
    key: str = ""
    run: int = -1
    reached: bool = True


def cheapest_reaching(found: AxisPoints, target: float) -> Answer:
    """The cheapest checkpoint that is at least as good as ``target``, of those within the study's limits."""
    verb = _CHEAPEST.get(found.axes.x, "Cheapest")
    bound = "" if found.direction is Direction.MAXIMIZE else " or less"
    question = f"{verb} {found.metric} {y_words(target)}{bound}" if verb.endswith("for") else ""
    question = question or f"{verb} reaching {found.metric} {y_words(target)}{bound}"
    frontier = found.frontier
    if frontier.empty:
        return _nothing(found, question)
    reached = np.flatnonzero(found.sign * (frontier["y"].to_numpy() - target) >= 0)
    if not len(reached):
        best = len(frontier) - 1
        sentence = f"No checkpoint reaches {found.metric} {y_words(target)}; the best is {_point_text(found, best)}."
        return _answer(found, question, sentence, best, reached=False)
    at = int(reached[0])
    return _answer(found, question, f"T{_point_text(found, at)[1:]}.", at, sure=_sure(found, at, target))


def best_under(found: AxisPoints, budget: float) -> Answer:
    """The best checkpoint that costs ``budget`` or less (in x's own unit), of those within the study's limits."""
    question = f"Best under {found.x_measure.words(budget)}"
    frontier = found.frontier
    if frontier.empty:
        return _nothing(found, question)
    within = np.flatnonzero(frontier["x"].to_numpy() <= budget)
    if not len(within):
        sentence = f"No checkpoint costs {found.x_measure.words(budget)} or less; the cheapest is"
        return _answer(found, question, f"{sentence} {_point_text(found, 0)}.", 0, reached=False)
    at = int(within[-1])
    return _answer(found, question, f"T{_point_text(found, at)[1:]}.", at, sure=_sure(found, at, None))


def target_stops(found: AxisPoints) -> list[float]:
    """Targets to choose from, between the frontier's worst and best point: the y of each where there are few.

    Each has four significant digits, rounded so that its point reaches it.
    """
    y = found.frontier["y"].to_numpy(dtype=np.float64)
    if len(y) > MOST_STOPS:
        y = np.linspace(y[0], y[-1], MOST_STOPS)
    return _rounded(y, digits=4, up=found.direction is Direction.MINIMIZE)


def budget_stops(found: AxisPoints) -> list[float]:
    """Budgets to choose from, in logarithmic steps over the frontier's range, with three digits, rounded up."""
    x = found.frontier["x"].to_numpy(dtype=np.float64)
    if len(x) > 1:
        x = np.geomspace(x[0], x[-1], MOST_STOPS)
    return _rounded(x, digits=3, up=True)


def _rounded(values: NDArray[np.float64], digits: int, *, up: bool) -> list[float]:
    """The distinct ``values`` with this many significant digits."""
    sizes = np.abs(values)
    scale = 10.0 ** (np.floor(np.log10(np.where(sizes > 0, sizes, 1.0))) - (digits - 1))
    counts = np.round(values / scale, 9)
    rounded = (np.ceil(counts) if up else np.floor(counts)) * scale
    return list(dict.fromkeys(float(f"{each:.{digits}g}") for each in rounded))


def _nothing(found: AxisPoints, question: str) -> Answer:
    limits = " within the study's limits" if len(found.points) else ""
    return Answer(question, f"No trial has reached a checkpoint{limits} yet.", reached=False)


def _answer(
    found: AxisPoints, question: str, sentence: str, at: int, sure: str = "", *, reached: bool = True
) -> Answer:
    row = found.frontier.iloc[at]
    key = point_key(str(row["run_id"]), int(row["epoch"]))
    return Answer(question, sentence, sure, _next_better(found, at), key, int(row["run"]), reached)


def _point_text(found: AxisPoints, at: int) -> str:
    """A frontier point in words."""
    row = found.frontier.iloc[at]
    name = f"trial #{row['trial']} after epoch {row['epoch']}"
    figures = f"{found.metric} {y_words(row['y'])} for {found.x_measure.words(row['x'])}"
    if found.axes.is_of_study(found.table):
        return f"{name}, {figures}"
    of_study = (
        [] if found.metric == found.table.quality.name else [f"{found.table.quality.name} {quality(row['quality'])}"]
    )
    if found.axes.x != "price_usd":
        of_study.append(money(row["price_usd"], found.table.unit))
    beside = f" ({', '.join(of_study)})" if of_study else ""
    return f"{name}, {figures}{beside}"


def _next_better(found: AxisPoints, at: int) -> str:
    """The next better frontier point, and what one more point of y costs on the way there."""
    frontier = found.frontier
    if at + 1 >= len(frontier):
        return "No checkpoint is better at any price." if found.x_measure.is_money else "No checkpoint is better."
    here, following = frontier.iloc[at], frontier.iloc[at + 1]
    more = found.x_measure.words(following["x"] - here["x"])
    return (
        f"The next better is {following['short']}: {y_words(following['y'])} for {more} more;"
        f" {one_more(found, following['x_per_step'])} there."
    )


def _sure(found: AxisPoints, at: int, target: float | None) -> str:
    """How certain an answer is: from its repeats, or that it was measured once."""
    if not found.axes.is_of_study(found.table):
        return ""
    row, known = found.frontier.iloc[at], found.certainty
    mine: pd.DataFrame = (
        known[(known["trial"] == row["trial"]) & (known["epoch"] == row["epoch"])] if len(known) else known
    )
    if mine.empty or not mine["repeats"].iloc[0]:
        once = "It was measured once, so its uncertainty is unknown."
        confirm = f"tracker confirm {shlex.quote(found.table.study)}"
        return once if found.table.origin else f"{once} To find out, run: {confirm}"
    return _by_repeats(found, mine.iloc[0], target)


def _by_repeats(found: AxisPoints, row: Any, target: float | None) -> str:
    low, high = row["quality_low"], row["quality_high"]
    count = int(row["repeats"])
    parts = [
        f"{several(count, 'repeat')}: mean {quality(row['quality_mean'])}, 95 % interval {quality(low)} to"
        f" {quality(high)}{_against(found, low, high, target)};"
        f" on the frontier with a probability of {percent(row['probability_on_frontier'])}."
    ]
    if row["tied_with"]:
        parts.append(
            f"A tie: it cannot be distinguished from the cheaper {row['tied_with']}; buy that one, unless more seeds"
            " separate them."
        )
    return " ".join(parts)


def _against(found: AxisPoints, low: float, high: float, target: float | None) -> str:
    """How the interval compares with the target."""
    if target is None:
        return ""
    worst, best = (low, high) if found.sign > 0 else (high, low)
    if found.sign * (worst - target) >= 0:
        return f", all of it at least as good as {y_words(target)}"
    if found.sign * (best - target) < 0:
        return f", all of it worse than {y_words(target)}: its first run was lucky"
    return f", which includes {y_words(target)}: it may miss it"
