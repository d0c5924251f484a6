"""Which run to take: the answer to a wish, what it rests on, what each step costs, and what more money would bring."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracker.errors import RequestError
from tracker.report.axes import Axes, x_choices, y_words
from tracker.report.axis_points import AxisPoints, axis_points, parse_key
from tracker.report.marginal_steps import RULE, knee, marginal_steps, step_sentences
from tracker.report.more_money import (
    MoneyOutlook,
    curve_sentences,
    money_outlook,
    outlook_document,
    outlook_sentences,
)
from tracker.report.plain import plain, plain_rows
from tracker.report.repeats import CERTAINTY_COLUMNS, confidence_of
from tracker.report.tables import certainty_of, searched_settings, study_head
from tracker.report.targets import Answer, certainty_at, confidence_words, is_quality
from tracker.report.training_command import TrainingCommand, training_command
from tracker.report.wish import Wish, answer_to
from tracker.report.words import duration, quality, setting, several
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

CONFIDENCE = 0.9
"""With so much confidence a quality counts as reached, where trials were repeated."""

IN_USD = {"from_cost": "from_usd", "cost": "usd", "more_cost": "more_usd", "cost_per_step": "usd_per_step"}
"""Columns of marginal_steps, whose costs are prices here, as documents name them."""


@dataclass(frozen=True, eq=False)
class Advice:
    """The ``answer`` to ``wish`` among the candidates ``found``; None where it asks for nothing in particular.

    ``confident`` is the cheapest repeated candidate that reaches the quality with CONFIDENCE on average (its row, with
    confidence), None where there is none or nothing is asked; ``train_again`` the command for the answer's run.
    """

    found: AxisPoints
    wish: Wish
    answer: Answer | None
    confident: Mapping[Any, Any] | None
    outlook: MoneyOutlook
    train_again: TrainingCommand


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
    return Advice(found, wish, answer, _confident(found, wish), money_outlook(table), again)


def _confident(found: AxisPoints, wish: Wish) -> Mapping[Any, Any] | None:
    """The cheapest repeated candidate within the other bounds that reaches the quality with CONFIDENCE."""
    known = certainty_of(found.table)
    if wish.quality is None or known.empty or not is_quality(found):
        return None
    points = found.points[(found.points["wall_seconds"] <= (wish.wall_seconds or math.inf)).to_numpy()]
    points = points[(points["x"] <= (wish.cost or math.inf)).to_numpy()]
    rows = points.merge(known[known["repeats"] > 0].drop(columns="on_frontier"), on=["trial", "epoch"])
    sure = [confidence_of(row, wish.quality, found.sign) for row in rows.to_dict("records")]
    rows = rows.assign(confidence=np.asarray(sure, dtype=np.float64))
    rows = rows[rows["confidence"] >= CONFIDENCE].sort_values("x", kind="stable")
    return rows.iloc[0].to_dict() if len(rows) else None


def advice_sentences(advice: Advice) -> list[str]:
    """The advice in words, a paragraph each."""
    found, answer = advice.found, advice.answer
    money_lines = outlook_sentences(advice.outlook, found.table)
    if answer is None:
        return [*step_sentences(found), *money_lines]
    lines = [f"{answer.question}:", answer.sentence]
    if answer.key:
        lines.append(_settings(advice, answer))
    return [*lines, *grounds(advice), *money_lines, *_training(advice, answer)]


def grounds(advice: Advice) -> list[str]:
    """What the answer rests on: how sure it is, the next better point, and, of what was not reached, the curves."""
    found, answer, target = advice.found, advice.answer, advice.wish.quality
    if answer is None:
        return []
    lines = [line for line in (answer.sure, _confidence_sentence(advice), answer.next_better) if line]
    if target is not None and is_quality(found) and (found.sign * (found.frontier["y"].to_numpy() - target) < 0).all():
        lines += curve_sentences(advice.outlook, found.table, target)
    return lines


def _settings(advice: Advice, answer: Answer) -> str:
    table = advice.found.table
    own = table.settings_of(answer.run)
    values = ", ".join(f"{name} {setting(own[name])}" for name in searched_settings(table) if name in own)
    took = duration(answer.wall_seconds)
    billed = f"Billed as {table.runs['sku'].to_numpy()[answer.run]}; it took {took}."
    return f"Settings: {values}. {billed}" if values else billed


def _training(advice: Advice, answer: Answer) -> list[str]:
    """The command that trains the answer's run again, and what to know of it."""
    again, epoch = advice.train_again, parse_key(answer.key)[1] or 0
    if not again.text:
        return [again.remark] if again.remark else []
    points = advice.found.points
    last = int(points["epoch"][(points["run"] == answer.run).to_numpy()].max())
    whole = f" (all of it: to epoch {last}, past epoch {epoch})" if last > epoch else ""
    return [line for line in (f"Train it again{whole}:", again.text, again.remark) if line]


def _confidence_sentence(advice: Advice) -> str:
    """Which point reaches the wished quality with CONFIDENCE; "" where nothing was repeated or the answer does."""
    found, wish, row = advice.found, advice.wish, advice.confident
    known = certainty_of(found.table)
    if wish.quality is None or known.empty or not is_quality(found):
        return ""
    target, sure = f"{found.metric} {y_words(wish.quality)}", f"{CONFIDENCE:.0%}".replace("%", " %")
    if row is None:
        count = int((known["repeats"] > 0).sum())
        return f"None of the {several(count, 'repeated checkpoint')} reaches {target} with {sure} confidence."
    if (
        advice.answer is not None
        and parse_key(advice.answer.key)[1] == row["epoch"]
        and advice.answer.run == row["run"]
    ):
        return ""
    return (
        f"The cheapest that reaches {target} with {sure} confidence is trial #{row['trial']} after epoch"
        f" {row['epoch']}: mean {quality(row['quality_mean'])} for {found.x_measure.words(row['x'])},"
        f" {confidence_words(row['confidence'])} sure."
    )


def advice_document(advice: Advice, predictions: float | None = None) -> dict[str, Any]:
    """What ``tracker advise NAME --json`` prints; amounts in USD."""
    found, wish, answer = advice.found, advice.wish, advice.answer
    table, end = found.table, knee(found)
    stop = None if end is None else {**_point(found, found.frontier.iloc[end.at]), "usd_per_step": end.before}
    return {
        **study_head(table),
        "scenario": None if table.scenario is None else plain(table.scenario.document),
        "price_book": table.price_book,
        "request": {
            "min_quality": wish.quality,
            "max_usd": wish.cost,
            "predictions": predictions,
            "deadline_seconds": wish.wall_seconds,
        },
        "basis": "measured",
        "reached": None if answer is None else answer.reached,
        "sentences": advice_sentences(advice),
        "point": None if answer is None or not answer.key else _answered(advice, answer),
        "confident_point": None if advice.confident is None else _confident_point(advice.confident),
        "train_again": {"command": advice.train_again.text or None, "remark": advice.train_again.remark},
        "step": found.step,
        "steps": plain_rows(marginal_steps(found).rename(columns=IN_USD)),
        "stops_paying": stop if end is None or stop is None else {**stop, "usd_per_step_beyond": end.beyond},
        "stop_rule": RULE,
        "more_money": outlook_document(advice.outlook),
    }


def _answered(advice: Advice, answer: Answer) -> dict[str, Any]:
    found, wish = advice.found, advice.wish
    epoch = parse_key(answer.key)[1]
    row = found.points[((found.points["run"] == answer.run) & (found.points["epoch"] == epoch)).to_numpy()].iloc[0]
    mine = certainty_at(certainty_of(found.table), int(row["trial"]), int(row["epoch"]))
    known = dict.fromkeys(CERTAINTY_COLUMNS) if mine is None else {name: mine[name] for name in CERTAINTY_COLUMNS}
    confidence = math.nan if mine is None or wish.quality is None else confidence_of(mine, wish.quality, found.sign)
    return {**_point(found, row), **plain(known), "confidence": plain(confidence)}


def _point(found: AxisPoints, row: pd.Series[Any]) -> dict[str, Any]:
    table, run = found.table, int(row["run"])
    total = {"total_usd": row["x"]} if found.axes.x == "total_usd" else {}
    document: dict[str, Any] = plain(
        {
            **{name: row[name] for name in ("trial", "epoch", "quality", "price_usd")},
            **total,
            "wall_seconds": row["wall_seconds"],
            "sku": table.runs["sku"].to_numpy()[run],
            "price_basis": table.runs["price_basis"].to_numpy()[run],
            "settings": dict(table.settings_of(run)),
        }
    )
    return document


def _confident_point(row: Mapping[Any, Any]) -> dict[str, Any]:
    names = ["trial", "epoch", "quality", "price_usd", "wall_seconds", *CERTAINTY_COLUMNS, "confidence"]
    document: dict[str, Any] = plain({name: row[name] for name in names})
    return document
