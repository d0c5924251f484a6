"""How far a running study is, and how long it will still take at its pace."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tracker.engine.engine import Attempt
from tracker.pricing.money_unit import money_unit
from tracker.records import TrialState
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.progress import Progress, RunningAttempt
from tracker.runner.session import Session


class Pace:
    """What a study has used since it was started or resumed; ``worked_seconds`` is how long it worked before."""

    def __init__(self, books: Bookkeeper, worked_seconds: float) -> None:
        self._books = books
        self._started = time.monotonic()
        self._worked_before = worked_seconds
        self._spend_before_usd = books.ledger.spend_usd

    @property
    def worked_seconds(self) -> float:
        """How long the study has worked in all."""
        return self._worked_before + time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """The seconds left by dollars and by trials, each at the pace so far, and by wall time; the least of them."""
        ledger, elapsed = self._books.ledger, time.monotonic() - self._started
        estimates = []
        spent_usd = ledger.spend_usd - self._spend_before_usd
        if ledger.budget.usd is not None and spent_usd > 0:
            estimates.append(elapsed * max(0.0, ledger.budget.usd - ledger.spend_usd) / spent_usd)
        done = sum(count for state, count in self._books.states.items() if state is not TrialState.RUNNING)
        if ledger.budget.trials is not None and done:
            estimates.append(elapsed * max(0, ledger.budget.trials - done) / done)
        if ledger.budget.wall_seconds is not None:
            estimates.append(max(0.0, ledger.budget.wall_seconds - self.worked_seconds))
        return min(estimates, default=None)


def study_progress(session: Session, pace: Pace, running: Sequence[Attempt]) -> Progress:
    """A study's progress at this moment, ``running`` the attempts that run."""
    books = session.books
    best_label, best = books.frontier.best or ("", None)
    return Progress(
        study=session.name,
        quality=books.quality,
        spend_usd=books.ledger.spend_usd,
        budget_usd=books.ledger.budget.usd,
        trials=+books.states,
        trials_budget=books.ledger.budget.trials,
        best_quality=best[0] if best else None,
        best_price_usd=best[1] if best else None,
        best_label=best_label,
        running=running_attempts(session, running),
        seconds_left=pace.seconds_left,
        unit=money_unit(books.frontier.cheapest_usd),
        behind=books.delivery.behind,
    )


def running_attempts(session: Session, running: Sequence[Attempt]) -> tuple[RunningAttempt, ...]:
    """The attempts that run, each with its last checkpoint and its cost so far."""
    return tuple(_running(session, attempt) for attempt in running)


def _running(session: Session, attempt: Attempt) -> RunningAttempt:
    label, record = attempt.request.label, attempt.record
    last = record.checkpoints[-1] if record.checkpoints else None
    quality = last.metrics[session.books.quality.name] if last else None
    return RunningAttempt(label, last.epoch if last else 0, quality, session.books.ledger.of(label))
