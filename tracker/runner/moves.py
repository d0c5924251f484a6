"""Trials that continue on another kind of machine: what an epoch is forecast to cost there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from tracker.prediction.accelerators import accelerator, is_known
from tracker.prediction.step_times import MeasuredSteps, Source, predict_on
from tracker.pricing.cost import SECONDS_PER_HOUR, price_of
from tracker.pricing.price_point import PricePoint, price_point_from_row
from tracker.records import AttemptRecord, Role, Settings, Usage
from tracker.runner.job import job_of
from tracker.search.machine_paces import MachinePaces, PaceForecast
from tracker.study.costs import CostTerms
from tracker.training.events import Event
from tracker.training.request import AttemptRequest

UNMEASURED = 2.0
"""The factor within which cores of one architecture, and of several makes, are expected to be as fast."""


@dataclass(frozen=True, slots=True)
class Move:
    """How many times as much, and as long, an epoch of a trial is forecast to take where it continues.

    ``low`` and ``high`` are the interval of ``usd_ratio``; ``why`` is all of it in words.
    """

    usd_ratio: float
    seconds_ratio: float
    low: float
    high: float
    why: str


@dataclass(frozen=True, slots=True)
class _Last:
    point: PricePoint
    usage: Usage


class Moves:
    """``terms`` are those that attempts are priced by; ``ended`` are the earlier ones, each with its first event."""

    def __init__(self, terms: CostTerms, ended: Iterable[tuple[Event, AttemptRecord]] = ()) -> None:
        self._terms = terms
        self._paces = MachinePaces()
        self._last: dict[int, _Last] = {}
        for asked, record in ended:
            job = job_of(asked)
            if job.role is Role.TRIAL and job.trial is not None and "price_point" in asked:
                self.ended(job.trial, price_point_from_row(asked["price_point"], job.label), record)

    def ended(self, trial: int, point: PricePoint, record: AttemptRecord) -> None:
        """An attempt at a trial has ended that was billed as ``point``."""
        reached = record.checkpoints
        self._last[trial] = _Last(point, record.usage)
        if len(reached) > 1:
            seconds = reached[-1].usage.wall_seconds - reached[0].usage.wall_seconds
            self._paces.enter(trial, _kind(point, record.usage), seconds / (reached[-1].epoch - reached[0].epoch))

    def of(self, trial: int, request: AttemptRequest) -> Move | None:
        """The move of a trial that another attempt continues.

        None where it stays on its kind of machine at its rate, or nothing is known of one of the two.
        """
        last, point = self._last.get(trial), request.price_point
        if last is None:
            return None
        cores, accelerators = (request.machines * len(each) for each in (request.cores, request.accelerators))
        usage = replace(last.usage, cores=cores, accelerators=accelerators)
        old, new = _kind(last.point, last.usage), _kind(point, usage)
        rate_ratio = self._usd_per_hour(point, usage) / max(self._usd_per_hour(last.point, last.usage), 1e-12)
        if old == new:
            if abs(rate_ratio - 1) < 1e-9:
                return None
            why = f"it continues as {point.sku} ({point.market}), at {rate_ratio:.3g} times the price of an epoch"
            return Move(rate_ratio, 1.0, rate_ratio, rate_ratio, why)
        pace = self._paces.forecast(trial, old, new) or _unmeasured(last, point, usage, request.settings)
        if pace is None:
            return None
        usd_ratio, low, high = (each * rate_ratio for each in (pace.ratio, pace.low, pace.high))
        why = (
            f"it continues as {point.sku} ({point.market}); an epoch is forecast to cost {usd_ratio:.3g} times as much"
            f" ({low:.3g} to {high:.3g}) as on {last.point.sku}, by {pace.why}"
        )
        return Move(usd_ratio, pace.ratio, low, high, why)

    def _usd_per_hour(self, point: PricePoint, usage: Usage) -> float:
        """The compute and upkeep of an hour of this usage."""
        hour = replace(usage, wall_seconds=SECONDS_PER_HOUR, startup_seconds=0.0)
        price = price_of(hour, point, self._terms)
        return price.compute_usd + price.maintenance_usd


def _kind(point: PricePoint, usage: Usage) -> tuple[object, ...]:
    """What the time of an epoch depends on, beside the trial itself."""
    return point.accelerator or point.sku, usage.cores, usage.accelerators


def _unmeasured(last: _Last, point: PricePoint, usage: Usage, settings: Settings) -> PaceForecast | None:
    """What to expect where nothing was measured: of as many cores of one architecture the same, else a prediction."""
    if usage.accelerators or last.usage.accelerators:
        return _predicted(last, point, usage, str(settings.get("precision", "fp32")))
    if last.point.architecture != point.architecture or last.usage.cores != usage.cores:
        return None
    return PaceForecast(1.0, 1 / UNMEASURED, UNMEASURED, "as many cores, nothing measured there yet")


def _predicted(last: _Last, point: PricePoint, usage: Usage, precision: str) -> PaceForecast | None:
    """By the specifications of both accelerators, as if all of an epoch were training steps; None where refused."""
    names = (last.point.accelerator, point.accelerator)
    if usage.accelerators != last.usage.accelerators or not all(map(is_known, names)):
        return None
    source = Source(accelerator(names[0]), precision, last.usage.accelerators)
    steps = MeasuredSteps([source], np.zeros(1, np.int64), np.ones(1), *(np.full(1, np.nan) for _ in range(3)))
    found = predict_on(accelerator(names[1]), steps)
    if found.refused[0]:
        return None
    why = f"their specifications ({found.basis[0]}), nothing measured there yet"
    return PaceForecast(float(found.seconds[0]), float(found.low[0]), float(found.high[0]), why)
