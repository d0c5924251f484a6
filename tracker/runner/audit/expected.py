"""What the books of a study should say, by its event logs: worked out by the code that logs (bookkeeper.Account)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.pricing.price_point import price_point_from_row
from tracker.records import AttemptRecord, DataCard, TrialState
from tracker.runner.account import Account, Reached
from tracker.runner.job import Job, job_of
from tracker.runner.study_folder import Attempts, StudyFolder
from tracker.store.names import logged_name
from tracker.study.costs import CostTerms
from tracker.training.events import Event, follow, new_attempt
from tracker.training.state import has_state

Value = tuple[str, int, int, float | None]
"""A value in MLflow: its metric, step, time (ms since 1970), and the number; None for one that is not finite."""


class RecordedLog:
    """What an account would write to MLflow, in place of a RunLog."""

    def __init__(self) -> None:
        self.values: set[Value] = set()
        self.tags: dict[str, str] = {}
        self.state = TrialState.RUNNING
        self.ended_at_ms: int | None = None

    def add(self, values: Mapping[str, float], *, step: int, timestamp: float) -> None:
        """As RunLog.add."""
        time_ms = int(timestamp * 1000)
        self.values |= {(logged_name(name), step, time_ms, finite(value)) for name, value in values.items()}

    def last(self, metric: str) -> float | None:
        """The value of a metric that readers show: of its last step, the latest."""
        found = [(step, time_ms, value) for name, step, time_ms, value in self.values if name == metric]
        return max(found, key=lambda each: each[:2])[2] if found else None

    def tag(self, tags: Mapping[str, str]) -> None:
        """As RunLog.tag."""
        self.tags |= tags

    def resume(self) -> None:
        """As RunLog.resume."""
        self.state = TrialState.RUNNING

    def end(self, state: TrialState, ended_at: float) -> None:
        """As RunLog.end."""
        self.state, self.ended_at_ms = state, int(ended_at * 1000)


def finite(value: float) -> float | None:
    """A number as books are compared by: stores differ in how they keep those that are not finite."""
    return float(value) if math.isfinite(value) else None


@dataclass(slots=True)
class ExpectedRun:
    """One run by its events. ``attempts`` are in order; ``reached`` are all checkpoints with their values.

    ``has_state`` is whether the files are there that it can be resumed from; ``ends`` counts the end events of each
    attempt, and ``rated`` is False where an old log does not say its rate: then nothing of it is priced.
    """

    job: Job
    log: RecordedLog
    has_state: bool
    attempts: list[AttemptRecord] = field(default_factory=list)
    reached: Reached = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    price_usd: float = 0.0
    rated: bool = True

    @property
    def last(self) -> AttemptRecord:
        """Its last attempt."""
        return self.attempts[-1]

    @property
    def is_open(self) -> bool:
        """Whether an attempt has no end."""
        return 0 in self.ends

    @property
    def wall_seconds(self) -> float:
        """The seconds of all of its attempts."""
        return sum(attempt.usage.wall_seconds for attempt in self.attempts)

    @property
    def state(self) -> TrialState:
        """Its state: one that is paused, and whose saved state is gone, is stopped."""
        gone = self.last.state is TrialState.PAUSED and not self.has_state
        return TrialState.STOPPED if gone else self.last.state


@dataclass(frozen=True, slots=True)
class ExpectedStudy:
    """A study by its events: its runs by label, in the order of their first request, and its objectives' names.

    ``logs`` are what was read (StudyFolder.attempts); ``damaged`` says which lines of them hold no event.
    """

    runs: Mapping[str, ExpectedRun]
    objectives: Sequence[str]
    logs: Attempts
    damaged: Sequence[str] = ()

    @property
    def price_usd(self) -> float:
        """What all attempts cost."""
        return math.fsum(run.price_usd for run in self.runs.values())


def expected_study(folder: StudyFolder) -> ExpectedStudy:
    """Read a study's event logs; writes nothing. Raises StudyNotFoundError, StoreError."""
    content = folder.document().content
    terms = CostTerms(**content.get("costs", {}))
    predictions = int(content.get("search", {}).get("predictions", 1_000_000))
    card = folder.data_card()
    runs: dict[str, ExpectedRun] = {}
    accounts: dict[str, Account] = {}
    damaged: list[str] = []
    logs = folder.attempts(damaged.append)
    for path, events in logs:
        job, record = job_of(events[0]), follow(new_attempt(int(path.stem)), events)
        if job.label not in runs:
            runs[job.label] = ExpectedRun(job, RecordedLog(), has_state(folder.trials / job.folder))
        run = runs[job.label]
        run.job = job
        run.attempts.append(record)
        run.ends.append(sum(event["event"] == "ended" for event in events))
        run.rated &= "price_point" in events[0]
        if run.rated:
            _enter(run, accounts, events[0], terms, card, predictions)
    return ExpectedStudy(runs, _objectives(content), logs, damaged)


def _enter(
    run: ExpectedRun, accounts: dict[str, Account], asked: Event, terms: CostTerms, card: DataCard, predictions: int
) -> None:
    """Enter a run's last attempt into its account."""
    job, record = run.job, run.last
    point = price_point_from_row(asked["price_point"], job.label)
    if job.label in accounts:
        account = accounts[job.label]
        account.resume(job, point)
    else:
        log: Any = run.log
        account = Account(job, point, terms, log, predictions, card.rows.get("validation", 0))
        accounts[job.label] = account
    ended = record.ended_at is not None
    run.reached += account.close(record) if ended else account.follow(record)
    run.price_usd = account.price_usd if ended else account.price(record.usage).usd


def _objectives(content: Mapping[str, Any]) -> list[str]:
    """The names of a study's objectives, its quality first, as study.check takes them from its description."""
    named = content.get("search", {}).get("objectives") or ["price_usd"]
    names = [each["metric"] if isinstance(each, Mapping) else each for each in named]
    return list(dict.fromkeys([content["quality"]["metric"], *names]))
