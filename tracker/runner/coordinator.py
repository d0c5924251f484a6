"""The loop of a study: next job → start → follow → end, for the data, baselines, trials and repeats alike."""

from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Callable, Collection, Sequence

from tracker.engine.engine import Attempt, Engine
from tracker.engine.node import Kind
from tracker.errors import RequestError, StoreError
from tracker.runner.interrupts import Interrupts
from tracker.runner.job import Job
from tracker.runner.jobs import Grounds, attempt_request
from tracker.training.events import Event
from tracker.training.request import AttemptRequest

POLL_SECONDS = 0.2
LAUNCH_SECONDS = 0.2
"""How long jobs are started in a row, before running ones are looked at again."""


class Work(abc.ABC):
    """What a coordinator carries out: it chooses the next job and receives the outcome of each."""

    on_event: Callable[[Event], None] | None = None
    """Receives every event of every attempt, where it is not None."""

    @property
    def closed(self) -> str:
        """Why nothing more may start; "" while something may."""
        return ""

    @property
    def pause_reason(self) -> str:
        """One word where all running attempts are to pause, or to stop if they cannot; else ""."""
        return ""

    @abc.abstractmethod
    def next_job(self, lacking: Collection[Kind] = ()) -> Job | None:
        """The job to start next, of which no attempt is running; None where none is to start now.

        It needs none of the kinds of machines that are ``lacking``.
        """

    @abc.abstractmethod
    def started(self, job: Job, request: AttemptRequest) -> None:
        """The job was started."""

    @abc.abstractmethod
    def ended(self, job: Job, attempt: Attempt) -> None:
        """An attempt has ended. Raises RequestError where the study turns out to be impossible."""

    def followed(self, job: Job, attempt: Attempt) -> None:  # noqa: B027 - nothing to do for some
        """A running attempt's record is up to date."""

    def tick(self) -> None:  # noqa: B027
        """Called once a turn, several times a second."""

    def abandoned(self) -> None:  # noqa: B027
        """The study turned out to be impossible; no worker runs any more."""


class Coordinator:
    """Carries out ``work`` on an engine whose workers it leaves none of behind, until ``interrupts`` say to stop.

    ``running`` are the jobs whose attempts the engine has adopted.
    """

    def __init__(
        self, work: Work, engine: Engine, grounds: Grounds, interrupts: Interrupts, running: Sequence[Job] = ()
    ) -> None:
        self._work = work
        self._engine = engine
        self._grounds = grounds
        self._interrupts = interrupts
        interrupts.engine = engine
        self._jobs = {job.label: job for job in running}
        self._ended: list[Attempt] = []

    def run(self) -> str:
        """Run until nothing is left to do, or someone interrupts it: then why, else "".

        Raises RequestError where the study turns out to be impossible, StoreError where an event log or a database
        cannot be written or read; workers are paused, and what was spent stays counted.
        """
        interrupts = self._interrupts
        with self._engine:
            try:
                while True:
                    closed = interrupts.reason or self._work.closed
                    room_left = not closed and self._launch()
                    if not self._engine.running and not room_left and (closed or self._work.next_job() is None):
                        return interrupts.reason
                    # With nothing running, another study has the cores: wait for them.
                    self._step(0.0 if room_left else POLL_SECONDS)
            except (RequestError, StoreError):
                self._abandon()
                raise

    def _launch(self) -> bool:
        """Start the jobs that fit, each when its cores, or its GPU, are free; whether more could start at once."""
        until = time.monotonic() + LAUNCH_SECONDS
        lacking: set[Kind] = set()
        while time.monotonic() < until:
            job = self._work.next_job(lacking) if self._engine.has_room and not self._work.closed else None
            if job is None:
                return False
            reservation = self._engine.reserve(job.needs, self._grounds.trials_folder / job.folder)
            if reservation is None:
                lacking.add(job.needs.kind)
                continue
            request = attempt_request(job, reservation, self._grounds)
            self._jobs[job.label] = job
            self._engine.start(request, reservation, self._work.on_event)
            self._work.started(job, request)
        return True

    def _step(self, wait_seconds: float) -> None:
        self._ended += self._engine.poll(wait_seconds)
        for attempt in self._engine.running:
            self._work.followed(self._jobs[attempt.request.label], attempt)
        while self._ended:
            self._end(self._ended.pop(0))
        if reason := "interrupted" if self._interrupts.reason else self._work.pause_reason:
            self._engine.pause_all(reason)
        self._work.tick()

    def _end(self, attempt: Attempt) -> None:
        self._work.ended(self._jobs.pop(attempt.request.label), attempt)

    def _abandon(self) -> None:
        """End every worker and enter its spend: it was paid for."""
        self._engine.pause_all("study_failed")
        while self._ended or self._engine.running:
            while self._ended:
                with contextlib.suppress(RequestError, StoreError):
                    self._end(self._ended.pop(0))
            self._ended += self._engine.poll(POLL_SECONDS)
        self._work.abandoned()
