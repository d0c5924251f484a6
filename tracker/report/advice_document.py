"""An advice as one JSON-safe document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tracker.report.advice import Advice
from tracker.report.advice_words import advice_sentences
from tracker.report.axis_points import AxisPoints
from tracker.report.marginal_steps import RULE, knee, marginal_steps
from tracker.report.more_money import outlook_document
from tracker.report.plain import plain, plain_rows
from tracker.report.predicted_candidates import predicted_row
from tracker.report.repeats import CERTAINTY_COLUMNS, confidence_of
from tracker.report.tables import certainty_of, study_head
from tracker.report.targets import certainty_at

IN_USD = {"from_cost": "from_usd", "cost": "usd", "more_cost": "more_usd", "cost_per_step": "usd_per_step"}
"""Columns of marginal_steps, whose costs are prices here, as documents name them."""


def advice_document(advice: Advice, predictions: float | None = None) -> dict[str, Any]:
    """What ``tracker advise NAME --json`` prints; amounts in USD."""
    found, wish, answer = advice.found, advice.wish, advice.answer
    table, end = found.table, knee(found)
    stop = None if end is None else {**_point(found, found.frontier.iloc[end.at].to_dict()), "usd_per_step": end.before}
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
        "basis": "predicted" if found.is_predicted else "measured",
        "reached": None if answer is None else answer.reached,
        "sentences": advice_sentences(advice),
        "point": None if answer is None or not answer.key else _answered(advice),
        "confident_point": None if advice.confident is None else _confident_point(advice.confident),
        "baselines": plain_rows(advice.baselines[["name", "quality", "price_usd", "wall_seconds"]]),
        "train_again": {"command": advice.train_again.text or None, "remark": advice.train_again.remark},
        "step": found.step,
        "steps": plain_rows(marginal_steps(found).rename(columns=IN_USD)),
        "stops_paying": stop if end is None or stop is None else {**stop, "usd_per_step_beyond": end.beyond},
        "stop_rule": RULE,
        "more_money": None if advice.outlook is None else outlook_document(advice.outlook),
    }


def _answered(advice: Advice) -> dict[str, Any]:
    found, wish = advice.found, advice.wish
    row = advice.row
    mine = certainty_at(certainty_of(found.table), int(row["trial"]), int(row["epoch"]))
    known = dict.fromkeys(CERTAINTY_COLUMNS) if mine is None else {name: mine[name] for name in CERTAINTY_COLUMNS}
    confidence = math.nan if mine is None or wish.quality is None else confidence_of(mine, wish.quality, found.sign)
    return {**_point(found, row), **plain(known), "confidence": plain(confidence)}


def _point(found: AxisPoints, row: Mapping[Any, Any]) -> dict[str, Any]:
    table, run = found.table, int(row["run"])
    total = {"total_usd": row["x"]} if found.axes.x == "total_usd" else {}
    document: dict[str, Any] = plain(
        {
            **{name: row[name] for name in ("trial", "epoch", "quality", "price_usd")},
            **total,
            "wall_seconds": row["wall_seconds"],
            "sku": table.runs["sku"].to_numpy()[run],
            "price_basis": table.runs["price_basis"].to_numpy()[run],
            **predicted_row(row),
            "settings": dict(table.settings_of(run)),
        }
    )
    return document


def _confident_point(row: Mapping[Any, Any]) -> dict[str, Any]:
    names = ["trial", "epoch", "quality", "price_usd", "wall_seconds", *CERTAINTY_COLUMNS, "confidence"]
    document: dict[str, Any] = plain({name: row[name] for name in names})
    return document
