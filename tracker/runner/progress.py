"""The progress of a running study, for displays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tracker.pricing.money_unit import DOLLARS, MoneyUnit
from tracker.records import Behind, QualityMetric, TrialState


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """A running attempt: its epoch and its cost so far."""

    label: str
    epoch: int
    quality: float | None
    price_usd: float


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that has ended: its state, quality and cost."""

    label: str
    state: TrialState
    quality: float | None
    price_usd: float
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A study at one moment. ``seconds_left`` is an estimate from what was used so far; None before there is one.
    ``trials`` includes running ones; ``best_label`` is the run that reached ``best_quality``. ``counted`` names what
    ``trials`` and ``trials_budget`` count; ``unit`` is the money unit that suits the prices so far; ``behind`` is how
    far MLflow is behind.
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
    behind: Behind | None = None


class Observer(Protocol):
    """Shows a study's progress; called from the coordinator's loop, so it must be quick."""

    def notify(self, message: str) -> None:
        """Show a message that stays."""
        ...

    def ended(self, attempt: EndedAttempt) -> None:
        """Show that an attempt has ended."""
        ...

    def show(self, progress: Progress) -> None:
        """Show the latest progress, several times a second."""
        ...


class Silent:
    """Shows nothing: for a study that is run as a library."""

    def notify(self, message: str) -> None:
        """Nothing."""

    def ended(self, attempt: EndedAttempt) -> None:
        """Nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""
