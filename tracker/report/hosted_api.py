"""Collects the inputs of build-or-buy: the study's table, its tokens, the hosted model's price."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from tracker.engine.forkserver import Forkserver
from tracker.errors import RequestError, StoreError, StudyNotFoundError
from tracker.pricing.llm_api import PredictionTokens, api_price, check_tokens
from tracker.report.build_or_buy import build_or_buy_document, check_predictions
from tracker.runner.study_lookup import folder_of, table_of
from tracker.store.home import Home
from tracker.training.tokens import measure_tokens

DEFAULT_PREDICTIONS = 1_000_000


def build_or_buy(
    name: str,
    home: Home,
    model: str,
    *,
    predictions: float = DEFAULT_PREDICTIONS,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    prompt_tokens: float | None = None,
    as_of: date | None = None,
) -> dict[str, Any]:
    """The models of study ``name`` against the hosted ``model`` ("provider:model"); see build_or_buy_document.

    Missing token counts are measured on the study's own texts, in a child process; missing ``prompt_tokens`` are taken
    as 0. With ``input_tokens`` nothing is measured, and ``output_tokens`` is required. ``as_of`` prices the hosted
    model on that day, at noon UTC. Raises RequestError where there is no answer (including PriceBookError,
    StudyNotFoundError and DataError), WorkFailedError.
    """
    check_predictions(predictions)
    given = {"input tokens": input_tokens, "output tokens": output_tokens, "prompt tokens": prompt_tokens}
    for what, count in given.items():
        if count is not None:
            check_tokens(what, count)
    table = table_of(home, name)
    on = datetime.combine(as_of, time(12), tzinfo=UTC) if as_of else None
    api_price(model, 0.0, 0.0, on)  # fail for an unknown model before texts are read
    tokens = _tokens(name, home, input_tokens, output_tokens, prompt_tokens)
    price = api_price(model, tokens.read, tokens.output_tokens, on)
    return build_or_buy_document(table, price, tokens, predictions, as_of.isoformat() if as_of else None)


def _tokens(
    name: str, home: Home, input_tokens: float | None, output_tokens: float | None, prompt_tokens: float | None
) -> PredictionTokens:
    if input_tokens is None:
        tokens = _measured(name, home)
        if output_tokens is not None:
            tokens = replace(tokens, output_tokens=output_tokens, output_source="given")
    elif output_tokens is None:
        raise RequestError(
            "with input tokens given, answers are not measured; give output tokens too (--output-tokens)"
        )
    else:
        tokens = PredictionTokens(input_tokens, output_tokens)
    if prompt_tokens is not None:
        tokens = replace(tokens, prompt_tokens=prompt_tokens, prompt_source="given")
    return tokens


def _measured(name: str, home: Home) -> PredictionTokens:
    try:
        folder = folder_of(home, name)
        document, card = folder.document(), folder.data_card()
    except (StudyNotFoundError, StoreError) as error:
        raise RequestError(f"{error}; give the number of tokens per text instead (--input-tokens)") from None
    workload, content = document.workload or "", document.content
    return Forkserver(workload).call(
        measure_tokens, workload, content.get("data", {}), content.get("settings", {}), home.cache, card.fingerprint
    )
