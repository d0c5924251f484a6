"""The loop of a study: ask → launch → follow → price → log → tell, until the budget is spent."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from tracker.engine.local import Attempt, LocalEngine
from tracker.engine.reservations import Reservation
from tracker.records import DataCard, Role, TrialState
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.interrupts import interrupts
from tracker.runner.jobs import Job, attempt_request, trial
from tracker.runner.plan import StudyPlan
from tracker.runner.progress import EndedAttempt, Observer, Progress, RunningAttempt
from tracker.search.sampler import Search

POLL_SECONDS = 0.5
FLUSH_SECONDS = 5.0


class Coordinator:
    """Runs a study whose folder, databases and data are ready.

    ``waiting`` are the jobs to do before the search is asked for trials; ``trials_folder`` holds one folder
    a job.
    """

    def __init__(
        self,
        plan: StudyPlan,
        engine: LocalEngine,
        search: Search,
        books: Bookkeeper,
        observer: Observer,
        *,
        waiting: list[Job],
        trials_folder: Path,
        cache: Path,
        data_card: DataCard,
        tracking_uri: str,
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._search = search
        self._books = books
        self._observer = observer
        self._waiting = deque(waiting)
        self._trials_folder = trials_folder
        self._cache = cache
        self._data_card = data_card
        self._tracking_uri = tracking_uri
        self._jobs: dict[str, Job] = {}
        self._interrupted = ""
        self._started = time.monotonic()
        self._spend_before_usd = books.ledger.spend_usd
        self._flushed = self._started

    def run(self) -> TrialState:
        """Run until the budget is spent (completed) or someone stops it (stopped); no worker is left then."""
        with interrupts(self._interrupt), self._no_worker_left_behind():
            while True:
                self._launch()
                if not self._engine.running and self._closed():
                    break
                self._step()  # with nothing running, another study has the cores: wait for them
        for job in self._waiting:
            if job.trial is not None and job.attempt == 1:
                self._search.tell(job.trial, TrialState.STOPPED, None, 0.0)
        state = TrialState.STOPPED if self._interrupted else TrialState.COMPLETED
        self._observer.say(f"{state}: {self._closed() or 'nothing left to do'}")
        if not self._books.finish(state, time.time()):
            self._observer.say(
                f"not everything is in MLflow yet: `tracker resume {self._plan.spec.name}` logs the rest"
            )
        return state

    def _closed(self) -> str:
        """Why nothing more may start, "" while something may."""
        running = sum(attempt.request.role is Role.TRIAL for attempt in self._engine.running)
        to_go_on_with = sum(job.attempt > 1 for job in self._waiting)  # counted among those that paused
        closed = self._books.ledger.closed(self._books.states.total() + running - to_go_on_with)
        if not closed and not self._waiting and self._search.exhausted:
            closed = "every combination was tried"
        return self._interrupted or closed

    def _launch(self) -> None:
        """Start what fits: each job when the cores, or the GPU, that it asks for are free."""
        while not self._closed():
            if not self._waiting:
                if not self._engine.has_room:
                    return
                self._waiting.append(trial(self._search.ask(), self._plan.spec))
            job = self._waiting[0]
            reservation = self._engine.reserve(job.threads, job.accelerators)
            if reservation is None:
                return
            self._start(self._waiting.popleft(), reservation)

    def _start(self, job: Job, reservation: Reservation) -> None:
        request = attempt_request(
            job,
            reservation,
            self._plan,
            self._trials_folder,
            self._cache,
            self._data_card,
            tracking_uri=self._tracking_uri,
        )
        self._jobs[job.label] = job
        self._engine.start(request, reservation)
        self._books.open(job, request.price_point, request.price_book, request.asked_at)

    def _step(self) -> None:
        ended = self._engine.poll(POLL_SECONDS)
        for attempt in self._engine.running:
            self._books.follow(attempt.request.label, attempt.record, attempt.wall_seconds)
        for attempt in ended:
            self._end(attempt)
        if self._books.ledger.spent or self._interrupted:
            self._engine.pause_all("interrupted" if self._interrupted else "budget")
        if ended or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._books.flush()
            self._flushed = time.monotonic()
        self._observer.show(self._progress())

    def _end(self, attempt: Attempt) -> None:
        job, record = self._jobs.pop(attempt.request.label), attempt.record
        price_usd = self._books.close(job.label, record)
        quality = record.checkpoints[-1].metrics[self._books.quality.name] if record.checkpoints else None
        if job.trial is not None and record.state is not TrialState.PAUSED:
            self._search.tell(job.trial, record.state, quality, price_usd)
        if record.reason == "out_of_memory":
            self._search.avoid(job.settings)
        self._observer.ended(EndedAttempt(job.label, record.state, quality, price_usd, record.message))

    def _progress(self) -> Progress:
        ledger, states = self._books.ledger, self._books.states
        best = self._books.frontier.best
        return Progress(
            study=self._plan.spec.name,
            quality=self._books.quality,
            spend_usd=ledger.spend_usd,
            budget_usd=ledger.budget.usd,
            trials=dict(states),
            trials_budget=ledger.budget.trials,
            best_quality=best[0] if best else None,
            best_price_usd=best[1] if best else None,
            running=tuple(self._running(attempt) for attempt in self._engine.running),
            seconds_left=self._seconds_left(),
        )

    def _running(self, attempt: Attempt) -> RunningAttempt:
        label, record = attempt.request.label, attempt.record
        last = record.checkpoints[-1] if record.checkpoints else None
        quality = last.metrics[self._books.quality.name] if last else None
        return RunningAttempt(label, last.epoch if last else 0, quality, self._books.ledger.of(label))

    def _seconds_left(self) -> float | None:
        """By dollars and by trials, each at the pace so far; the one that runs out first."""
        ledger, elapsed = self._books.ledger, time.monotonic() - self._started
        estimates = []
        spent_usd = ledger.spend_usd - self._spend_before_usd
        if ledger.budget.usd is not None and spent_usd > 0:
            estimates.append(elapsed * max(0.0, ledger.budget.usd - ledger.spend_usd) / spent_usd)
        done = self._books.states.total()
        if ledger.budget.trials is not None and done:
            estimates.append(elapsed * max(0, ledger.budget.trials - done) / done)
        return min(estimates, default=None)

    def _interrupt(self, signal_name: str) -> None:
        """End the study cleanly; at the second time, kill the workers at once."""
        if self._interrupted:
            for attempt in self._engine.running:
                attempt.process.kill()
        self._interrupted = f"stopped by {signal_name}"

    @contextlib.contextmanager
    def _no_worker_left_behind(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._engine.kill_all()
