"""The price of a prediction by a hosted language model, from the prices that the package genai-prices ships.

The package is an optional extra and is imported only when a price is asked for. It reads the prices that are
installed with it: nothing is fetched.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from tracker.errors import PriceBookError, RequestError, did_you_mean

EXTRA = "pip install 'cost-quality-tracker[llm]'"
"""How the optional packages of this comparison are installed."""


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

    @property
    def name(self) -> str:
        """The model as it can be asked for again: "provider:model"."""
        return f"{self.provider}:{self.model}"


def api_price(model: str, input_tokens: float, output_tokens: float, on: datetime | None = None) -> ApiPrice:
    """The price of one prediction by ``model`` that reads and writes this many tokens, at the time ``on`` or now.

    ``model`` is "provider:model", or a model alone where its name tells the provider; a time without a zone is
    UTC. Batch discounts, cached input and service tiers are left out. Raises PriceBookError where genai-prices is
    not installed, does not know the model or has no price of its tokens, RequestError for tokens that are no count.
    """
    check_tokens("input tokens", input_tokens)
    check_tokens("output tokens", output_tokens)
    package = _package()
    provider_id, reference = _split(model, package)
    usage = package.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        priced = package.calc_price(usage, reference, provider_id=provider_id, genai_request_timestamp=on)
    except LookupError:
        raise PriceBookError(_unknown(model, provider_id, reference, package)) from None
    rates = priced.model_price
    if rates.input_mtok is None and rates.output_mtok is None:
        raise PriceBookError(f"genai-prices has no price of the tokens of {priced.provider.id}:{priced.model.id}")
    began, ends, by_hour = _validity(priced.model.prices, rates)
    return ApiPrice(
        model=str(priced.model.id),
        provider=str(priced.provider.id),
        usd_per_prediction=float(priced.total_price),
        usd_input=float(priced.input_price),
        usd_output=float(priced.output_price),
        usd_per_million_input=_per_million(rates.input_mtok, float(priced.input_price), input_tokens),
        usd_per_million_output=_per_million(rates.output_mtok, float(priced.output_price), output_tokens),
        charges_output=rates.output_mtok is not None,
        source=str((priced.provider.pricing_urls or [""])[0]),
        effective_from=began.isoformat() if began else None,
        effective_to=ends.isoformat() if ends else None,
        by_hour=by_hour,
        package=f"genai-prices {package.__version__}",
    )


def check_tokens(what: str, count: float) -> float:
    """``count``, where it can be a mean of token counts. Raises RequestError."""
    if not (math.isfinite(count) and count >= 0):
        raise RequestError(f"{what}: {count} is not a finite number of at least 0")
    return count


def _package() -> Any:
    try:
        return importlib.import_module("genai_prices")
    except ImportError:
        raise PriceBookError(f"genai-prices is not installed; {EXTRA}") from None


def _providers(package: Any) -> dict[str, Any]:
    snapshot = importlib.import_module(f"{package.__name__}.data_snapshot").get_snapshot()
    return {provider.id: provider for provider in snapshot.providers}


def _split(model: str, package: Any) -> tuple[str | None, str]:
    """Provider and model; the provider is None where none is named, for a model's own name may hold a colon."""
    provider_id, _, reference = model.partition(":")
    return (provider_id, reference) if provider_id in _providers(package) else (None, model)


def _unknown(model: str, provider_id: str | None, reference: str, package: Any) -> str:
    providers = _providers(package)
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


def _per_million(rate: Any, usd: float, tokens: float) -> float | None:
    """What was charged, rather than the rate itself: that may depend on the length of the request."""
    return usd / tokens * 1e6 if rate is not None and tokens else None
