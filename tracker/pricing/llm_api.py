"""The price of a prediction by a hosted language model, from the prices that the package genai-prices ships.

The package is an optional extra and is imported only when a price is asked for. It reads the prices that are
installed with it: nothing is fetched.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from tracker.errors import PriceBookError, RequestError, did_you_mean

EXTRA = "pip install 'cost-quality-tracker[llm]'"
"""How the optional packages of this comparison are installed."""
READ_SHARE = 0.75
"""Of the tokens that a model's one price is for: three read for each one written."""


@dataclass(frozen=True, slots=True)
class PredictionTokens:
    """The tokens of one prediction, on average over texts that were counted, or as somebody gave them.

    ``input_tokens`` are those of the text, ``output_tokens`` those of the answer, ``prompt_tokens`` what is
    written before each text. Each source is "measured", "given" or "assumed". ``tokenizer``, ``texts`` (how many
    were counted) and ``split`` are empty where nothing was measured.
    """

    input_tokens: float
    output_tokens: float
    prompt_tokens: float = 0.0
    input_source: str = "given"
    output_source: str = "given"
    prompt_source: str = "assumed"
    tokenizer: str = ""
    texts: int = 0
    split: str = ""

    @property
    def read(self) -> float:
        """All that the language model reads for one prediction."""
        return self.prompt_tokens + self.input_tokens


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """The list price of one prediction in USD, and what the package says of where it is from.

    ``usd_per_prediction`` is the whole, a charge for each request included. The rates per million tokens are None
    where there are no such tokens to price. ``charges_output`` is False where the model has no price for output.
    ``effective_from`` and ``effective_to`` are the ISO dates that the price began on and that the next one begins
    on, None where the package gives none; ``by_hour`` is True where the price changes with the hour of the day.
    ``batch`` is True for the price of batch processing; ``cached_tokens`` of those read are priced as read from the
    prompt cache, at ``usd_per_million_cached``. ``usd_per_million`` is the list price of a million tokens of which
    READ_SHARE are read, in requests of the usual length.
    """

    model: str
    provider: str
    usd_per_prediction: float
    usd_input: float
    usd_output: float
    usd_per_million_input: float | None
    usd_per_million_output: float | None
    charges_output: bool
    source: str
    effective_from: str | None
    effective_to: str | None
    by_hour: bool
    package: str
    batch: bool = False
    cached_tokens: float = 0.0
    usd_per_million_cached: float | None = None
    usd_per_million: float = 0.0

    @property
    def name(self) -> str:
        """The model as it can be asked for again: "provider:model"."""
        return f"{self.provider}:{self.model}"


def api_price(
    model: str,
    input_tokens: float,
    output_tokens: float,
    on: datetime | None = None,
    *,
    batch: bool = False,
    cached_tokens: float = 0.0,
) -> ApiPrice:
    """The price of one prediction by ``model`` that reads and writes this many tokens, at the time ``on`` or now.

    ``model`` is "provider:model", or a model alone where its name tells the provider; a time without a zone is
    UTC. ``batch`` asks for the price of batch processing; ``cached_tokens`` of the input are read from the prompt
    cache (writing it once is left out, and so are service tiers). Raises PriceBookError where genai-prices is not
    installed, does not know the model or has no such price of its tokens, RequestError for tokens that are no count.
    """
    check_tokens("input tokens", input_tokens)
    check_tokens("output tokens", output_tokens)
    check_tokens("cached tokens", cached_tokens)
    package = price_package()
    provider_id, reference = _split(model, package)
    usage = package.Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens)
    asked = partial(package.calc_price, usage, reference, provider_id=provider_id, genai_request_timestamp=on)
    try:
        listed = asked()
    except LookupError:
        raise PriceBookError(_unknown(model, provider_id, reference, package)) from None
    priced = asked(price_context={"processing": "batch"}) if batch else listed
    rates, usual, name = priced.model_price, listed.model_price, f"{priced.provider.id}:{priced.model.id}"
    if batch and rates == usual:
        raise PriceBookError(f"genai-prices has no batch price of {name}; allowed: ask without it")
    if cached_tokens and rates.cache_read_mtok is None:
        raise PriceBookError(f"genai-prices has no price of cached tokens of {name}; allowed: ask without it")
    if rates.input_mtok is None and rates.output_mtok is None:
        raise PriceBookError(f"genai-prices has no price of the tokens of {name}")
    began, ends, by_hour = _validity(priced.model.prices, usual)
    cached, uncached = (_rate(rates.cache_read_mtok) or 0.0) * cached_tokens / 1e6, input_tokens - cached_tokens
    return ApiPrice(
        model=str(priced.model.id),
        provider=str(priced.provider.id),
        usd_per_prediction=float(priced.total_price),
        usd_input=float(priced.input_price),
        usd_output=float(priced.output_price),
        usd_per_million_input=_per_million(rates.input_mtok, float(priced.input_price) - cached, uncached),
        usd_per_million_output=_per_million(rates.output_mtok, float(priced.output_price), output_tokens),
        charges_output=rates.output_mtok is not None,
        source=str((priced.provider.pricing_urls or [""])[0]),
        effective_from=began.isoformat() if began else None,
        effective_to=ends.isoformat() if ends else None,
        by_hour=by_hour,
        package=f"genai-prices {package.__version__}",
        batch=batch,
        cached_tokens=cached_tokens,
        usd_per_million_cached=_rate(rates.cache_read_mtok) if cached_tokens else None,
        usd_per_million=blended_usd(_rate(usual.input_mtok) or 0.0, _rate(usual.output_mtok) or 0.0),
    )


def check_tokens(what: str, count: float) -> float:
    """``count``, where it can be a mean of token counts. Raises RequestError."""
    if not (math.isfinite(count) and count >= 0):
        raise RequestError(f"{what}: {count} is not a finite number of at least 0")
    return count


def price_package() -> Any:
    """The package genai-prices. Raises PriceBookError where it is not installed."""
    try:
        return importlib.import_module("genai_prices")
    except ImportError:
        raise PriceBookError(f"genai-prices is not installed; {EXTRA}") from None


def providers_of(package: Any) -> dict[str, Any]:
    """Its providers by their ids, each with its models."""
    snapshot = importlib.import_module(f"{package.__name__}.data_snapshot").get_snapshot()
    return {provider.id: provider for provider in snapshot.providers}


def _split(model: str, package: Any) -> tuple[str | None, str]:
    """Provider and model; the provider is None where none is named, for a model's own name may hold a colon."""
    provider_id, _, reference = model.partition(":")
    return (provider_id, reference) if provider_id in providers_of(package) else (None, model)


def _unknown(model: str, provider_id: str | None, reference: str, package: Any) -> str:
    providers = providers_of(package)
    if provider_id is not None:
        names = [each.id for each in providers[provider_id].models]
        return f"genai-prices knows no model '{reference}' of {provider_id}; {did_you_mean(reference, names)}"
    named, colon, _ = model.partition(":")
    if colon and not any(each.id == model for provider in providers.values() for each in provider.models):
        return f"genai-prices knows no provider '{named}'; {did_you_mean(named, providers)}"
    names = [f"{provider.id}:{each.id}" for provider in providers.values() for each in provider.models]
    return f"genai-prices knows no model '{model}'; {did_you_mean(model, names)}"


def _validity(prices: Any, rates: Any) -> tuple[date | None, date | None, bool]:
    """When ``rates`` began, when the model's next price begins, and whether its prices change with the hour."""
    conditional = prices if isinstance(prices, list) else []  # of a model with one price for all times
    began = next((getattr(each.constraint, "start_date", None) for each in conditional if each.prices is rates), None)
    starts: list[date] = [each.constraint.start_date for each in conditional if hasattr(each.constraint, "start_date")]
    later = [start for start in starts if began is None or start > began]
    return began, min(later, default=None), any(hasattr(each.constraint, "start_time") for each in conditional)


def blended_usd(input_usd: float, output_usd: float) -> float:
    """The price of a million tokens, READ_SHARE of them read, from the rates of a million of either."""
    return READ_SHARE * input_usd + (1 - READ_SHARE) * output_usd


def _rate(rate: Any) -> float | None:
    """USD a million tokens, in a request of the usual length where it depends on that."""
    usual = getattr(rate, "base", rate)
    return None if usual is None else float(usual)


def _per_million(rate: Any, usd: float, tokens: float) -> float | None:
    """What was charged, rather than the rate itself: that may depend on the length of the request."""
    return usd / tokens * 1e6 if rate is not None and tokens else None
