"""Spend accounting of a study: every attempt priced, every dollar counted, every run logged."""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from tracker.frontier.so_far import FrontierSoFar
from tracker.pricing.cost import SECONDS_PER_HOUR, price_of
from tracker.pricing.price_point import PricePoint
from tracker.records import (
    STEADY_USAGE,
    AttemptRecord,
    Checkpoint,
    CostPart,
    DataCard,
    Price,
    Role,
    TrialState,
    Usage,
    added,
)
from tracker.runner.delivery import Delivery
from tracker.runner.frontier_files import FrontierFiles
from tracker.runner.jobs import Job
from tracker.search.budget import Ledger
from tracker.store.mlflow_logs import LoggedRun, RunLog, StudyLog
from tracker.study.costs import CostTerms
from tracker.study.spec import StudySpec
from tracker.training.ending import ending_of
from tracker.training.meter import measured_while_busy

Reached = list[tuple[int, dict[str, float]]]
"""Checkpoints: each one's epoch and its values: metrics, usage and costs over all attempts."""


def prediction_price_usd(
    checkpoint: Checkpoint, number: int, price: Price, *, predictions: int, evaluated: int
) -> dict[str, float]:
    """The price of ``predictions``, by its metric name, at an attempt's checkpoint ``number`` (from 1).

    A prediction takes the mean time of the ``evaluated`` samples of an evaluation. None where that was not timed.
    """
    if checkpoint.evaluation_seconds <= 0 or not evaluated:
        return {}
    seconds = checkpoint.evaluation_seconds / number / evaluated
    return {"prediction_usd": predictions * seconds * price.usd_per_hour * price.share / SECONDS_PER_HOUR}


_ADDED = (*(f"{part}_usd" for part in CostPart), "billed_seconds")
"""What of several prices adds up."""


def _sum(prices: Sequence[Price], name: str) -> float:
    return reduce(operator.add, (getattr(price, name) for price in prices))  # type: ignore[no-any-return]


class Account:
    """The account of one run: what it is billed as, what it has cost, and its MLflow log.

    ``predictions`` and ``evaluated`` are as in ``prediction_price_usd``.
    """

    def __init__(
        self, job: Job, point: PricePoint, terms: CostTerms, log: RunLog, predictions: int = 0, evaluated: int = 0
    ) -> None:
        self.job = job
        self.log = log
        self._predictions = predictions
        self._evaluated = evaluated
        self._point = point
        self._terms = terms
        self._checkpoints_logged = 0
        self._last_step = -1
        self.ended_at = 0.0
        self._logged: dict[str, float] = {}
        self._earlier: list[tuple[Usage, Price]] = []
        self.state = TrialState.RUNNING

    def resume(self, job: Job, point: PricePoint) -> None:
        """Start another attempt at the same trial: its usage and price are added."""
        self.job, self._point, self._checkpoints_logged, self.state = job, point, 0, TrialState.RUNNING
        self.log.resume()

    def stop(self, why: str) -> None:
        """Mark a paused trial as stopped: it will not be resumed."""
        self.state = TrialState.STOPPED
        self.log.tag({"tracker.state": TrialState.STOPPED, "tracker.reason": "dropped", "tracker.message": why})
        self.log.end(self.state, self.ended_at)

    @property
    def price_usd(self) -> float:
        """The cost of the attempts that have ended, in USD."""
        return sum(price.usd for _, price in self._earlier)

    def usage(self, usage: Usage) -> Usage:
        """The usage of all attempts together; ``usage`` is that of the current one."""
        return reduce(lambda later, earlier: added(earlier, later), (used for used, _ in self._earlier), usage)

    def price(self, usage: Usage) -> Price:
        """The price of all attempts together, each at its own rate; ``usage`` is that of the current one."""
        price = price_of(usage, self._point, self._terms)
        prices = [price, *(earlier for _, earlier in self._earlier)]
        sums: dict[str, Any] = {name: _sum(prices, name) for name in _ADDED}
        return replace(price, **sums) if len(prices) > 1 else price

    def follow(self, record: AttemptRecord) -> Reached:
        """Enter the checkpoints that are new since the last call, and return them."""
        reached: Reached = []
        for number, checkpoint in enumerate(
            record.checkpoints[self._checkpoints_logged :], self._checkpoints_logged + 1
        ):
            usage, price = self.usage(checkpoint.usage), self.price(checkpoint.usage)
            values = {**checkpoint.metrics, **self._costs(usage, price)}
            self.log.add(values, step=checkpoint.epoch, timestamp=checkpoint.timestamp)
            reached.append((checkpoint.epoch, {**values, **self._beside(checkpoint, number, usage, price)}))
            self._last_step = max(self._last_step, checkpoint.epoch)
        if reached:
            self.log.tag({"tracker.energy_source": record.usage.energy_source})
        self._checkpoints_logged = len(record.checkpoints)
        return reached

    def _beside(self, checkpoint: Checkpoint, number: int, usage: Usage, price: Price) -> dict[str, float]:
        """Values of an attempt's checkpoint ``number`` (from 1) that the search uses and MLflow does not get."""
        return {
            **{name: float(getattr(usage, name)) for name in STEADY_USAGE},
            **prediction_price_usd(checkpoint, number, price, predictions=self._predictions, evaluated=self._evaluated),
        }

    def close(self, record: AttemptRecord) -> Reached:
        """Enter the end of the attempt, and return the checkpoints that were new.

        Final metrics are logged one step after the last checkpoint of all attempts, so that the latest value is the
        full spend.
        """
        reached = self.follow(record)
        self.state = record.state
        self.ended_at = ended_at = record.ended_at or record.started_at + record.usage.wall_seconds
        self.log.add(self._finals(record), step=self._last_step + 1, timestamp=ended_at)
        self.log.tag(
            {
                "tracker.state": record.state,
                "tracker.reason": record.reason,
                "tracker.message": record.message,
                "tracker.attempts": str(record.number),
                "tracker.energy_source": record.usage.energy_source,
                "tracker.busy": str(measured_while_busy(record.usage)).lower(),
            }
        )
        self.log.end(record.state, ended_at)
        self._earlier.append((record.usage, price_of(record.usage, self._point, self._terms)))
        return reached

    def _costs(self, usage: Usage, price: Price) -> dict[str, float]:
        costs = {"wall_seconds": usage.wall_seconds, "price_usd": price.usd}
        if usage.energy_joules is not None:
            costs["energy_joules"] = usage.energy_joules
        # Other usage that prices depend on rarely changes: a step without it has the value of the step before.
        rest = {name: float(getattr(usage, name)) for name in STEADY_USAGE}
        new = {name: value for name, value in rest.items() if self._logged.get(name, 0.0) != value}
        self._logged |= new
        return {**costs, **new}

    def _finals(self, record: AttemptRecord) -> dict[str, float]:
        usage, phases, price = self.usage(record.usage), record.phases, self.price(record.usage)
        finals = {
            **record.summary,
            **self._costs(usage, price),
            **{f"{part}_usd": getattr(price, f"{part}_usd") for part in CostPart},
            "billed_seconds": price.billed_seconds,
            "machine_share": price.share,
            "cpu_seconds": usage.cpu_seconds,
            "train_seconds": phases.train_seconds,
            "evaluation_seconds": phases.evaluation_seconds,
        }
        if usage.waiting_seconds is not None:
            finals["waiting_seconds"] = usage.waiting_seconds
        if usage.accelerators:
            finals["peak_accelerator_memory_bytes"] = float(usage.peak_accelerator_memory_bytes)
        return finals


class Bookkeeper:
    """Keeps the accounts of all runs of a study.

    ``card`` is that of its data; every run gets ``tags``; ``trials_folder`` holds the files that runs keep, and models
    are registered in the store at ``tracking_uri``. ``warn`` gets one message when MLflow does not accept an entry,
    which is kept and tried again.
    """

    def __init__(
        self,
        spec: StudySpec,
        log: StudyLog,
        card: DataCard,
        *,
        tags: Mapping[str, str],
        trials_folder: Path,
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
        self._trials_folder = trials_folder
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
        run_id: str = "",
    ) -> None:
        """Open an account for a run of ``user``, at a rate of a version of the price book.

        ``run_id`` is its id where MLflow has the run already.
        """
        tags = {
            **self._tags,
            **({"mlflow.user": user} if user else {}),
            "tracker.role": job.role,
            "tracker.trial": "" if job.trial is None else str(job.trial),
            **({} if job.repeats is None else {"tracker.repeats": str(job.repeats)}),
            "tracker.state": TrialState.RUNNING,
            "tracker.price_book": price_book,
            "tracker.sku": point.sku,
            "tracker.region": point.region,
            "tracker.market": point.market,
            "tracker.usd_per_hour": repr(point.usd_per_hour),
            "tracker.price_source": point.source,
            "tracker.price_date": point.effective_from.isoformat(),
            "tracker.price_point": json.dumps(point.row, ensure_ascii=False),
            "tracker.cores": str(job.threads),
            "tracker.accelerators": str(job.accelerators),
        }
        if job.label in self._accounts:
            account = self._accounts[job.label]
            self._leaves_state(account)
            account.resume(job, point)
            account.log.tag(tags)
        else:
            log = self._log.run(job.label, job.settings, tags, started_at, run_id)
            log.input(self._card)
            evaluated = self._card.rows.get("validation", 0)
            account = Account(job, point, self._spec.costs, log, self._spec.search.predictions, evaluated)
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

    def warn(self) -> None:
        """Pass on, once, why MLflow does not accept an entry."""
        if (problem := self.delivery.problem) and problem not in self._warned:
            self._warned.add(problem)
            self._warn(f"{problem}; the study continues and keeps its own logs until MLflow accepts them")

    def flush(self) -> bool:
        """Write everything new to MLflow; False where it did not accept all of it."""
        written = self.delivery.settle()
        self.warn()
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
