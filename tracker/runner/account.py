"""The account of one run: every attempt priced, every checkpoint with what it had cost by then."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

from tracker.pricing.cost import SECONDS_PER_HOUR, price_of
from tracker.pricing.price_point import PricePoint
from tracker.records import (
    STEADY_USAGE,
    AttemptRecord,
    Checkpoint,
    CostPart,
    PhaseSeconds,
    Price,
    TrialState,
    Usage,
    added,
)
from tracker.runner.job import Job
from tracker.store.run_logs import RunLog
from tracker.study.costs import CostTerms
from tracker.training.busy import measured_while_busy

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


SHORT_ID = 8
"""How much of a machine's id tells it from others."""
BESIDE = "+"
"""Between the machines of an attempt that ran on several."""
_ADDED = (*(f"{part}_usd" for part in CostPart), "billed_seconds")
"""What of several prices adds up."""


_PHASES = tuple(name for name in PhaseSeconds.__slots__ if name not in STEADY_USAGE)
"""What of a run's phases is logged at its end alone."""

_LATER_SECONDS = 0.002
"""By how much a time is later for sure to MLflow, which knows milliseconds."""


def _sum(prices: Sequence[Price], name: str) -> float:
    return reduce(operator.add, (getattr(price, name) for price in prices))  # type: ignore[no-any-return]


def attempt_tags(
    job: Job, point: PricePoint, price_book: str, user: str = "", node: str = "", earlier: Account | None = None
) -> dict[str, str]:
    """The tags of a run that an attempt sets as it starts: ``point`` is its rate, of a version of the price book.

    ``user`` is who started it, "" where that is not known; ``node`` the machine that it runs on, "" for the
    coordinator's own; ``earlier`` the account of the run, None where this is its first attempt.
    """
    places = [*(earlier.places if earlier else ()), Place(point.sku, point.market, point.region, node)]
    return {
        **({"tracker.node": node} if node else {}),
        **({"tracker.places": _places(places)} if any(place.node for place in places) else {}),
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


def _places(places: Sequence[Place]) -> str:
    """Those of a run's attempts as a tag, which is cut off beyond some length: machines by a part of their ids."""
    short = [
        place._replace(node=named_together(each[:SHORT_ID] for each in place.node.split(BESIDE))) for place in places
    ]
    return json.dumps(short, separators=(",", ":"))


def named_together(nodes: Iterable[str]) -> str:
    """The machines of an attempt as one name."""
    return BESIDE.join(nodes)


class Place(NamedTuple):
    """What an attempt was billed as, and on which machine of a cluster, or machines named together, it ran."""

    sku: str
    market: str
    region: str
    node: str


class Account:
    """The account of one run: what it is billed as, what it has cost, and its MLflow log.

    ``predictions`` and ``evaluated`` are as in ``prediction_price_usd``, ``node`` as in ``attempt_tags``.
    """

    def __init__(
        self,
        job: Job,
        point: PricePoint,
        terms: CostTerms,
        log: RunLog,
        predictions: int = 0,
        evaluated: int = 0,
        node: str = "",
    ) -> None:
        self.job = job
        self.places = [Place(point.sku, point.market, point.region, node)]
        """Those of its attempts, in their order."""
        self.log = log
        self._predictions = predictions
        self._evaluated = evaluated
        self._point = point
        self._terms = terms
        self._checkpoints_logged = 0
        self._last_step = -1
        self.ended_at = self._finals_at = 0.0
        self._logged: dict[str, float] = {}
        self._earlier: list[tuple[Usage, Price]] = []
        self._phases = dict.fromkeys(_PHASES, 0.0)  # of the attempts that have ended
        self.state = TrialState.RUNNING

    def resume(self, job: Job, point: PricePoint, node: str = "") -> None:
        """Start another attempt at the same trial: its usage and price are added."""
        self.places.append(Place(point.sku, point.market, point.region, node))
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

        Final metrics are logged one step after the last checkpoint of all attempts, and later than those of the attempt
        before, whose machine's clock may be ahead, so that the latest value is the full spend.
        """
        reached = self.follow(record)
        self.state = record.state
        self.ended_at = ended_at = record.ended_at or record.started_at + record.usage.wall_seconds
        self._finals_at = max(ended_at, self._finals_at + _LATER_SECONDS)
        self._phases = {name: seconds + getattr(record.phases, name) for name, seconds in self._phases.items()}
        self.log.add(self._finals(record), step=self._last_step + 1, timestamp=self._finals_at)
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
        usage, price = self.usage(record.usage), self.price(record.usage)
        finals = {
            **record.summary,
            **self._costs(usage, price),
            **{f"{part}_usd": getattr(price, f"{part}_usd") for part in CostPart},
            "billed_seconds": price.billed_seconds,
            "machine_share": price.share,
            "cpu_seconds": usage.cpu_seconds,
            **self._phases,
        }
        if usage.waiting_seconds is not None:
            finals["waiting_seconds"] = usage.waiting_seconds
        if usage.accelerators:
            finals["peak_accelerator_memory_bytes"] = float(usage.peak_accelerator_memory_bytes)
        return finals
