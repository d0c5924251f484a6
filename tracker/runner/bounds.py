"""What a study can cost at most, by its budget: known before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracker.engine.engine import STOP_GRACE_SECONDS
from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.pricing.price_point import PricePoint
from tracker.runner.checked import Bound
from tracker.runner.plan import StudyPlan
from tracker.study.domains import Choices, Domain


def bounds(plan: StudyPlan) -> Iterator[Bound]:
    """The bounds of the study's cost, one sentence each; a last resort where nothing bounds it."""
    budget = plan.spec.budget
    if budget.usd is not None:
        yield Bound(
            f"budget.usd: nothing starts once it is spent; running trials then have {STOP_GRACE_SECONDS:.0f} s to"
            " save and end, which come on top",
            budget.usd,
        )
    if budget.wall_seconds is not None:
        hours = budget.wall_seconds / SECONDS_PER_HOUR
        yield Bound(
            f"budget.wall_seconds: {budget.wall_seconds:,g} s of compute with every core and GPU of this machine at"
            " work; what data and storage cost by [costs] comes on top",
            hours * sum(_whole_usd_per_hour(plan, device) for device in plan.price_points),
        )
    trials = most_trials(plan)
    if trials is None:
        return
    if budget.trial_seconds is not None:
        runs = trials + len(plan.spec.description.baselines)
        hours = runs * budget.trial_seconds / SECONDS_PER_HOUR
        yield Bound(
            f"{runs:,} trials and baselines of at most budget.trial_seconds, {budget.trial_seconds:,g} s per attempt,"
            " on as many cores as one may take; preparing the data comes on top, and a trial that is paused and"
            " resumed may take longer",
            hours * max(_one_usd_per_hour(plan, device) for device in plan.price_points),
        )
    elif budget.usd is None and budget.wall_seconds is None:
        yield Bound(f"{trials:,} trials, each trained to its end: nothing bounds their cost. budget.usd would", None)


def most_trials(plan: StudyPlan) -> int | None:
    """The most trials that a study can start; None where only its other limits end it."""
    limits = [plan.spec.budget.trials] if plan.spec.budget.trials is not None else []
    if plan.spec.strategy == "grid" and math.isfinite(plan.space.size):
        limits.append(int(plan.space.size))
    return min(limits, default=None)


def _whole_usd_per_hour(plan: StudyPlan, device: str) -> float:
    """The rate of this machine with all of a device in use."""
    point, hardware = plan.price_points[device], plan.hardware
    if device == "cuda":
        share, at_once = _share(point, 0, hardware.accelerator_count), hardware.accelerator_count
    else:
        least = min(_values(plan, "threads", hardware.cores))
        share, at_once = _share(point, hardware.cores, 0), max(1, hardware.cores // max(1, least))
    if plan.spec.costs.idle_billed:  # each attempt is billed as whole machines
        share = at_once * math.ceil(share / at_once)
    return point.usd_per_hour * share


def _one_usd_per_hour(plan: StudyPlan, device: str) -> float:
    """The rate of the largest attempt on a device, or of a baseline on all cores."""
    point, hardware = plan.price_points[device], plan.hardware
    cores = hardware.cores if plan.spec.description.baselines else max(_values(plan, "threads", hardware.cores))
    accelerators = max(_values(plan, "processes", 1)) if device == "cuda" else 0
    share = _share(point, cores, accelerators)
    return point.usd_per_hour * (math.ceil(share) if plan.spec.costs.idle_billed else share)


def _share(point: PricePoint, cores: int, accelerators: int) -> float:
    """The share of the billed machine that cores and GPUs take; memory is unknown before they run."""
    of_cores = cores / point.vcpu if point.vcpu else 0.0
    return max(of_cores, accelerators / max(point.accelerator_count, 1)) or 1.0


def _values(plan: StudyPlan, name: str, default: int) -> list[int]:
    domain: Domain | None = plan.spec.space.get(name)
    if domain is None:
        return [int(plan.spec.default_settings.get(name, default))]
    values = domain.values if isinstance(domain, Choices) else (domain.low, domain.high)
    return [min(int(value), default) if name == "threads" else int(value) for value in values]
