"""The work of repeats: trials of the frontier trained again with other seeds, until their budget is spent."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tracker.engine.engine import Attempt, Engine
from tracker.engine.node import Kind
from tracker.pricing.money_unit import money_unit
from tracker.records import AttemptRecord, TrialState
from tracker.runner.account import named_together
from tracker.runner.coordinator import POLL_SECONDS, Work
from tracker.runner.job import Job
from tracker.runner.progress import EndedAttempt, Progress
from tracker.runner.session import Session
from tracker.runner.study_progress import running_attempts
from tracker.training.request import AttemptRequest


@dataclass(frozen=True, slots=True)
class Order:
    """A repeat to train, and its expected cost in USD: what its trial cost until the same epoch."""

    job: Job
    expected_usd: float


class RepeatWork(Work):
    """The work of training repeats of a study whose accounts are open.

    ``earlier`` are the labels of the repeats already in the accounts; ``budget_usd`` is for all repeats together, None
    for no limit.
    """

    def __init__(
        self,
        session: Session,
        engine: Engine,
        orders: Sequence[Order],
        *,
        earlier: Sequence[str],
        budget_usd: float | None,
    ) -> None:
        self._session = session
        self._engine = engine
        self._books = session.books
        self._observer = session.observer
        self._unit = money_unit([order.expected_usd for order in orders])
        self._waiting = list(orders)
        self._budget_usd = budget_usd
        self._labels = list(earlier)
        self._asked = len(orders)
        self._running: dict[str, Order] = {}
        self._states: Counter[TrialState] = Counter()
        self._over = False
        """Whether repeats were stopped because their budget was spent."""

    def finish(self, interrupted: str) -> bool:
        """Enter what was spent, and say how it ended; ``interrupted`` is why, "" where nobody did.

        False where MLflow did not accept everything.
        """
        state = TrialState.STOPPED if interrupted else TrialState.COMPLETED
        self._observer.show(self._progress())
        self._observer.notify(f"{state}: {self._summary(interrupted)}")
        return self._books.enter_spend(time.time())

    @property
    def _spend_usd(self) -> float:
        """The cost of all repeats of the study so far."""
        return sum(map(self._books.ledger.of, self._labels))

    def announce(self) -> None:
        """Say what is to be trained, and what it is expected to cost."""
        if not self._waiting:
            self._observer.notify("every trial on the frontier has its repeats; raise --seeds to add more")
            return
        trials = len({order.job.repeats for order in self._waiting})
        expected_usd = sum(order.expected_usd for order in self._waiting)
        ordered = f"{_several(self._asked, 'repeat')} of {_several(trials, 'trial')} on the frontier"
        self._observer.notify(
            f"{ordered}: expected to cost ${expected_usd:,.4g}, which is what their trials cost until then;"
            " baselines are not repeated"
        )
        if self._budget_usd is not None:
            spent = f", ${self._spend_usd:,.4g} of it spent" if self._labels else ""
            self._observer.notify(f"all repeats may cost ${self._budget_usd:g}{spent}")

    @property
    def closed(self) -> str:
        """Why nothing more may start; "" while something may."""
        return "the budget for repeats is spent" if self._over else ""

    def _next(self, lacking: Collection[Kind]) -> Order | None:
        """The first repeat that may start; None where all have started, or none left fits the budget."""
        waiting = [order for order in self._waiting if order.job.needs.kind not in lacking]
        if self._budget_usd is None:
            return next(iter(waiting), None)
        running = self._running.items()
        promised = sum(max(0.0, order.expected_usd - self._books.ledger.of(label)) for label, order in running)
        left_usd = self._budget_usd - self._spend_usd - promised
        return next((order for order in waiting if order.expected_usd <= left_usd), None)

    def next_job(self, lacking: Collection[Kind] = ()) -> Job | None:
        """The first repeat that may start."""
        order = self._next(lacking)
        return order.job if order is not None else None

    def started(self, job: Job, request: AttemptRequest) -> None:
        """Open its account."""
        order = next(order for order in self._waiting if order.job is job)
        self._waiting.remove(order)
        self._running[job.label] = order
        self._labels.append(job.label)
        node = named_together(request.nodes)
        self._books.open(job, request.price_point, request.price_book, request.asked_at, user=request.user, node=node)

    def followed(self, job: Job, attempt: Attempt) -> None:
        """Price what it has used."""
        self._books.follow(job.label, attempt.record, attempt.wall_seconds)

    @property
    def pause_reason(self) -> str:
        """Repeats save no state: they stop where the budget is spent."""
        self._over |= self._spent
        return "budget" if self._over else ""

    def tick(self) -> None:
        """Show how far it is."""
        self._books.watch_delivery()
        self._observer.show(self._progress())

    @property
    def _spent(self) -> bool:
        """Whether the budget would be exceeded before the next poll."""
        if self._budget_usd is None:
            return False
        ledger = self._books.ledger
        usd_per_second = sum(ledger.of(each.request.label) / each.wall_seconds for each in self._engine.running)
        return self._spend_usd + usd_per_second * POLL_SECONDS >= self._budget_usd

    def ended(self, job: Job, attempt: Attempt) -> None:
        """Enter its spend."""
        label, record = job.label, attempt.record
        del self._running[label]
        self._states[record.state] += 1
        self._books.close(label, record)
        price_usd = self._books.ledger.of(label)
        shutil.rmtree(attempt.request.artifacts, ignore_errors=True)  # the frontier keeps its trials' models
        self._observer.ended(EndedAttempt(label, record.state, self._reached(record), price_usd, record.message))

    def _summary(self, interrupted: str) -> str:
        failed = self._states[TrialState.FAILED] + self._states[TrialState.KILLED]
        parts = [f"{self._states[TrialState.COMPLETED]} of {_several(self._asked, 'repeat')} done"]
        if failed:
            parts.append(f"{failed} failed or died: they were paid for, and are no evidence")
        if interrupted:
            parts.append(interrupted)
        elif self._waiting or (self._over and self._states[TrialState.STOPPED]):
            stopped = f"{self._states[TrialState.STOPPED]} stopped and " if self._over else ""
            parts.append(f"{stopped}{len(self._waiting)} not started for the ${self._budget_usd:g} that all may cost")
        parts.append(f"all repeats of the study have cost ${self._spend_usd:,.4g}")
        return "; ".join(parts)

    def _progress(self) -> Progress:
        return Progress(
            study=self._session.name,
            quality=self._books.quality,
            spend_usd=self._spend_usd,
            budget_usd=self._budget_usd,
            trials=self._states + Counter({TrialState.RUNNING: len(self._running)}),
            trials_budget=self._asked,
            running=running_attempts(self._session, self._engine.running),
            counted="repeats",
            unit=self._unit,
            behind=self._books.delivery.behind,
        )

    def _reached(self, record: AttemptRecord) -> float | None:
        return record.checkpoints[-1].metrics[self._books.quality.name] if record.checkpoints else None


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
