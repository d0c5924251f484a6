"""The work of a search: baselines first, then the steps that its searcher chooses, until the budget is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from tracker.engine.engine import Attempt, Engine
from tracker.engine.node import Kind
from tracker.errors import RequestError
from tracker.records import AttemptRecord, TrialState
from tracker.runner.account import Reached, named_together
from tracker.runner.coordinator import Work
from tracker.runner.decisions import FILE_NAME as DECISIONS_FILE
from tracker.runner.decisions import Decisions, steps_of
from tracker.runner.failures import Failures
from tracker.runner.job import Job
from tracker.runner.jobs import trial
from tracker.runner.moves import Moves
from tracker.runner.progress import EndedAttempt
from tracker.runner.saved_states import SavedStates
from tracker.runner.searchers import save_memory
from tracker.runner.session import Session
from tracker.runner.study_progress import Pace, study_progress
from tracker.runner.waiting import Waiting
from tracker.search.steps import Searcher, Step
from tracker.study.document import short_name
from tracker.training.events import Event
from tracker.training.request import AttemptRequest

MEMORY_SECONDS, MEMORY_PAUSE_SECONDS, MEMORY_SHARE = 5.0, 1.0, 0.05
"""How often what the search keeps is saved, how long after an attempt's end at most, and its share of the time."""
TIDY_SECONDS, TIDY_SHARE = 2.0, 0.05
"""How often saved states are looked through, and the share of the time that it may take."""


class SearchWork(Work):
    """The work of a study whose accounts are open.

    ``waiting`` are the jobs to run before the search is asked for trials, ``running`` those that run already;
    ``attempts`` is the number of earlier attempts by trial; ``worked_seconds`` is how long the study worked before;
    ``ended`` are its earlier attempts, each with its first event.
    """

    def __init__(
        self,
        session: Session,
        engine: Engine,
        searcher: Searcher,
        *,
        waiting: Sequence[Job],
        running: Sequence[Job] = (),
        attempts: Mapping[int, int],
        worked_seconds: float,
        ended: Iterable[tuple[Event, AttemptRecord]] = (),
    ) -> None:
        self._session = session
        self._engine = engine
        self._books = session.books
        self._ledger = session.books.ledger
        self._observer = session.observer
        self._searcher = searcher
        self._decisions = Decisions(session.folder.path / DECISIONS_FILE)
        spec = session.plan.spec
        many_kinds = spec.engine.name != "local" and session.plan.space.many_kinds
        self._waiting = Waiting(waiting, running, many_kinds=many_kinds)
        self._attempts = dict(attempts)
        self._moves = Moves(spec.costs, ended)
        self._states = SavedStates(session.folder.trials, spec.search.state_bytes)
        self._steps = steps_of(running, self._decisions)
        self._pausing: set[int] = set()
        self._stayed: set[tuple[int, str]] = set()
        """Trials that took another step although a job waited, which is named."""
        self._cannot_pause = False
        self._failures = Failures(
            checkpoints=session.books.frontier.best is not None,
            limited=[limit.metric for limit in spec.limits],
        )
        self._noted: set[str] = set()
        self._pace = Pace(session.books, worked_seconds)
        self._remembered = self._next_save = time.monotonic()
        self._learned = False
        self._next_tidy = self._remembered + TIDY_SECONDS

    @property
    def closed(self) -> str:
        """Why nothing more may start; "" while something may."""
        closed = self._failures.verdict or self._ledger.closed(self._pace.worked_seconds)
        return closed or ("" if self._waiting else self._searcher.closed)

    @property
    def verdict(self) -> tuple[TrialState, str]:
        """How the study has ended, and why, where nobody stopped it."""
        if failed := self._failures.verdict or self._failures.all_failed:
            return TrialState.FAILED, failed
        return TrialState.COMPLETED, self.closed or "nothing left to do"

    def next_job(self, lacking: Collection[Kind] = ()) -> Job | None:
        """The first job that waits for a machine alone, or else a step of the search."""
        first = self._waiting.first(lacking)
        if first is None and self._waiting.may_grow(lacking) and (step := self._next_step()) is not None:
            self._waiting.add(self._job_of(step))
            first = self._waiting.first(lacking)
        return first

    def started(self, job: Job, request: AttemptRequest) -> None:
        """Open its account."""
        self._learned = True  # or decided, which it keeps as well
        self._waiting.started(job)
        point, book = request.price_point, request.price_book
        self._books.open(job, point, book, request.asked_at, user=request.user, node=named_together(request.nodes))
        if job.trial is not None and (move := self._moves.of(job.trial, request)) is not None:
            self._searcher.moved(job.trial, move.usd_ratio, move.seconds_ratio)
            numbers = {"usd_ratio": move.usd_ratio, "low": move.low, "high": move.high}
            self._decisions.write(job.trial, "move", move.why, numbers)

    def _next_step(self, live_trial: int | None = None) -> Step | None:
        may_start = self._ledger.new_trials(len(self._attempts))
        return self._reserved(
            self._searcher.next_step(self._ledger.left_usd, new_trials=may_start, live_trial=live_trial)
        )

    def _reserved(self, step: Step | None) -> Step | None:
        """A step, if there is one: its dollars are reserved."""
        if step is not None:
            self._steps[step.trial] = step
            label = f"#{step.trial}"
            self._ledger.promise(label, self._ledger.of(label) + step.expected_usd)
        return step

    def _staying(self, number: int, ready: Job) -> Step | None:
        """Another step of a trial, where it is worth more than the job that waits for its place; once for each."""
        rival = None if ready.trial is None else self._steps.get(ready.trial)
        if rival is None or (number, ready.label) in self._stayed:
            return None
        self._stayed.add((number, ready.label))
        return self._reserved(self._searcher.stay(number, self._ledger.left_usd, rival))

    def _job_of(self, step: Step) -> Job:
        """The job of a step, as a new attempt; its reason is recorded in the decisions."""
        attempt = self._attempts[step.trial] = self._attempts.get(step.trial, 0) + 1
        self._decisions.write(step.trial, "begin" if attempt == 1 else "resume", step.why, _numbers(step))
        return trial(step, self._session.plan.spec, attempt)

    def followed(self, job: Job, attempt: Attempt) -> None:
        """Price an attempt's new checkpoints, report them to the search, and let it decide once a step is done."""
        record = attempt.record
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
            self._at_rung(attempt, job, job.trial)
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
            f"{short_name(self._session.plan.spec.workload)} saves no state that a trial could be resumed from "
            "(run.save after each report): trials are not paused, each runs to its end"
        )

    def _at_rung(self, attempt: Attempt, job: Job, number: int) -> None:
        """A step is done: continue the same trial, or pause it for another, which may wait for its place already."""
        label = attempt.request.label
        price_usd = self._ledger.of(label)
        self._ledger.promise(label, 0.0)
        self._searcher.paused(number, price_usd)
        ready = self._waiting.for_place_of(job)
        step = self._staying(number, ready) if ready else self._next_step(live_trial=number)
        if step is not None and step.trial == number:
            self._decisions.write(number, "continue", step.why, _numbers(step))
            return
        why = self._searcher.closed
        if step is not None:
            self._waiting.add(self._job_of(step))
            why = f"the next dollars go to #{step.trial}: {step.why}"
        elif ready:
            why = f"{ready.label} needs the cores"
        self._decisions.write(number, "pause", why, {"price_usd": price_usd, **(step.numbers if step else {})})
        self._pausing.add(number)
        attempt.pause_at_save()

    def _report_checkpoints(self, job: Job, reached: Reached) -> None:
        """Raises RequestError where an objective is neither reported nor measured."""
        if job.trial is None:
            return
        for epoch, values in reached:
            for name in self._session.plan.spec.search.objectives:
                if not math.isfinite(values.get(name, math.nan)):
                    known = ", ".join(sorted(values))
                    raise RequestError(
                        f"search.objectives: no run reports '{name}' here; reported and measured: {known}"
                    )
            self._searcher.reached(job.trial, epoch, values)

    def ended(self, job: Job, attempt: Attempt) -> None:
        """Enter its spend, and report its end to the search."""
        record = attempt.record
        self._waiting.ended(job)
        self._learned = True
        self._searcher.closed = ""  # what it reserved and did not spend is free again: ask once more
        self._say_notes(record)
        reached = self._books.close(job.label, record)
        price_usd = self._ledger.of(job.label)
        self._ledger.promise(job.label, 0.0)
        try:
            self._report_checkpoints(job, reached)
        except RequestError as error:
            if job.trial is not None:  # without a value for each objective it is not complete
                state = TrialState.FAILED if record.state is TrialState.COMPLETED else record.state
                self._end_trial(job.trial, state, record.reason, str(error), price_usd)
            raise
        quality = record.checkpoints[-1].metrics[self._books.quality.name] if record.checkpoints else None
        if job.trial is not None:
            self._moves.ended(job.trial, attempt.request.price_point, record)
            self._failures.ended(record, job.trial)
            if self._steps[job.trial].until_usd is not None:  # it may have ended between two polls
                self._notice_no_state(record)
            if self._failures.retries(job.trial, record) and self._states.size_bytes(job.trial):
                message = f"{record.message}; it can be resumed from its saved state"
                self._end_trial(job.trial, TrialState.PAUSED, record.reason, message, price_usd)
            else:
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
            self._waiting.drop(number)
        self._decisions.write(number, "end", f"{state}: {message or 'trained to its end'}", {"price_usd": price_usd})
        self._searcher.ended(number, state, price_usd, reason)

    @property
    def pause_reason(self) -> str:
        """Why all running trials are to pause: the budget, or a study that fails."""
        if self._ledger.closed(self._pace.worked_seconds):
            return "budget"
        return "study_failed" if self._failures.verdict else ""

    def tick(self) -> None:
        """Save what the search keeps, drop states that can no longer matter, and show how far the study is."""
        now = time.monotonic()
        self._books.watch_delivery()
        if now > (self._next_save if self._learned else self._remembered + MEMORY_SECONDS):
            save_memory(self._session.folder.path, self._searcher)
            took = time.monotonic() - now
            self._learned, self._remembered = False, now
            self._next_save = now + min(MEMORY_PAUSE_SECONDS, took / MEMORY_SHARE)
        if now > self._next_tidy:
            self._tidy()
            took = time.monotonic() - now
            self._next_tidy = now + max(TIDY_SECONDS, took / TIDY_SHARE)
        self.show()

    def show(self) -> None:
        """Show how far the study is."""
        self._observer.show(study_progress(self._session, self._pace, self._engine.running))

    def _tidy(self) -> None:
        """Delete states of trials that can no longer matter, and the least promising ones beyond the disk limit."""
        taken = self._waiting.taken
        prospects = {number: gain for number, gain in self._searcher.prospects().items() if f"#{number}" not in taken}
        for number, why in self._states.to_drop(prospects):
            label = f"#{number}"
            self._decisions.write(number, "stop", why, {"price_usd": self._ledger.of(label)})
            self._states.drop(number)
            self._session.drop(number, self._attempts[number], why)
            self._searcher.ended(number, TrialState.STOPPED, self._ledger.of(label))

    def abandoned(self) -> None:
        """The study turned out to be impossible."""
        self._drop_waiting()
        self._finished(TrialState.FAILED)

    def finish(self, state: TrialState) -> bool:
        """Enter the end of the study; False where MLflow did not accept everything."""
        self._drop_waiting()
        save_memory(self._session.folder.path, self._searcher)
        self.show()
        return self._finished(state)

    def _finished(self, state: TrialState) -> bool:
        ended_at = time.time()
        self._session.folder.save_end(state, ended_at)
        return self._books.finish(state, ended_at)

    def _drop_waiting(self) -> None:
        """Return the steps that never started to the search."""
        for job in self._waiting:
            if job.trial is not None and job.attempt == 1:
                self._searcher.ended(job.trial, TrialState.STOPPED, 0.0)
            elif job.trial is not None:
                self._searcher.paused(job.trial, self._ledger.of(job.label))


def _numbers(step: Step) -> dict[str, object]:
    return {"until_usd": step.until_usd, "expected_usd": step.expected_usd, **step.numbers}
