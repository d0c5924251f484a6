"""The jobs of a search that wait for a machine, in their order, and which runs are under way."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tracker.engine.node import Kind
from tracker.runner.job import Job

MOST_LACKING = 4
"""How many jobs wait for machines that are lacking, before the search is asked for none of another kind."""


class Waiting:
    """``many_kinds`` is whether jobs may need machines of several kinds; ``running`` are the jobs under way.

    A job waits for the end of its run's last attempt too, which may still be pausing.
    """

    def __init__(self, jobs: Sequence[Job], running: Sequence[Job], *, many_kinds: bool) -> None:
        self._jobs = list(jobs)
        self._running = {job.label for job in running}
        self._many_kinds = many_kinds

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def taken(self) -> set[str]:
        """The labels of the runs that wait or are under way."""
        return {job.label for job in self._jobs} | self._running

    def add(self, job: Job) -> None:
        """Another job waits."""
        self._jobs.append(job)

    def started(self, job: Job) -> None:
        """A job waits no more: it is under way."""
        self._jobs.remove(job)
        self._running.add(job.label)

    def ended(self, job: Job) -> None:
        """An attempt has ended that was under way."""
        self._running.discard(job.label)

    def drop(self, trial: int) -> None:
        """A trial does not wait any more: it has ended."""
        self._jobs = [job for job in self._jobs if job.trial != trial]

    def first(self, lacking: Collection[Kind] = ()) -> Job | None:
        """The first job that may start, and needs none of the kinds of machines that are ``lacking``."""
        return next((job for job in self._ready if job.needs.kind not in lacking), None)

    def for_place_of(self, other: Job) -> Job | None:
        """The first job that may start, and that the place of another one would do for."""
        return next((job for job in self._ready if job.needs.may_follow(other.needs)), None)

    def may_grow(self, lacking: Collection[Kind]) -> bool:
        """Whether the search may be asked for a job while these kinds are lacking: it may be for another kind."""
        waiting = sum(job.needs.kind in lacking for job in self._jobs)
        return not lacking or (self._many_kinds and waiting < MOST_LACKING)

    @property
    def _ready(self) -> Iterator[Job]:
        return (job for job in self._jobs if job.label not in self._running)
