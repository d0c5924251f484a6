"""Answers to two questions: what is cheapest for this quality, and what is best for this money."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.records import Direction
from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints, point_key
from tracker.report.hovers import one_more
from tracker.report.repeats import confidence_of
from tracker.report.tables import certainty_of
from tracker.report.words import money, percent, quality, several

_CHEAPEST = {"wall_seconds": "Quickest", "energy_joules": "Least energy for", "co2_grams": "Least CO2 for"}
MOST_STOPS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in plain sentences: ``sentence``, how ``sure`` it is, and what the ``next_better`` point costs.

    ``key`` is that of the point that it names (axis_points.point_key) and ``run`` its run's row in StudyTable.runs; ""
    and -1 where there is no point. ``point`` is it in words, ``x`` what it costs, ``wall_seconds`` how long it took.
    ``reached`` is False where no point answers the question: then the point is the nearest one. ``sure`` and
    ``next_better`` are "" where there is nothing to say.
    """

    question: str
    sentence: str
    sure: str = ""
    next_better: str = ""
    key: str = ""
    run: int = -1
    point: str = ""
    x: float = math.nan
    wall_seconds: float = math.nan
    reached: bool = True


def cheapest_reaching(found: AxisPoints, target: float) -> Answer:
    """The cheapest checkpoint that is at least as good as ``target``, of those within the study's limits."""
    verb = _CHEAPEST.get(found.axes.x, "Cheapest")
    bound = "" if found.direction is Direction.MAXIMIZE else " or less"
    question = f"{verb} {found.metric} {y_words(target)}{bound}" if verb.endswith("for") else ""
    question = question or f"{verb} reaching {found.metric} {y_words(target)}{bound}"
    frontier = found.frontier
    if frontier.empty:
        return no_answer(found, question)
    reached = np.flatnonzero(found.sign * (frontier["y"].to_numpy() - target) >= 0)
    if not len(reached):
        best = len(frontier) - 1
        reaches_it = f"No checkpoint reaches {found.metric} {y_words(target)}{in_time(found)}"
        sentence = f"{reaches_it}; the best is {_point_text(found, best)}."
        return answer_at(found, question, sentence, at=best, reached=False)
    at = int(reached[0])
    return answer_at(found, question, at=at, sure=_sure(found, at, target))


def best_under(found: AxisPoints, budget: float) -> Answer:
    """The best checkpoint that costs ``budget`` or less (in x's own unit), of those within the study's limits."""
    question = f"Best under {found.x_measure.words(budget)}"
    frontier = found.frontier
    if frontier.empty:
        return no_answer(found, question)
    within = np.flatnonzero(frontier["x"].to_numpy() <= budget)
    if not len(within):
        sentence = f"No checkpoint costs {found.x_measure.words(budget)} or less{in_time(found)}; the cheapest is"
        return answer_at(found, question, f"{sentence} {_point_text(found, 0)}.", at=0, reached=False)
    at = int(within[-1])
    return answer_at(found, question, at=at, sure=_sure(found, at, None))


def best_of(found: AxisPoints, question: str) -> Answer:
    """The best checkpoint at any price, of those within the study's limits."""
    if found.frontier.empty:
        return no_answer(found, question)
    at = len(found.frontier) - 1
    return answer_at(found, question, at=at, sure=_sure(found, at, None))


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


def no_answer(found: AxisPoints, question: str) -> Answer:
    """The answer where there is no point at all."""
    limits = " within the study's limits" if len(found.points) else ""
    return Answer(question, f"No trial has reached a checkpoint{limits} yet.", reached=False)


def answer_at(
    found: AxisPoints, question: str, sentence: str = "", *, at: int, sure: str = "", reached: bool = True
) -> Answer:
    """The answer that names the frontier's point ``at``; ``sentence`` is that point, where it is none."""
    point = _point_text(found, at)
    row = found.frontier.iloc[at]
    return Answer(
        question,
        sentence or f"{point[0].upper()}{point[1:]}.",
        sure,
        _next_better(found, at),
        key=point_key(str(row["run_id"]), int(row["epoch"])),
        run=int(row["run"]),
        point=point,
        x=float(row["x"]),
        wall_seconds=float(row["wall_seconds"]),
        reached=reached,
    )


def _point_text(found: AxisPoints, at: int) -> str:
    """A frontier point in words."""
    row = found.frontier.iloc[at]
    name = f"trial #{row['trial']} after epoch {row['epoch']}"
    name += f" on {row['on']}" if found.is_predicted else ""
    figures = f"{found.metric} {y_words(row['y'])} for {found.x_measure.words(row['x'])}"
    if found.axes.x == "total_usd":
        training = money(row["price_usd"], found.table.unit)
        return f"{name}, {figures} including {found.axes.predictions:,.0f} predictions, {training} of it for training"
    if found.axes.is_of_study(found.table):
        return f"{name}, {figures}"
    of_study = (
        [] if found.metric == found.table.quality.name else [f"{found.table.quality.name} {quality(row['quality'])}"]
    )
    if found.axes.x != "price_usd":
        of_study.append(money(row["price_usd"], found.table.unit))
    beside = f" ({', '.join(of_study)})" if of_study else ""
    return f"{name}, {figures}{beside}"


def in_time(found: AxisPoints) -> str:
    """The bound on time in words, after a statement about all points; "" where there is none."""
    return " in that time" if math.isfinite(found.wall_limit) else ""


def _next_better(found: AxisPoints, at: int) -> str:
    """The next better frontier point, and what one more point of y costs on the way there."""
    frontier = found.frontier
    if at + 1 >= len(frontier):
        price = " at any price" if found.x_measure.is_money else ""
        return f"No checkpoint is better{price}{in_time(found)}."
    here, following = frontier.iloc[at], frontier.iloc[at + 1]
    more = found.x_measure.words(following["x"] - here["x"])
    return (
        f"The next better is {following['short']}: {y_words(following['y'])} for {more} more;"
        f" {one_more(found, following['x_per_step'])} there."
    )


def _sure(found: AxisPoints, at: int, target: float | None) -> str:
    """How certain an answer is: from its repeats, or that it was measured once."""
    if not is_quality(found):
        return ""
    row = found.frontier.iloc[at]
    mine = certainty_at(certainty_of(found.table), int(row["trial"]), int(row["epoch"]))
    if mine is None:
        once = "It was measured once, so its uncertainty is unknown."
        confirm = f"tracker confirm {shlex.quote(found.table.study)}"
        return once if found.table.origin else f"{once} To find out, run: {confirm}"
    return _by_repeats(found, mine, target)


def is_quality(found: AxisPoints) -> bool:
    """Whether y is the study's quality, better the way that the study says."""
    return found.metric == found.table.quality.name and not found.axes.turned


def certainty_at(known: pd.DataFrame, trial: int, epoch: int) -> Mapping[Any, Any] | None:
    """The row of report.repeats.certainty_table for a checkpoint; None where it has no repeat."""
    if not len(known):
        return None
    mine = known[((known["trial"] == trial) & (known["epoch"] == epoch) & (known["repeats"] > 0)).to_numpy()]
    return mine.iloc[0].to_dict() if len(mine) else None


def _by_repeats(found: AxisPoints, row: Any, target: float | None) -> str:
    low, high = row["quality_low"], row["quality_high"]
    count = int(row["repeats"])
    own_frontier = found.axes.is_of_study(found.table) and not found.is_predicted
    on_it = f"; on the frontier with a probability of {percent(row['probability_on_frontier'])}" if own_frontier else ""
    parts = [
        f"{several(count, 'repeat')}: mean {quality(row['quality_mean'])}, 95 % interval {quality(low)} to"
        f" {quality(high)}{_against(found, low, high, target)}{on_it}."
    ]
    if target is not None:
        parts.append(reaches(y_words(target), confidence_of(row, target, found.sign)))
    if row["tied_with"] and own_frontier:
        parts.append(
            f"A tie: it cannot be distinguished from the cheaper {row['tied_with']}; buy that one, unless more seeds"
            " separate them."
        )
    return " ".join(parts)


def reaches(target: str, confidence: float) -> str:
    """How sure it is that a mean quality reaches a target, ``confidence`` as of report.repeats.confidence_of."""
    if not math.isfinite(confidence):
        return "How sure it is to reach it is not known: its repeats do not differ."
    return f"On average it reaches {target} with {confidence_words(confidence)} confidence."


def confidence_words(confidence: float) -> str:
    """A confidence as a percentage that never reads as certainty.

    >>> confidence_words(0.934), confidence_words(0.9999), confidence_words(0.0)
    ('93 %', 'more than 99 %', 'less than 1 %')
    """
    if confidence > 0.99:
        return "more than 99 %"
    return "less than 1 %" if confidence < 0.01 else percent(confidence)


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
