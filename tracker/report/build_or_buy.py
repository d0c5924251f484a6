"""Build or buy: the price of predictions by a trained model beside that of a hosted language model.

Training is paid once and spread over N predictions; each prediction then costs its share of a machine. A hosted
model costs the same every time. Pure computation on values that were looked up or measured elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tracker.errors import RequestError
from tracker.pricing.currency import USD
from tracker.report.asked import THOUSAND, Asked
from tracker.report.build_or_buy_notes import notes_of
from tracker.report.plain import plain
from tracker.report.price_war import over_time, war_document
from tracker.report.tables import frontier_table, references_table, spend_by_part
from tracker.store.run_table import StudyTable


def build_or_buy_document(table: StudyTable, asked: Asked) -> dict[str, Any]:
    """Every frontier point, and every baseline, against the hosted model, as one JSON-safe document.

    Of each point: ``training_usd`` (including the study's data cost, which every model of your own needs),
    ``own_usd_per_1000`` (its predictions alone; None where their speed was not measured), ``total_usd_per_1000`` (with
    its share of the training), ``api_usd_per_1000``, and ``break_even_predictions``, None with a ``break_even_reason``
    where there is none; then what report.price_war.over_time says. Raises RequestError for an N that is not a number
    of at least 1, and where no trial has reached a checkpoint.
    """
    api, predictions = asked.api, asked.predictions
    check_predictions(predictions)
    data_usd = spend_by_part(table)["data"]
    runs = {row["run_id"]: row for row in _runs(table)}
    points = [
        {key: row[key] for key in ("trial", "epoch", "quality")}
        | _compared(row["price_usd"] + data_usd, runs[row["run_id"]], asked)
        for row in frontier_table(table).to_dict("records")
    ]
    if not points:
        raise RequestError(f"study '{table.study}' has no checkpoint yet: there is no model to compare with")
    references = [
        {key: row[key] for key in ("name", "quality")}
        | _compared(row["price_usd"] + data_usd, runs[row["run_id"]], asked)
        for row in references_table(table).to_dict("records")
    ]
    over = war_document(asked.war, predictions)
    document: dict[str, Any] = plain(
        {
            "study": table.study,
            "quality": {"name": table.quality.name, "direction": str(table.quality.direction)},
            "spend_usd": table.spend_usd,
            "currency": None if table.currency.code == USD.code else asdict(table.currency),
            "scenario": None if table.scenario is None else table.scenario.document,
            "predictions": int(predictions) if float(predictions).is_integer() else predictions,
            "api": {
                **asdict(api),
                "usd_per_1000": api.usd_per_prediction * THOUSAND,
                "as_of": asked.as_of,
                "quality": None,
            },
            "api_alternatives": [
                {**asdict(terms), "usd_per_1000": None if each is None else each.usd_per_prediction * THOUSAND}
                for terms, each in asked.alternatives.items()
            ],
            "over_time": over,
            "tokens": asdict(asked.tokens),
            "points": points,
            "references": references,
            "notes": notes_of(table, asked, points, references),
        }
    )
    return document


def break_even(training_usd: float, own_usd: float, api_usd: float) -> float | None:
    """The number of predictions above which training your own model is cheaper.

    Where training / N + own = api, with the price of one prediction on either side; so N = training / (api - own).
    None where each prediction of your own costs at least as much. All in USD.
    """
    saved = api_usd - own_usd
    return training_usd / saved if saved > 0 else None


def total_usd(training_usd: float, own_usd: float, predictions: float) -> float:
    """The price of one prediction with its share of the training, in USD, at this number of predictions."""
    return training_usd / predictions + own_usd


def own_prediction_usd(run: Mapping[Any, Any]) -> float | None:
    """The price of one more prediction in USD: the machine's price per second over its predictions per second.

    Counts compute and maintenance, not what is paid once for data and for storing the model.
    ``run`` is a row of StudyTable.runs with its ``predictions_per_second``; None where that is NaN.
    """
    speed = run["predictions_per_second"]
    if not (math.isfinite(speed) and speed > 0 and run["wall_seconds"] > 0):
        return None
    machine_usd = run["compute_usd"] + run["maintenance_usd"]
    return float(machine_usd / run["wall_seconds"] / speed)


def check_predictions(predictions: float) -> float:
    """Return ``predictions`` if training can be spread over that many. Raises RequestError."""
    if not (math.isfinite(predictions) and predictions >= 1):
        raise RequestError(f"predictions: {predictions} is not a finite number of at least 1")
    return predictions


def _runs(table: StudyTable) -> list[dict[Any, Any]]:
    speed = table.summary.get("predictions_per_second", math.nan)
    return table.runs.assign(predictions_per_second=speed).to_dict("records")


def _compared(training_usd: float, run: Mapping[Any, Any], asked: Asked) -> dict[str, Any]:
    own, hosted = own_prediction_usd(run), asked.api.usd_per_prediction
    counted = own or 0.0  # the notes mention a missing price per prediction
    even = break_even(training_usd, counted, hosted)
    return {
        "training_usd": training_usd,
        "own_usd_per_1000": None if own is None else own * THOUSAND,
        "total_usd_per_1000": total_usd(training_usd, counted, asked.predictions) * THOUSAND,
        "api_usd_per_1000": hosted * THOUSAND,
        "break_even_predictions": even,
        "break_even_reason": "" if even is not None else "never: each prediction of your own costs at least as much",
        **over_time(training_usd, counted, hosted, asked.predictions, asked.war),
    }
