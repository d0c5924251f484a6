"""A study's event logs replayed into its accounts: every attempt that was ever paid for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracker.engine.cluster.node_times import nodes_of
from tracker.engine.engine import Attempt
from tracker.records import AttemptRecord, TrialState
from tracker.runner.account import named_together
from tracker.runner.job import Job, job_of
from tracker.runner.jobs import rate_of
from tracker.runner.leftovers import attempts_without_workers
from tracker.runner.searchers import History
from tracker.runner.session import Session
from tracker.training.ending import end_lost
from tracker.training.events import Event, follow, new_attempt
from tracker.training.state import has_state


@dataclass(frozen=True, slots=True)
class ReplayedLogs:
    """The last attempt of every run, by its label; the trials' histories, by number.

    ``ended`` are the attempts that have ended, each with its first event. ``worked_seconds`` is how long workers
    worked, ``ended_at`` when the last attempt ended, in seconds since 1970, and ``written`` how many runs were written
    to MLflow.
    """

    last: Mapping[str, tuple[Job, AttemptRecord]]
    trials: Mapping[int, History]
    ended: Sequence[tuple[Event, AttemptRecord]]
    worked_seconds: float
    ended_at: float
    written: int


def replay_logs(session: Session, *, rewrite: bool = False, adopted: Sequence[Attempt] = ()) -> ReplayedLogs:
    """Enter every attempt in the folder's event logs into accounts that are empty.

    Attempts without an end lost their coordinator: they are killed, unless they are ``adopted``. Runs that MLflow has
    up to their last entry are not written again, unless to ``rewrite`` them. Raises StoreError.
    """
    plan, folder, books, logged = session.plan, session.folder, session.books, session.log.logged_runs()
    last: dict[str, tuple[Job, AttemptRecord]] = {}
    trials: dict[int, History] = {}
    ended: list[tuple[Event, AttemptRecord]] = []
    spans = [(folder.started_at, folder.started_at)]
    running = {attempt.request.log_path: attempt for attempt in adopted}
    for path, events in attempts_without_workers(folder, session.observer.notify):
        job, record = job_of(events[0]), follow(new_attempt(int(path.stem)), events)
        attempt = running.get(path)
        if record.ended_at is None and attempt is None:
            record = end_lost(path, record, events)
        user = str(events[0].get("user", ""))  # older logs have none
        run_id = logged[job.label].run_id if job.label in logged else ""
        node = named_together(nodes_of(events[0]))
        books.open(job, *rate_of(events[0], plan), record.started_at, user=user, node=node, run_id=run_id)
        if record.ended_at is not None:
            ended.append((events[0], record))
        if attempt is None:
            reached = books.close(job.label, record)
        else:
            reached = books.follow(job.label, record, attempt.wall_seconds)
        last[job.label] = job, record
        spans.append((record.started_at, record.started_at + record.usage.wall_seconds))
        if job.trial is not None:
            history = trials.setdefault(job.trial, History(job))
            history.job, history.record, history.price_usd = job, record, books.ledger.of(job.label)
            history.checkpoints += reached
    for number, history in trials.items():
        if history.record is None or history.record.state is not TrialState.PAUSED:
            continue
        if not has_state(folder.trials / str(number)):
            session.drop(number, history.record.number, "its saved state is gone, so it cannot be resumed")
    if not rewrite:
        books.forget(logged)
    written = books.unwritten_runs
    books.flush()
    return ReplayedLogs(last, trials, ended, _covered_seconds(spans), max(end for _, end in spans), written)


def _covered_seconds(spans: Sequence[tuple[float, float]]) -> float:
    """The total time that the intervals (start, end) cover."""
    covered, reached = 0.0, -math.inf
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered
