"""What a study tells while it runs, for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tracker.pricing.money_unit import DOLLARS, MoneyUnit
from tracker.records import QualityMetric, TrialState


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt under way: where it is and what it has cost so far."""

    label: str
    epoch: int
    quality: float | None
    price_usd: float


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that has ended: how, what it reached and what it cost."""

    label: str
    state: TrialState
    quality: float | None
    price_usd: float
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A study at one moment. ``seconds_left`` is an estimate from what was used so far; None before one.

    ``trials`` counts those under way too; ``best_label`` is the run that reached ``best_quality``. ``counted`` is what
    ``trials`` and ``trials_budget`` count; ``unit`` is the one that suits the prices so far.
    """

    study: str
    quality: QualityMetric
    spend_usd: float = 0.0
    budget_usd: float | None = None
    trials: Mapping[TrialState, int] = field(default_factory=dict)
    trials_budget: int | None = None
    best_quality: float | None = None
    best_price_usd: float | None = None
    best_label: str = ""
    running: tuple[RunningAttempt, ...] = ()
    seconds_left: float | None = None
    counted: str = "trials"
    unit: MoneyUnit = DOLLARS


class Observer(Protocol):
    """Shows a study's progress; called from the coordinator's loop, so it must be quick."""

    def say(self, message: str) -> None:
        """A sentence that stays."""
        ...

    def ended(self, attempt: EndedAttempt) -> None:
        """An attempt has ended."""
        ...

    def show(self, progress: Progress) -> None:
        """The latest state, several times a second."""
        ...


class Silent:
    """Shows nothing: a study run as a library."""

    def say(self, message: str) -> None:
        """Nothing."""

    def ended(self, attempt: EndedAttempt) -> None:
        """Nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""
