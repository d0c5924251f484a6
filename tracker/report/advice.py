"""Which run to take: the answer to a wish, what it rests on, and what more money would bring."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracker.errors import RequestError
from tracker.report.axes import Axes, x_choices
from tracker.report.axis_points import AxisPoints, axis_points, parse_key
from tracker.report.more_money import MoneyOutlook, money_outlook
from tracker.report.repeats import confidence_of
from tracker.report.tables import certainty_of, references_table
from tracker.report.targets import Answer, is_quality
from tracker.report.training_command import TrainingCommand, training_command
from tracker.report.wish import Wish, answer_to
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

CONFIDENCE = 0.9
"""With so much confidence a quality counts as reached, where trials were repeated."""


@dataclass(frozen=True, eq=False)
class Advice:
    """The ``answer`` to ``wish`` among the candidates ``found``; None where it asks for nothing in particular.

    ``confident`` is the cheapest repeated candidate that reaches the quality with CONFIDENCE on average (its row, with
    confidence), None where there is none or nothing is asked. ``baselines`` meet the wish, and the study's limits, for
    no more. ``outlook`` is that of more money; None where the candidates are predicted, for it is of the hardware that
    they were measured on. ``train_again`` is the command for the answer's run.
    """

    found: AxisPoints
    wish: Wish
    answer: Answer | None
    confident: Mapping[Any, Any] | None
    baselines: pd.DataFrame
    outlook: MoneyOutlook | None
    train_again: TrainingCommand

    @property
    def row(self) -> Mapping[Any, Any]:
        """The answer's row among the candidates. Raises IndexError where it names no point."""
        points, answer = self.found.points, self.answer
        key = (-1, 0, math.nan) if answer is None else (answer.run, parse_key(answer.key)[1] or 0, answer.x)
        mine = (points["run"] == key[0]) & (points["epoch"] == key[1]) & (points["x"] == key[2])
        row: dict[Any, Any] = points[mine.to_numpy()].iloc[0].to_dict()
        return row


def candidates(table: StudyTable, predictions: float | None = None) -> AxisPoints:
    """All checkpoints of trials by quality and price; with ``predictions`` by the price including so many predictions.

    Raises RequestError where no trial has reached a checkpoint within the limits, where no run's speed is known, and
    for a number of predictions below 1.
    """
    if predictions is not None and "total_usd" not in x_choices(table):
        raise RequestError(
            f"study '{table.study}' has no predictions_per_second: the price including {predictions:,.0f} predictions"
            " is not known; allowed: ask without --predictions"
        )
    found = axis_points(table, Axes() if predictions is None else Axes(x="total_usd", predictions=predictions))
    if found.frontier.empty:
        reason = "none keeps the study's limits" if len(found.points) else "none was reached"
        raise RequestError(f"study '{table.study}' has no checkpoint to advise on: {reason}")
    return found


def advise(found: AxisPoints, wish: Wish) -> Advice:
    """The advice on ``candidates``. Raises RequestError where Wish.check does."""
    wish.check()
    table = found.table
    answer = None if wish.is_open else answer_to(found, wish)
    again = TrainingCommand("")
    if answer is not None and answer.run >= 0 and table.home is not None:
        again = training_command(Home(table.home), table, answer.run)
    outlook = None if found.is_predicted else money_outlook(table)
    return Advice(found, wish, answer, _confident(found, wish), baselines(found, wish, answer), outlook, again)


def baselines(found: AxisPoints, wish: Wish, answer: Answer | None) -> pd.DataFrame:
    """The baselines that meet a wish and the study's limits and cost no more than its answer.

    Rows of report.tables.references_table. For a wish without a quality, those that are at least as good as the
    answer. None where prices are predicted, or include predictions.
    """
    known = references_table(found.table)
    if answer is None or not answer.key or not found.axes.is_of_study(found.table) or found.is_predicted:
        return known.iloc[:0]
    bounds = [wish.cost, answer.x if answer.reached else None]
    most = min((bound for bound in bounds if bound is not None), default=math.inf)
    met = known["kept"] & (known["price_usd"] <= most) & (known["wall_seconds"] <= (wish.wall_seconds or math.inf))
    row = found.points[(found.points["run"] == answer.run) & (found.points["x"] == answer.x)].iloc[0]
    least = float(row["y"]) if wish.quality is None else wish.quality
    meeting: pd.DataFrame = known[(met & (found.sign * (known["quality"] - least) >= 0)).to_numpy()]
    return meeting.sort_values("price_usd", kind="stable").reset_index(drop=True)


def repeated_within(found: AxisPoints, wish: Wish) -> pd.DataFrame:
    """The repeated candidates within the cost and the time of a wish, with columns of report.tables.certainty_of."""
    points, known = found.points, certainty_of(found.table)
    if wish.wall_seconds is not None:
        points = points[(points["wall_seconds"] <= wish.wall_seconds).to_numpy()]
    if wish.cost is not None:
        points = points[(points["x"] <= wish.cost).to_numpy()]
    return points.merge(known[(known["repeats"] > 0).to_numpy()].drop(columns="on_frontier"), on=["trial", "epoch"])


def _confident(found: AxisPoints, wish: Wish) -> Mapping[Any, Any] | None:
    """The cheapest repeated candidate within the other bounds that reaches the quality with CONFIDENCE."""
    if wish.quality is None or certainty_of(found.table).empty or not is_quality(found):
        return None
    rows = repeated_within(found, wish)
    sure = [confidence_of(row, wish.quality, found.sign) for row in rows.to_dict("records")]
    rows = rows.assign(confidence=np.asarray(sure, dtype=np.float64))
    rows = rows[rows["confidence"] >= CONFIDENCE].sort_values("x", kind="stable")
    return rows.iloc[0].to_dict() if len(rows) else None
