"""What build-or-buy is asked: a hosted model on some terms, for so many predictions of so many tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from tracker.pricing.llm_api import ApiPrice, PredictionTokens
from tracker.report.price_war import PriceWar

THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class ApiTerms:
    """On what terms the hosted model is asked: in ``batch`` processing, with a ``cached_prompt``."""

    batch: bool = False
    cached_prompt: bool = False

    @property
    def words(self) -> str:
        """The terms in words."""
        return " and ".join(["batch"] * self.batch + ["cached prompt"] * self.cached_prompt) or "list price"


@dataclass(frozen=True, slots=True)
class Asked:
    """``predictions`` of ``tokens`` each by the hosted model at the price ``api``, which changes as ``war`` says.

    ``predictions`` is the N that training is spread over; ``as_of`` the day that the hosted model is priced on, None
    for now; ``alternatives`` its prices on other terms, None where they are not known; ``remarks`` are more notes.
    """

    api: ApiPrice
    tokens: PredictionTokens
    predictions: float
    war: PriceWar
    as_of: date | None = None
    alternatives: Mapping[ApiTerms, ApiPrice | None] = field(default_factory=dict)
    remarks: Sequence[str] = ()
