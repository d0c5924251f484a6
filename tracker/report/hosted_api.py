"""Collects the inputs of build-or-buy: the study's table, its tokens, the hosted model's price."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from datetime import UTC, date, datetime, time
from itertools import product, starmap
from typing import Any

from tracker.engine.forkserver import Forkserver
from tracker.errors import PriceBookError, RequestError, StoreError, StudyNotFoundError
from tracker.pricing.currency import USD
from tracker.pricing.llm_api import ApiPrice, PredictionTokens, api_price, check_tokens
from tracker.pricing.llm_decline import LEAST_DAYS, band_of, fitted_decline, price_histories
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.report.asked import ApiTerms, Asked
from tracker.report.build_or_buy import build_or_buy_document, check_predictions
from tracker.report.price_war import PriceWar, rate_of
from tracker.report.repricing import priced_study_table
from tracker.report.words import several
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.training.tokens import measure_tokens

DEFAULT_PREDICTIONS = 1_000_000
DEFAULT_MONTHS = 12.0


def build_or_buy(
    name: str,
    home: Home,
    model: str,
    *,
    predictions: float = DEFAULT_PREDICTIONS,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    prompt_tokens: float | None = None,
    batch: bool = False,
    cached_prompt: bool = False,
    months: float = DEFAULT_MONTHS,
    decline: float | None = None,
    scenario: Scenario = AS_BILLED,
    currency: str = USD.code,
) -> dict[str, Any]:
    """The models of study ``name`` against the hosted ``model`` ("provider:model"); see build_or_buy_document.

    Missing token counts are measured on the study's own texts, in a child process; missing ``prompt_tokens`` are taken
    as 0. With ``input_tokens`` nothing is measured, and ``output_tokens`` is required. ``batch`` takes the hosted
    model's price of batch processing; with ``cached_prompt`` the prompt is read from its cache. The predictions are
    spread over ``months``, while the hosted price falls by ``decline`` a year (a share), that of its class in
    genai-prices unless given (pricing.llm_decline). ``scenario`` prices the study's runs, and on its day, at noon UTC,
    the hosted model; runs without a rate on that day keep theirs, and a note says so. Raises RequestError where there
    is no answer (including PriceBookError, StudyNotFoundError and DataError), WorkFailedError.
    """
    check_predictions(predictions)
    given = {"input tokens": input_tokens, "output tokens": output_tokens, "prompt tokens": prompt_tokens}
    for what, count in given.items():
        if count is not None:
            check_tokens(what, count)
    if cached_prompt and not prompt_tokens:
        raise RequestError("--cached-prompt: there is no prompt to cache; give its tokens (--prompt-tokens)")
    table, remarks = _priced(home, name, scenario, currency)
    on = datetime.combine(scenario.as_of, time(12), tzinfo=UTC) if scenario.as_of else None
    listed = api_price(model, 0.0, 0.0, on)  # fail for an unknown model before texts are read
    war = _war(listed, months, decline, scenario.as_of or datetime.now(UTC).date())
    tokens = _tokens(name, home, input_tokens, output_tokens, prompt_tokens)
    prices = {terms: _price(model, tokens, on, terms) for terms in starmap(ApiTerms, product((False, True), repeat=2))}
    chosen = ApiTerms(batch, cached_prompt)
    price = prices[chosen] or _asked(model, tokens, on, chosen)
    asked = Asked(price, tokens, predictions, war, scenario.as_of, prices, remarks)
    return build_or_buy_document(table, asked)


def _priced(home: Home, name: str, scenario: Scenario, currency: str) -> tuple[StudyTable, tuple[str, ...]]:
    """The study under the scenario; without its day where the runs have no rate then, and a remark that says so."""
    try:
        return priced_study_table(home, name, scenario, currency), ()
    except PriceBookError as error:
        if scenario.as_of is None:
            raise
        table = priced_study_table(home, name, replace(scenario, as_of=None), currency)
        return table, (f"the hosted model alone is priced on {scenario.as_of}, your own runs are not: {error}",)


def _asked(model: str, tokens: PredictionTokens, on: datetime | None, terms: ApiTerms) -> ApiPrice:
    """The price on these terms. Raises PriceBookError where there is none."""
    cached = tokens.prompt_tokens if terms.cached_prompt else 0.0
    return api_price(model, tokens.read, tokens.output_tokens, on, batch=terms.batch, cached_tokens=cached)


def _price(model: str, tokens: PredictionTokens, on: datetime | None, terms: ApiTerms) -> ApiPrice | None:
    """The same; None where there is none, as for a prompt of no tokens."""
    if terms.cached_prompt and not tokens.prompt_tokens:
        return None
    with contextlib.suppress(PriceBookError):
        return _asked(model, tokens, on, terms)
    return None


def _war(listed: ApiPrice, months: float, decline: float | None, day: date) -> PriceWar:
    """How the hosted price is taken to change: as was asked for, or as its class did."""
    if decline is not None:
        rate = rate_of(decline)
        return PriceWar(rate, rate, rate, "an assumption of yours", months, day)
    found = fitted_decline(price_histories(), band_of(listed.usd_per_million), day)
    if not math.isfinite(found.rate):
        return PriceWar(0.0, 0.0, 0.0, "genai-prices has no dated change by then, so it is taken to stay", months, day)
    basis = (
        f"fitted to models at {found.band} a million tokens in genai-prices, {found.since} to {found.until}:"
        f" {found.changes} of {several(found.dated, 'dated change')} count, of {several(found.providers, 'provider')}"
        f" watched for {LEAST_DAYS} days or more, over {found.model_years:.0f} model-years. That newer models do the"
        " same for less is not in it (--decline)"
    )
    return PriceWar(found.rate, found.low, found.high, basis, months, day)


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
