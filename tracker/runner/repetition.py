"""The loop that trains repeats: launch → follow → price → log, until all are done or their budget is spent."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.engine.local import Attempt, LocalEngine
from tracker.pricing.money_unit import money_unit
from tracker.records import AttemptRecord, DataCard, TrialState
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.coordinator import FLUSH_SECONDS, POLL_SECONDS
from tracker.runner.interrupts import Interrupts
from tracker.runner.jobs import Job, attempt_request
from tracker.runner.plan import StudyPlan
from tracker.runner.progress import EndedAttempt, Observer, Progress, RunningAttempt


@dataclass(frozen=True, slots=True)
class Order:
    """A repeat to train, and its expected cost in USD: what its trial cost until the same epoch."""

    job: Job
    expected_usd: float


class Repetition:
    """Trains repeats of a study whose accounts are open and whose lock is held.

    ``earlier`` are the labels of the repeats already in the accounts; ``budget_usd`` is for all repeats together, None
    for no limit. ``trials_folder`` holds one folder per job.
    """

    def __init__(
        self,
        plan: StudyPlan,
        engine: LocalEngine,
        books: Bookkeeper,
        observer: Observer,
        orders: Sequence[Order],
        *,
        earlier: Sequence[str],
        budget_usd: float | None,
        trials_folder: Path,
        cache: Path,
        data_card: DataCard,
        tracking_uri: str,
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._books = books
        self._observer = observer
        self._unit = money_unit([order.expected_usd for order in orders])
        self._waiting = list(orders)
        self._budget_usd = budget_usd
        self._trials_folder = trials_folder
        self._cache = cache
        self._data_card = data_card
        self._tracking_uri = tracking_uri
        self._labels = list(earlier)
        self._asked = len(orders)
        self._running: dict[str, Order] = {}
        self._states: Counter[TrialState] = Counter()
        self._interrupts = Interrupts(engine)
        self._over = False
        """Whether repeats were stopped because their budget was spent."""
        self._flushed = time.monotonic()

    def run(self) -> TrialState:
        """Run until nothing more may start (completed) or someone stops it (stopped); leaves no worker behind."""
        self._announce()
        with self._interrupts, self._engine:
            while True:
                self._launch()
                if not self._running and self._next() is None:
                    break
                self._step()  # with nothing running, another study has the cores: wait for them
        state = TrialState.STOPPED if self._interrupts.reason else TrialState.COMPLETED
        self._observer.show(self._progress())
        self._observer.notify(f"{state}: {self._summary()}")
        if not self._books.enter_spend(time.time()):
            again = f"`tracker confirm {self._plan.spec.name}`"
            self._observer.notify(f"not everything is in MLflow yet: {again} logs the rest")
        return state

    @property
    def _spend_usd(self) -> float:
        """The cost of all repeats of the study so far."""
        return sum(map(self._books.ledger.of, self._labels))

    def _announce(self) -> None:
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

    def _next(self) -> Order | None:
        """The first repeat that may start; None where all have started, or none left fits the budget."""
        if self._interrupts.reason or self._over:
            return None
        if self._budget_usd is None:
            return next(iter(self._waiting), None)
        running = self._running.items()
        promised = sum(max(0.0, order.expected_usd - self._books.ledger.of(label)) for label, order in running)
        left_usd = self._budget_usd - self._spend_usd - promised
        return next((order for order in self._waiting if order.expected_usd <= left_usd), None)

    def _launch(self) -> None:
        """Start the repeats that fit, in order, when their cores, or their GPU, are free."""
        while (order := self._next()) is not None:
            job = order.job
            reservation = self._engine.reserve(job.threads, job.accelerators)
            if reservation is None:
                return
            self._waiting.remove(order)
            self._running[job.label] = order
            self._labels.append(job.label)
            request = attempt_request(
                job,
                reservation,
                self._plan,
                self._trials_folder,
                self._cache,
                self._data_card,
                tracking_uri=self._tracking_uri,
            )
            self._engine.start(request, reservation)
            self._books.open(job, request.price_point, request.price_book, request.asked_at, user=request.user)

    def _step(self) -> None:
        ended = self._engine.poll(POLL_SECONDS)
        for attempt in self._engine.running:
            self._books.follow(attempt.request.label, attempt.record, attempt.wall_seconds)
        for attempt in ended:
            self._end(attempt)
        self._over |= self._spent
        if self._interrupts.reason or self._over:
            self._engine.pause_all("interrupted" if self._interrupts.reason else "budget")  # stateless: they stop
        if ended or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._books.flush()
            self._flushed = time.monotonic()
        self._observer.show(self._progress())

    @property
    def _spent(self) -> bool:
        """Whether the budget would be exceeded before the next poll."""
        if self._budget_usd is None:
            return False
        ledger = self._books.ledger
        usd_per_second = sum(ledger.of(each.request.label) / each.wall_seconds for each in self._engine.running)
        return self._spend_usd + usd_per_second * POLL_SECONDS >= self._budget_usd

    def _end(self, attempt: Attempt) -> None:
        label, record = attempt.request.label, attempt.record
        del self._running[label]
        self._states[record.state] += 1
        self._books.close(label, record)
        price_usd = self._books.ledger.of(label)
        shutil.rmtree(attempt.request.artifacts, ignore_errors=True)  # the frontier keeps its trials' models
        self._observer.ended(EndedAttempt(label, record.state, self._reached(record), price_usd, record.message))

    def _summary(self) -> str:
        failed = self._states[TrialState.FAILED] + self._states[TrialState.KILLED]
        parts = [f"{self._states[TrialState.COMPLETED]} of {_several(self._asked, 'repeat')} done"]
        if failed:
            parts.append(f"{failed} failed or died: they were paid for, and are no evidence")
        if self._interrupts.reason:
            parts.append(self._interrupts.reason)
        elif self._waiting or (self._over and self._states[TrialState.STOPPED]):
            stopped = f"{self._states[TrialState.STOPPED]} stopped and " if self._over else ""
            parts.append(f"{stopped}{len(self._waiting)} not started for the ${self._budget_usd:g} that all may cost")
        parts.append(f"all repeats of the study have cost ${self._spend_usd:,.4g}")
        return "; ".join(parts)

    def _progress(self) -> Progress:
        return Progress(
            study=self._plan.spec.name,
            quality=self._books.quality,
            spend_usd=self._spend_usd,
            budget_usd=self._budget_usd,
            trials=self._states + Counter({TrialState.RUNNING: len(self._running)}),
            trials_budget=self._asked,
            running=tuple(self._progress_of(attempt) for attempt in self._engine.running),
            counted="repeats",
            unit=self._unit,
        )

    def _progress_of(self, attempt: Attempt) -> RunningAttempt:
        label, record = attempt.request.label, attempt.record
        epoch = record.checkpoints[-1].epoch if record.checkpoints else 0
        return RunningAttempt(label, epoch, self._reached(record), self._books.ledger.of(label))

    def _reached(self, record: AttemptRecord) -> float | None:
        return record.checkpoints[-1].metrics[self._books.quality.name] if record.checkpoints else None


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
