"""The main loop of a study: next step → launch → follow → price → log → report back, until the budget is spent."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from tracker.engine.local import Attempt, LocalEngine
from tracker.engine.reservations import Reservation
from tracker.errors import RequestError
from tracker.pricing.money_unit import money_unit
from tracker.records import AttemptRecord, DataCard, TrialState
from tracker.runner.bookkeeper import Bookkeeper, Reached
from tracker.runner.decisions import Decisions
from tracker.runner.failures import Failures
from tracker.runner.interrupts import Interrupts
from tracker.runner.jobs import Job, attempt_request, trial
from tracker.runner.plan import StudyPlan
from tracker.runner.progress import EndedAttempt, Observer, Progress, RunningAttempt
from tracker.runner.saved_states import SavedStates
from tracker.runner.searchers import save_memory
from tracker.search.steps import Searcher, Step
from tracker.study.document import short_name
from tracker.training.ending import write_dropped

POLL_SECONDS = 0.2
FLUSH_SECONDS = 5.0
TIDY_SECONDS = 2.0


class Coordinator:
    """Runs a study whose folder, databases and data are ready.

    ``waiting`` are the jobs to run before the search is asked for trials; ``attempts`` is the number of earlier
    attempts by trial; ``folder`` is the study's folder; ``worked_seconds`` is how long it worked before.
    """

    def __init__(
        self,
        plan: StudyPlan,
        engine: LocalEngine,
        searcher: Searcher,
        books: Bookkeeper,
        observer: Observer,
        decisions: Decisions,
        *,
        waiting: list[Job],
        attempts: Mapping[int, int],
        folder: Path,
        cache: Path,
        data_card: DataCard,
        tracking_uri: str,
        command_store: Path | None = None,
        worked_seconds: float = 0.0,
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._searcher = searcher
        self._books = books
        self._observer = observer
        self._decisions = decisions
        self._waiting = deque(waiting)
        self._attempts = dict(attempts)
        self._folder = folder
        self._trials_folder = folder / "trials"
        self._cache = cache
        self._data_card = data_card
        self._tracking_uri = tracking_uri
        self._command_store = command_store
        self._states = SavedStates(self._trials_folder, plan.spec.search.state_bytes)
        self._jobs: dict[str, Job] = {}
        self._ended: deque[Attempt] = deque()
        self._steps: dict[int, Step] = {}
        self._pausing: set[int] = set()
        self._cannot_pause = False
        self._failures = Failures(checkpoints=books.frontier.best is not None)
        self._noted: set[str] = set()
        self._interrupts = Interrupts(engine)
        self._started = time.monotonic()
        self._worked_before = worked_seconds
        self._spend_before_usd = books.ledger.spend_usd
        self._flushed = self._tidied = self._started

    def run(self) -> TrialState:
        """Run until the budget is spent (completed) or someone stops it (stopped); leaves no worker behind.

        Failed where every trial failed, or enough of them to expect that all others would.

        Raises RequestError where the study turns out to be impossible; what was spent stays counted.
        """
        try:
            with self._interrupts, self._engine:
                try:
                    while True:
                        self._launch()
                        if not self._engine.running and self._closed():
                            break
                        self._step()  # with nothing running, another study has the cores: wait for them
                except RequestError:
                    self._abandon()
                    raise
        except RequestError:
            self._books.finish(TrialState.FAILED, time.time())
            raise
        self._drop_waiting()
        save_memory(self._folder, self._searcher)
        state, why = self._verdict()
        self._observer.show(self._progress())
        self._observer.notify(f"{state}: {why}")
        if not self._books.finish(state, time.time()):
            self._observer.notify(
                f"not everything is in MLflow yet: `tracker resume {self._plan.spec.name}` logs the rest"
            )
        return state

    def _verdict(self) -> tuple[TrialState, str]:
        """How the study has ended, and why."""
        if self._interrupts.reason:
            return TrialState.STOPPED, self._interrupts.reason
        if failed := self._failures.verdict or self._failures.all_failed:
            return TrialState.FAILED, failed
        return TrialState.COMPLETED, self._closed() or "nothing left to do"

    def _closed(self) -> str:
        """Why nothing more may start; "" while something may."""
        worked = self._worked_before + time.monotonic() - self._started
        closed = self._interrupts.reason or self._failures.verdict or self._books.ledger.closed(worked)
        return closed or ("" if self._waiting else self._searcher.closed)

    def _launch(self) -> None:
        """Start the jobs that fit: each when its cores, or its GPU, are free."""
        while not self._closed():
            if not self._waiting:
                if not self._engine.has_room or (step := self._next_step()) is None:
                    return
                self._waiting.append(self._job_of(step))
            job = self._waiting[0]
            if job.label in self._jobs:
                return  # its previous attempt is still pausing
            reservation = self._engine.reserve(job.threads, job.accelerators)
            if reservation is None:
                return
            self._start(self._waiting.popleft(), reservation)

    def _next_step(self, live_trial: int | None = None) -> Step | None:
        ledger = self._books.ledger
        may_start = ledger.new_trials(len(self._attempts))
        step = self._searcher.next_step(ledger.left_usd, new_trials=may_start, live_trial=live_trial)
        if step is not None:
            self._steps[step.trial] = step
            label = f"#{step.trial}"
            ledger.promise(label, ledger.of(label) + step.expected_usd)
        return step

    def _job_of(self, step: Step) -> Job:
        """The job of a step, as a new attempt; its reason is recorded in the decisions."""
        attempt = self._attempts[step.trial] = self._attempts.get(step.trial, 0) + 1
        self._decisions.write(step.trial, "begin" if attempt == 1 else "resume", step.why, self._numbers(step))
        return trial(step, self._plan.spec, attempt)

    def _drop_waiting(self) -> None:
        """Return the steps that never started to the search."""
        for job in self._waiting:
            if job.trial is not None and job.attempt == 1:
                self._searcher.ended(job.trial, TrialState.STOPPED, 0.0)
            elif job.trial is not None:
                self._searcher.paused(job.trial, self._books.ledger.of(job.label))

    @staticmethod
    def _numbers(step: Step) -> dict[str, object]:
        return {"until_usd": step.until_usd, "expected_usd": step.expected_usd, **step.numbers}

    def _start(self, job: Job, reservation: Reservation) -> None:
        request = attempt_request(
            job,
            reservation,
            self._plan,
            self._trials_folder,
            self._cache,
            self._data_card,
            tracking_uri=self._tracking_uri,
            command_store=self._command_store,
        )
        self._jobs[job.label] = job
        self._engine.start(request, reservation)
        self._books.open(job, request.price_point, request.price_book, request.asked_at, user=request.user)

    def _step(self) -> None:
        self._ended.extend(self._engine.poll(POLL_SECONDS))
        ended = len(self._ended)
        for attempt in self._engine.running:
            self._follow(attempt)
        while self._ended:
            self._end(self._ended.popleft())
        if self._interrupts.reason or self._books.ledger.closed(self._worked_before + time.monotonic() - self._started):
            self._engine.pause_all("interrupted" if self._interrupts.reason else "budget")
        elif self._failures.verdict:
            self._engine.pause_all("study_failed")
        if ended or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._books.flush()
            save_memory(self._folder, self._searcher)
            self._flushed = time.monotonic()
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidy()
            self._tidied = time.monotonic()
        self._observer.show(self._progress())

    def _abandon(self) -> None:
        """End every worker and enter its spend: it was paid for."""
        self._engine.pause_all("study_failed")
        while self._ended or self._engine.running:
            while self._ended:
                with contextlib.suppress(RequestError):
                    self._end(self._ended.popleft())
            self._ended.extend(self._engine.poll(POLL_SECONDS))
        self._drop_waiting()

    def _follow(self, attempt: Attempt) -> None:
        """Price an attempt's new checkpoints, report them to the search, and let it decide once a step is done."""
        job, record = self._jobs[attempt.request.label], attempt.record
        self._say_notes(record)
        self._report_checkpoints(job, self._books.follow(job.label, record, attempt.wall_seconds))
        if job.trial is None or job.trial in self._pausing or not record.checkpoints or attempt.stopping:
            return
        until_usd = self._steps[job.trial].until_usd
        if (
            until_usd is None
            or self._cannot_pause
            or self._books.price_usd(job.label, record.checkpoints[-1]) < until_usd
        ):
            return
        if record.saved_epoch is not None:
            self._at_rung(attempt, job.trial)
        else:
            self._notice_no_state(record)

    def _say_notes(self, record: AttemptRecord) -> None:
        """Show the notes of a training, each once."""
        for note in record.notes:
            if note not in self._noted:
                self._noted.add(note)
                self._observer.notify(f"note: {note}")

    def _notice_no_state(self, record: AttemptRecord) -> None:
        """Log once that a training due to pause passed a checkpoint without saving a state."""
        if self._cannot_pause or record.saved_epoch is not None or len(record.checkpoints) < 2:
            return
        self._cannot_pause = True
        self._observer.notify(
            f"{short_name(self._plan.spec.workload)} saves no state that a trial could be resumed from (run.save after "
            "each report): trials are not paused, each runs to its end"
        )

    def _at_rung(self, attempt: Attempt, number: int) -> None:
        """A step is done: continue the same trial, or pause it for another."""
        label, ledger = attempt.request.label, self._books.ledger
        price_usd = ledger.of(label)
        ledger.promise(label, 0.0)
        self._searcher.paused(number, price_usd)
        step = None if self._waiting else self._next_step(live_trial=number)
        if step is not None and step.trial == number:
            self._decisions.write(number, "continue", step.why, self._numbers(step))
            return
        why = self._searcher.closed
        if step is not None:
            self._waiting.append(self._job_of(step))
            why = f"the next dollars go to #{step.trial}: {step.why}"
        elif self._waiting:
            why = f"{self._waiting[0].label} needs the cores"
        self._decisions.write(number, "pause", why, {"price_usd": price_usd, **(step.numbers if step else {})})
        self._pausing.add(number)
        attempt.pause_at_save()

    def _report_checkpoints(self, job: Job, reached: Reached) -> None:
        """Raises RequestError where an objective is neither reported nor measured."""
        if job.trial is None:
            return
        for epoch, values in reached:
            for name in self._plan.spec.search.objectives:
                if not math.isfinite(values.get(name, math.nan)):
                    known = ", ".join(sorted(values))
                    raise RequestError(
                        f"search.objectives: no run reports '{name}' here; reported and measured: {known}"
                    )
            self._searcher.reached(job.trial, epoch, values)

    def _end(self, attempt: Attempt) -> None:
        job, record = self._jobs.pop(attempt.request.label), attempt.record
        self._searcher.closed = ""  # what it reserved and did not spend is free again: ask once more
        self._say_notes(record)
        reached, ledger = self._books.close(job.label, record), self._books.ledger
        price_usd = ledger.of(job.label)
        ledger.promise(job.label, 0.0)
        try:
            self._report_checkpoints(job, reached)
        except RequestError as error:
            if job.trial is not None:  # without a value for each objective it is not complete
                state = TrialState.FAILED if record.state is TrialState.COMPLETED else record.state
                self._end_trial(job.trial, state, record.reason, str(error), price_usd)
            raise
        quality = record.checkpoints[-1].metrics[self._books.quality.name] if record.checkpoints else None
        if job.trial is not None:
            self._failures.ended(record)
            if self._steps[job.trial].until_usd is not None:  # it may have ended between two polls
                self._notice_no_state(record)
            self._end_trial(job.trial, record.state, record.reason, record.message, price_usd)
        self._observer.ended(EndedAttempt(job.label, record.state, quality, price_usd, record.message))

    def _end_trial(self, number: int, state: TrialState, reason: str, message: str, price_usd: float) -> None:
        chosen_again = any(waiting.trial == number for waiting in self._waiting)
        self._pausing.discard(number)
        if state is TrialState.PAUSED:
            if reason != "paused":  # not the search, a budget or a person
                self._decisions.write(number, "pause", f"{reason}: {message}", {"price_usd": price_usd})
            if not chosen_again:
                self._searcher.paused(number, price_usd)
            return
        if chosen_again:
            self._waiting = deque(waiting for waiting in self._waiting if waiting.trial != number)
        self._decisions.write(number, "end", f"{state}: {message or 'trained to its end'}", {"price_usd": price_usd})
        self._searcher.ended(number, state, price_usd, reason)

    def _tidy(self) -> None:
        """Delete states of trials that can no longer matter, and the least promising ones beyond the disk limit."""
        prospects = {
            number: gain for number, gain in self._searcher.prospects().items() if f"#{number}" not in self._jobs
        }
        waiting = {job.trial for job in self._waiting}
        for number, why in self._states.to_drop({n: g for n, g in prospects.items() if n not in waiting}):
            label = f"#{number}"
            self._decisions.write(number, "stop", why, {"price_usd": self._books.ledger.of(label)})
            self._states.drop(number)
            write_dropped(self._trials_folder / str(number) / f"{self._attempts[number]}.jsonl", why)
            self._books.stop(label, why)
            self._searcher.ended(number, TrialState.STOPPED, self._books.ledger.of(label))

    def _progress(self) -> Progress:
        ledger = self._books.ledger
        best_label, best = self._books.frontier.best or ("", None)
        return Progress(
            study=self._plan.spec.name,
            quality=self._books.quality,
            spend_usd=ledger.spend_usd,
            budget_usd=ledger.budget.usd,
            trials=self._books.states,
            trials_budget=ledger.budget.trials,
            best_quality=best[0] if best else None,
            best_price_usd=best[1] if best else None,
            best_label=best_label,
            running=tuple(self._running(attempt) for attempt in self._engine.running),
            seconds_left=self._seconds_left(),
            unit=money_unit(self._books.frontier.cheapest_usd),
        )

    def _running(self, attempt: Attempt) -> RunningAttempt:
        label, record = attempt.request.label, attempt.record
        last = record.checkpoints[-1] if record.checkpoints else None
        quality = last.metrics[self._books.quality.name] if last else None
        return RunningAttempt(label, last.epoch if last else 0, quality, self._books.ledger.of(label))

    def _seconds_left(self) -> float | None:
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
            estimates.append(max(0.0, ledger.budget.wall_seconds - self._worked_before - elapsed))
        return min(estimates, default=None)
