"""The books of a study: every attempt priced, every dollar counted, every run logged."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from tracker.errors import RefusedError, StoreError
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
    QualityMetric,
    Role,
    TrialState,
    Usage,
    added,
)
from tracker.runner.frontier_files import FrontierFiles
from tracker.runner.jobs import Job
from tracker.search.budget import Ledger
from tracker.store.mlflow_store import RunLog, StudyLog
from tracker.study.costs import CostTerms
from tracker.study.spec import Budget, Limit
from tracker.training.ending import ending_of
from tracker.training.meter import measured_while_busy

Reached = list[tuple[int, dict[str, float]]]
"""Checkpoints: each one's epoch, and all that is known there: metrics, and what every attempt has used and cost."""


def prediction_price_usd(
    checkpoint: Checkpoint, number: int, price: Price, *, predictions: int, evaluated: int
) -> dict[str, float]:
    """The price of ``predictions`` at an attempt's checkpoint, the how-manieth of it, by its name.

    Each takes the mean time of the ``evaluated`` samples of an evaluation. None where that was not timed.
    """
    if checkpoint.evaluation_seconds <= 0 or not evaluated:
        return {}
    seconds = checkpoint.evaluation_seconds / number / evaluated
    return {"prediction_usd": predictions * seconds * price.usd_per_hour * price.share / SECONDS_PER_HOUR}


class Account:
    """One run's books: what it is billed as, what it has cost, its way into the log.

    ``predictions`` and ``evaluated`` are those of ``prediction_price_usd``.
    """

    def __init__(
        self, job: Job, point: PricePoint, terms: CostTerms, log: RunLog, predictions: int, evaluated: int
    ) -> None:
        self.job = job
        self.log = log
        self._predictions = predictions
        self._evaluated = evaluated
        self._point = point
        self._terms = terms
        self._checkpoints_logged = 0
        self._last_step = -1
        self._told: dict[str, float] = {}
        self._earlier: list[tuple[Usage, Price]] = []
        self.state = TrialState.RUNNING

    def go_on(self, job: Job, point: PricePoint) -> None:
        """Another attempt at the same trial begins: its usage and price come on top."""
        self.job, self._point, self._checkpoints_logged, self.state = job, point, 0, TrialState.RUNNING
        self.log.go_on()

    @property
    def price_usd(self) -> float:
        """What the attempts that have ended cost together, in USD."""
        return sum(price.usd for _, price in self._earlier)

    def usage(self, usage: Usage) -> Usage:
        """What all attempts have used together, the current one ``usage``."""
        return reduce(lambda later, earlier: added(earlier, later), (used for used, _ in self._earlier), usage)

    def price(self, usage: Usage) -> Price:
        """What all attempts cost together, the current one's being that of ``usage``, each at its own rate."""
        price = price_of(usage, self._point, self._terms)
        for _, earlier in self._earlier:
            price = replace(
                price,
                **{f"{part}_usd": getattr(price, f"{part}_usd") + getattr(earlier, f"{part}_usd") for part in CostPart},
                billed_seconds=price.billed_seconds + earlier.billed_seconds,
            )
        return price

    def follow(self, record: AttemptRecord) -> Reached:
        """Enter the checkpoints that are new since the last call; those are returned."""
        reached: Reached = []
        for number, checkpoint in enumerate(
            record.checkpoints[self._checkpoints_logged :], self._checkpoints_logged + 1
        ):
            values = {**checkpoint.metrics, **self._costs(checkpoint.usage)}
            self.log.add(values, step=checkpoint.epoch, timestamp=checkpoint.timestamp)
            reached.append((checkpoint.epoch, {**values, **self._beside(checkpoint, number)}))
            self._last_step = max(self._last_step, checkpoint.epoch)
        if reached:
            self.log.tag({"tracker.energy_source": record.usage.energy_source})
        self._checkpoints_logged = len(record.checkpoints)
        return reached

    def _beside(self, checkpoint: Checkpoint, number: int) -> dict[str, float]:
        """What a search may want to know of an attempt's checkpoint, the how-manieth of it, beside what is logged."""
        usage = self.usage(checkpoint.usage)
        price = self.price(checkpoint.usage)
        return {
            **{name: float(getattr(usage, name)) for name in STEADY_USAGE},
            **prediction_price_usd(checkpoint, number, price, predictions=self._predictions, evaluated=self._evaluated),
        }

    def close(self, record: AttemptRecord) -> Reached:
        """Enter how the attempt ended; what was new is returned.

        Its finals stand one step after the last checkpoint of all attempts: what is latest is all that was spent.
        """
        reached = self.follow(record)
        self.state = record.state
        ended_at = record.ended_at or record.started_at + record.usage.wall_seconds
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

    def _costs(self, usage: Usage) -> dict[str, float]:
        price_usd, usage = self.price(usage).usd, self.usage(usage)
        costs = {"wall_seconds": usage.wall_seconds, "price_usd": price_usd}
        if usage.energy_joules is not None:
            costs["energy_joules"] = usage.energy_joules
        # The rest of what a price depends on rarely changes: a step that does not tell it is as the one before.
        rest = {name: float(getattr(usage, name)) for name in STEADY_USAGE}
        new = {name: value for name, value in rest.items() if self._told.get(name, 0.0) != value}
        self._told |= new
        return {**costs, **new}

    def _finals(self, record: AttemptRecord) -> dict[str, float]:
        usage, phases, price = self.usage(record.usage), record.phases, self.price(record.usage)
        finals = {
            **record.summary,
            **self._costs(record.usage),
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
    """Keeps the books of all runs of a study.

    ``terms`` are the study's assumptions about costs; ``tags`` stand on every run; ``files_of`` gives the folder
    of the files that a run keeps; ``served_by`` is the workload that serves its models in the store at
    ``tracking_uri``, "" where it cannot; ``warn`` is told, once, when MLflow does not take an entry: it is kept and
    tried again.
    """

    def __init__(
        self,
        *,
        log: StudyLog,
        quality: QualityMetric,
        limits: Sequence[Limit],
        budget: Budget,
        card: DataCard,
        tags: Mapping[str, str],
        terms: CostTerms,
        files_of: Callable[[Job], Path],
        tracking_uri: str,
        served_by: str,
        warn: Callable[[str], None],
        predictions: int = 0,
    ) -> None:
        self.ledger = Ledger(budget)
        self.quality = quality
        self._limits = limits
        self._predictions = predictions
        self.frontier = FrontierSoFar(quality.direction)
        self._log = log
        self._card = card
        self._tags = tags
        self._terms = terms
        self._files_of = files_of
        self._warn = warn
        self._warned: set[str] = set()
        self._accounts: dict[str, Account] = {}
        self._files = FrontierFiles(
            self.frontier,
            lambda label: self._accounts[label].log,
            tracking_uri=tracking_uri,
            study=log.name,
            workload=served_by,
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
        seen_before: bool = False,
    ) -> None:
        """An account for a run that was asked for at a rate of a version of the price book, by ``user``.

        ``seen_before`` looks whether MLflow has it already.
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
            account.go_on(job, point)
            account.log.tag(tags)
            return
        log = self._log.run(job.label, job.settings, tags, started_at, seen_before=seen_before)
        log.input(self._card)
        self._accounts[job.label] = Account(
            job, point, self._terms, log, self._predictions, self._card.rows.get("validation", 0)
        )

    @property
    def states(self) -> Counter[TrialState]:
        """How many trials stand how, those under way among them."""
        return Counter(account.state for account in self._accounts.values() if account.job.role is Role.TRIAL)

    def follow(self, label: str, record: AttemptRecord, wall_seconds: float) -> Reached:
        """Bring an attempt under way up to date, ``wall_seconds`` after it was asked for; its new checkpoints."""
        account = self._accounts[label]
        reached = account.follow(record)
        self._enter_frontier(account, reached)
        # Until the worker says that training begins, all of its time is start-up.
        startup_seconds = record.phases.startup_seconds or wall_seconds
        usage = replace(record.usage, wall_seconds=wall_seconds, startup_seconds=startup_seconds)
        self.ledger.estimate(label, account.price(usage).usd)
        return reached

    def close(self, label: str, record: AttemptRecord) -> Reached:
        """Enter an attempt's end; its new checkpoints."""
        account = self._accounts[label]
        reached = account.close(record)
        self._enter_frontier(account, reached)
        if account.job.role is Role.TRIAL:
            self._files.ended(label, self._files_of(account.job), for_good=ending_of(record).for_good)
        self.ledger.record(label, account.price_usd)
        return reached

    def price_usd(self, label: str, checkpoint: Checkpoint) -> float:
        """What all attempts at a run cost together, until a checkpoint of the one under way."""
        return self._accounts[label].price(checkpoint.usage).usd

    def stop(self, label: str, why: str) -> None:
        """A trial that was paused is not gone on with."""
        account = self._accounts[label]
        account.state = TrialState.STOPPED
        account.log.tag({"tracker.state": TrialState.STOPPED, "tracker.reason": "dropped", "tracker.message": why})
        self._files.ended(label, self._files_of(account.job), for_good=True)

    def flush(self) -> bool:
        """Write everything new to MLflow; False where it was not all taken."""
        taken = True
        for log in (*(account.log for account in self._accounts.values()), self._log.parent):
            try:
                log.flush()
            except RefusedError as error:  # this one alone: what it is made of is not to MLflow's liking
                self._warn_once(str(error))
                taken = False
            except StoreError as error:
                self._warn_once(f"{error}; the study continues and keeps its own logs until MLflow takes them")
                return False
        return taken

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)

    def finish(self, state: TrialState, ended_at: float) -> bool:
        """Enter the study's own end and keep the frontier's files; False where MLflow did not take everything."""
        self._log.parent.tag({"tracker.state": state})
        self._log.parent.end(state, ended_at)
        return self.enter_spend(ended_at) and self._files.keep()

    def enter_spend(self, timestamp: float) -> bool:
        """Enter what the study has cost and how many trials it has; False where MLflow did not take everything."""
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
            if all(limit.excess(values.get(limit.metric, math.nan)) <= 0 for limit in self._limits)
        }
        self.frontier.enter(account.job.label, points)
