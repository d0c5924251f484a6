"""What work is billed as before it is done: the price of trainings and of fixed work at given rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tracker.pricing.cost import RateColumns, UsageColumns, check_billable, price_parts
from tracker.pricing.price_point import PricePoint
from tracker.pricing.scenario import Scenario
from tracker.records import CostPart, Role, Settings
from tracker.report.estimate.past import PastRun
from tracker.report.estimate.training_usage import TrainingUsage
from tracker.runner.job import Job
from tracker.runner.plan import StudyPlan
from tracker.study.costs import CostTerms

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Billing:
    """The rates of a study by device, its cost terms, and the scenario that changed both."""

    points: Mapping[str, PricePoint]
    cpu_point: PricePoint
    terms: CostTerms
    scenario: Scenario

    @classmethod
    def of(cls, plan: StudyPlan, scenario: Scenario) -> Billing:
        """A plan's rates under a scenario. Raises PriceBookError where it has none."""
        points = {device: scenario.point_for(point, plan.price_book) for device, point in plan.price_points.items()}
        cpu_point = points.get("cpu") or scenario.point_for(plan.cpu_point, plan.price_book)
        return cls(points, cpu_point, scenario.cost_terms(plan.spec.costs), scenario)

    def at(self, device: str, point: PricePoint) -> Billing:
        """The same with another rate for work on a device."""
        cpu_point = point if device == "cpu" else self.cpu_point
        return replace(self, points={**self.points, device: point}, cpu_point=cpu_point)

    def on(self, plan: StudyPlan) -> StudyPlan:
        """The plan at these rates and terms."""
        return replace(
            plan, price_points=self.points, cpu_point=self.cpu_point, spec=replace(plan.spec, costs=self.terms)
        )

    def usd(self, usage: UsageColumns, point: PricePoint) -> Array:
        """The price of usage [n] at one rate."""
        parts = price_parts(usage, RateColumns.of(point), self.terms)
        factor = {part: self.scenario.part_factor(part, point) for part in CostPart if part is not CostPart.COMPUTE}
        whole = np.asarray(parts.compute, dtype=np.float64)
        for part, times in factor.items():
            whole = whole + getattr(parts, str(part)) * times
        return whole


@dataclass(frozen=True, eq=False)
class Pool:
    """n settings that a study may try, each with its whole training: arrays [n]. ``first_usd`` is the price until the
    first checkpoint; cores, accelerators and memory (bytes, 0 where none is asked for) are what a trial reserves."""

    settings: Sequence[Settings]
    usage: TrainingUsage
    cores: Array
    accelerators: Array
    memory: Array
    usd: Array
    first_usd: Array


def training_job(settings: Settings) -> Job:
    """A trial of these settings, for what it reserves."""
    return Job(Role.TRIAL, "", "", settings, 0)


def priced_pool(settings: Sequence[Settings], usage: TrainingUsage, runs: Sequence[PastRun], billing: Billing) -> Pool:
    """Settings with what their whole trainings use, priced; disk is as it was for ``runs``. Raises PriceBookError."""
    jobs = [training_job(each) for each in settings]
    cores = np.array([float(job.threads) for job in jobs])
    accelerators = np.array([float(job.accelerators) for job in jobs])
    stored, kept = (float(np.median([getattr(run, name) for run in runs])) for name in ("stored_bytes", "kept_bytes"))
    devices = np.array([job.device for job in jobs])
    usd, first_usd = np.zeros(len(jobs)), np.zeros(len(jobs))
    for device, point in billing.points.items():
        here = devices == device
        if not here.any():
            continue
        check_billable(point, int(accelerators[here].max()))
        for seconds, prices in ((usage.seconds, usd), (usage.first_seconds, first_usd)):
            columns = UsageColumns(
                wall_seconds=seconds[here],
                startup_seconds=np.minimum(usage.startup_seconds, seconds)[here],
                cores=cores[here],
                accelerators=accelerators[here],
                peak_memory_bytes=usage.memory_bytes[here],
                stored_bytes=stored,
                kept_bytes=kept,
                acquired_samples=0.0,
                acquired_bytes=0.0,
            )
            prices[here] = billing.usd(columns, point)
    memory = np.array([float(job.needs.memory_bytes) for job in jobs])
    return Pool(settings, usage, cores, accelerators, memory, usd, first_usd)


def run_usd(run: PastRun, billing: Billing, seconds: float | None = None) -> float:
    """What past work on the CPU costs at these rates; ``seconds`` in place of its own."""
    usage = UsageColumns(
        wall_seconds=run.seconds if seconds is None else seconds,
        startup_seconds=min(run.startup_seconds, run.seconds if seconds is None else seconds),
        cores=run.cores,
        accelerators=0.0,
        peak_memory_bytes=run.memory_bytes,
        stored_bytes=run.stored_bytes,
        kept_bytes=run.kept_bytes,
        acquired_samples=run.acquired_samples,
        acquired_bytes=run.acquired_bytes,
    )
    return float(billing.usd(usage, billing.cpu_point))
