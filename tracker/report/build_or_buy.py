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
from tracker.pricing.llm_api import ApiPrice, PredictionTokens
from tracker.report.plain import plain
from tracker.report.tables import frontier_table, references_table, spend_by_part
from tracker.report.words import usd
from tracker.store.run_table import StudyTable

THOUSAND = 1000


def build_or_buy_document(
    table: StudyTable, api: ApiPrice, tokens: PredictionTokens, predictions: float, as_of: str | None = None
) -> dict[str, Any]:
    """Every frontier point, and every baseline, against the hosted model, as one JSON-safe document.

    ``predictions`` is the N that training is spread over, ``as_of`` the ISO date that the hosted model is priced on,
    None for now. Of each point: ``training_usd`` (including the study's data cost, which every model of your own
    needs), ``own_usd_per_1000`` (its predictions alone; None where their speed was not measured),
    ``total_usd_per_1000`` (with its share of the training), ``api_usd_per_1000``, and ``break_even_predictions``, None
    with a ``break_even_reason`` where there is none. Raises RequestError for an N that is not a number of at least 1,
    and where no trial has reached a checkpoint.
    """
    check_predictions(predictions)
    data_usd = spend_by_part(table)["data"]
    runs = {row["run_id"]: row for row in _runs(table)}
    points = [
        {key: row[key] for key in ("trial", "epoch", "quality")}
        | _compared(row["price_usd"] + data_usd, runs[row["run_id"]], api, predictions)
        for row in frontier_table(table).to_dict("records")
    ]
    if not points:
        raise RequestError(f"study '{table.study}' has no checkpoint yet: there is no model to compare with")
    references = [
        {key: row[key] for key in ("name", "quality")}
        | _compared(row["price_usd"] + data_usd, runs[row["run_id"]], api, predictions)
        for row in references_table(table).to_dict("records")
    ]
    document: dict[str, Any] = plain(
        {
            "study": table.study,
            "quality": {"name": table.quality.name, "direction": str(table.quality.direction)},
            "spend_usd": table.spend_usd,
            "predictions": int(predictions) if float(predictions).is_integer() else predictions,
            "api": {
                **asdict(api),
                "usd_per_1000": api.usd_per_prediction * THOUSAND,
                "as_of": as_of,
                "quality": None,
            },
            "tokens": asdict(tokens),
            "points": points,
            "references": references,
            "notes": _notes(table, api, tokens, [*points, *references], as_of),
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


def _compared(training_usd: float, run: Mapping[Any, Any], api: ApiPrice, predictions: float) -> dict[str, Any]:
    own = own_prediction_usd(run)
    counted = own or 0.0  # the notes mention a missing price per prediction
    even = break_even(training_usd, counted, api.usd_per_prediction)
    return {
        "training_usd": training_usd,
        "own_usd_per_1000": None if own is None else own * THOUSAND,
        "total_usd_per_1000": total_usd(training_usd, counted, predictions) * THOUSAND,
        "api_usd_per_1000": api.usd_per_prediction * THOUSAND,
        "break_even_predictions": even,
        "break_even_reason": "" if even is not None else "never: each prediction of your own costs at least as much",
    }


def _notes(
    table: StudyTable, api: ApiPrice, tokens: PredictionTokens, points: list[dict[str, Any]], as_of: str | None
) -> list[str]:
    """Caveats about the figures, the most important first."""
    return [
        f"THE QUALITY OF {api.name} ON THESE DATA IS UNKNOWN: its answers were not evaluated; only prices are compared",
        *_price_notes(api, as_of),
        *_token_notes(tokens),
        *_own_notes(table, points),
    ]


def _price_notes(api: ApiPrice, as_of: str | None) -> list[str]:
    rates = [
        f"{usd(rate)} a million {direction} tokens"
        for rate, direction in ((api.usd_per_million_input, "input"), (api.usd_per_million_output, "output"))
        if rate is not None
    ]
    since = f"since {api.effective_from}" if api.effective_from else "start date unknown"
    ended = f", until {api.effective_to}" if api.effective_to else ""
    notes = [
        f"{api.name}: {' and '.join(rates) or usd(api.usd_per_prediction)}, the list price by {api.package}"
        f" ({api.source}), {since}{ended}; batch discounts and cached prompts are left out"
    ]
    if as_of and not api.effective_from:
        notes.append(f"{api.package} does not say when this price started, so it may not have applied on {as_of}")
    if api.by_hour:
        at = "12:00 UTC" if as_of else "this hour"
        notes.append(f"the price of {api.name} varies by hour of the day; this is the one at {at}")
    if not api.charges_output:
        notes.append(f"{api.package} has no price for output of {api.name}: its answers are counted as free")
    return notes


def _token_notes(tokens: PredictionTokens) -> list[str]:
    read, written = f"{tokens.input_tokens:,.1f} tokens of text", f"{tokens.output_tokens:,.1f} of answer"
    by = f"; measured on {tokens.texts:,} whole texts of the {tokens.split} split with {tokens.tokenizer}"
    measured = "measured" in (tokens.input_source, tokens.output_source)
    notes = [
        f"a prediction has {read} ({tokens.input_source}) and {written} ({tokens.output_source})"
        + (f"{by}; other models' tokenizers differ" if measured else "")
    ]
    prompt = f"{tokens.prompt_tokens:,.0f} prompt tokens ({tokens.prompt_source}) come before each text"
    if tokens.prompt_source == "assumed":
        prompt += "; an instruction, the list of classes and the chat format would add to that"
    return [*notes, prompt]


def _own_notes(table: StudyTable, points: list[dict[str, Any]]) -> list[str]:
    unmeasured = sum(point["own_usd_per_1000"] is None for point in points)
    notes = []
    if unmeasured < len(points):
        notes.append(
            "your own prediction is priced like its run's evaluation: in batches, on prepared data, on a machine that"
            " is never idle; serving is not in it"
        )
    if unmeasured:
        notes.append(
            f"{unmeasured} of {len(points)} models have no predictions_per_second: only their training is counted,"
            " their predictions as free, so the break-even is a lower bound"
        )
    data_usd = spend_by_part(table)["data"]
    data = f" and the {usd(data_usd)} that the data cost" if data_usd else ""
    notes.append(f"training is that of one model{data}; the whole study cost {usd(table.spend_usd)}")
    return notes
