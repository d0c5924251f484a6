"""Spend accounting of a study: every attempt priced, every dollar counted, every run logged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tracker.frontier.so_far import FrontierSoFar
from tracker.pricing.price_point import PricePoint
from tracker.records import AttemptRecord, Checkpoint, DataCard, Role, TrialState
from tracker.runner.account import Account, Reached, attempt_tags
from tracker.runner.behind_mark import BehindMark
from tracker.runner.delivery import Delivery
from tracker.runner.frontier_files import FrontierFiles
from tracker.runner.job import Job
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.search.budget import Ledger
from tracker.store.mlflow_logs import StudyLog
from tracker.store.run_logs import LoggedRun
from tracker.study.spec import StudySpec
from tracker.training.ending import ending_of


class Bookkeeper:
    """Keeps the accounts of all runs of a study.

    ``card`` is that of its data; every run gets ``tags``; ``folder`` holds the files that runs keep, and models are
    registered in the store at ``tracking_uri``. ``warn`` gets one message when MLflow does not accept an entry,
    which is kept and tried again.
    """

    def __init__(
        self,
        spec: StudySpec,
        log: StudyLog,
        card: DataCard,
        *,
        tags: Mapping[str, str],
        folder: StudyFolder,
        tracking_uri: str,
        warn: Callable[[str], None],
    ) -> None:
        self.ledger = Ledger(spec.budget)
        self.quality = spec.quality
        self.frontier = FrontierSoFar(spec.quality.direction)
        self.delivery = Delivery(log.outbox)
        self.states: Counter[TrialState] = Counter()
        """The number of trials by state, running ones included."""
        self._spec = spec
        self._log = log
        self._card = card
        self._tags = tags
        self._trials_folder = folder.trials
        self._mark = BehindMark(StudyNotes(folder.path), self.delivery)
        self._warn = warn
        self._warned: set[str] = set()
        self._accounts: dict[str, Account] = {}
        self._files = FrontierFiles(
            self.frontier,
            log,
            lambda label: self._accounts[label].log,
            tracking_uri=tracking_uri,
            workload=spec.workload if spec.description.serves else "",
            warn=warn,
        )

    def open(
        self,
        job: Job,
        point: PricePoint,
        price_book: str,
        started_at: float,
        *,
        user: str = "",
        node: str = "",
        run_id: str = "",
    ) -> None:
        """Open an account for a run of ``user``, at a rate of a version of the price book, on the machine ``node``.

        ``run_id`` is its id where MLflow has the run already.
        """
        tags = {**self._tags, **attempt_tags(job, point, price_book, user, node, self._accounts.get(job.label))}
        if job.label in self._accounts:
            account = self._accounts[job.label]
            self._leaves_state(account)
            account.resume(job, point, node)
            account.log.tag(tags)
        else:
            log = self._log.run(job.label, job.settings, tags, started_at, run_id)
            log.input(self._card)
            evaluated = self._card.rows.get("validation", 0)
            account = Account(job, point, self._spec.costs, log, self._spec.search.predictions, evaluated, node)
            self._accounts[job.label] = account
        self._enters_state(account)

    def _leaves_state(self, account: Account) -> None:
        if account.job.role is Role.TRIAL:
            self.states[account.state] -= 1

    def _enters_state(self, account: Account) -> None:
        if account.job.role is Role.TRIAL:
            self.states[account.state] += 1

    def follow(self, label: str, record: AttemptRecord, wall_seconds: float) -> Reached:
        """Update a running attempt, ``wall_seconds`` after it was requested, and return its new checkpoints."""
        account = self._accounts[label]
        reached = account.follow(record)
        self._enter_frontier(account, reached)
        # Until the worker reports that training starts, all of its time is start-up.
        startup_seconds = record.phases.startup_seconds or wall_seconds
        usage = replace(record.usage, wall_seconds=wall_seconds, startup_seconds=startup_seconds)
        self.ledger.estimate(label, account.price(usage).usd)
        return reached

    def close(self, label: str, record: AttemptRecord) -> Reached:
        """Enter an attempt's end, and return its new checkpoints."""
        account = self._accounts[label]
        self._leaves_state(account)
        reached = account.close(record)
        self._enters_state(account)
        self._enter_frontier(account, reached)
        if account.job.role is Role.TRIAL:
            self._files.ended(label, self._files_of(account), for_good=ending_of(record).for_good)
        self.ledger.record(label, account.price_usd)
        return reached

    def price_usd(self, label: str, checkpoint: Checkpoint) -> float:
        """The cost of all attempts at a run until a checkpoint of the running one."""
        return self._accounts[label].price(checkpoint.usage).usd

    def stop(self, label: str, why: str) -> None:
        """Mark a paused trial as stopped: it will not be resumed."""
        account = self._accounts[label]
        self._leaves_state(account)
        account.stop(why)
        self._enters_state(account)
        self._files.ended(label, self._files_of(account), for_good=True)

    def _files_of(self, account: Account) -> Path:
        return self._trials_folder / account.job.folder / "artifacts"

    def forget(self, logged: Mapping[str, LoggedRun]) -> None:
        """Drop what MLflow has of the runs in ``logged``, by their labels."""
        for label, run in logged.items():
            if label in self._accounts:
                self._accounts[label].log.forget(run)

    @property
    def unwritten_runs(self) -> int:
        """How many runs have entries that MLflow lacks."""
        return sum(account.log.unwritten > 0 for account in self._accounts.values())

    def watch_delivery(self) -> None:
        """Pass on, once, why MLflow does not accept an entry, and mark for readers that it is behind."""
        self._mark.update()
        if (problem := self.delivery.problem) and problem not in self._warned:
            self._warned.add(problem)
            self._warn(f"{problem}; the study continues and keeps its own logs until MLflow accepts them")

    def flush(self) -> bool:
        """Write everything new to MLflow; False where it did not accept all of it."""
        written = self.delivery.settle()
        self.watch_delivery()
        return written

    def finish(self, state: TrialState, ended_at: float) -> bool:
        """Log the end of the study and keep the frontier's files; False where MLflow did not accept everything."""
        self._log.parent.tag({"tracker.state": state})
        self._log.parent.end(state, ended_at)
        return self.enter_spend(ended_at) and self._files.keep()

    def enter_spend(self, timestamp: float) -> bool:
        """Log the study's spend and its number of trials; False where MLflow did not accept everything."""
        trials = self.states.total()
        spend = {"price_usd": self.ledger.spend_usd, "trials": float(trials)}
        self._log.parent.add(spend, step=trials, timestamp=timestamp)
        return self.flush()

    def _enter_frontier(self, account: Account, reached: Reached) -> None:
        if account.job.role is not Role.TRIAL:
            return
        points = {
            epoch: (values[self.quality.name], values["price_usd"])
            for epoch, values in reached
            if all(limit.excess(values.get(limit.metric, math.nan)) <= 0 for limit in self._spec.limits)
        }
        self.frontier.enter(account.job.label, points)
