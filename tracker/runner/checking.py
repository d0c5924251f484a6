"""The checks of `tracker run`, in the child process that ``checked`` starts: training code is loaded here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from tracker.engine.forkserver import Forkserver
from tracker.engine.local_attempt import STOP_GRACE_SECONDS
from tracker.errors import StudyExistsError, StudyFileError, TrackerError
from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.pricing.price_point import PricePoint
from tracker.runner.checked import Bound, Checked, Machine, Rate
from tracker.runner.plan import StudyPlan, make_plan
from tracker.runner.study_lookup import check_name_is_free
from tracker.search.sampler import Sampling, Trials
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.domains import Choices, Domain
from tracker.study.knobs import COMMON_KNOBS
from tracker.study.spec import WorkloadDescription
from tracker.study.toml_file import line_of
from tracker.training.describe import Surroundings, describe_workload


class _Here:
    """Stands in for the forkserver in a process that may load training code, and keeps what it found.

    ``machine`` is what is already known about it.
    """

    def __init__(self, machine: Machine | None) -> None:
        self.machine = machine
        self.workload: WorkloadDescription | str = ""

    def call(self, look: Callable[..., Surroundings], workload: str, *, try_compile: bool) -> Surroundings:
        """Replaces Forkserver.call, the only method that a plan uses."""
        known = self.machine
        if known is None or (try_compile and known.compile_problem is None):
            found = look(workload, try_compile=try_compile)
            self.machine = Machine(found.hardware, found.compile_problem if try_compile else None)
        else:
            found = Surroundings(known.hardware, describe_workload(workload), known.compile_problem or "")
        self.workload = found.workload
        return found


def checked(document: StudyDocument, home: str, machine: Machine | None) -> Checked:
    """Every problem of a study, or its rates and cost bounds. Changes nothing."""
    here, places = _Here(machine), Home(Path(home))
    try:
        plan = make_plan(document, cast(Forkserver, here), places)
    except StudyFileError as error:
        return _with_knobs(Checked(error.problems), here)
    except TrackerError as error:
        return _with_knobs(Checked((str(error),)), here)
    problems = []
    try:
        search = plan.spec.search
        Trials.check(search.objectives, plan.space, Sampling(search.sampler, search.options))
    except TrackerError as error:
        problems.append(str(error))
    try:
        check_name_is_free(places, plan.spec.name, places.optuna_storage, None)
    except StudyExistsError as error:
        line = line_of(document.text, "name")
        problems.append(f"{f'line {line}, ' if line else ''}name: {str(error).replace('--name', 'name')}")
    except TrackerError as error:
        problems.append(str(error))
    rates = tuple(
        Rate(device, point.sku, str(point.market), point.usd_per_hour, point.effective_from.isoformat())
        for device, point in plan.price_points.items()
    )
    notes = tuple(f"left out: {sentence}" for sentence in plan.space.left_out)
    found = Checked(tuple(problems), rates=rates, notes=notes, bounds=tuple(_bounds(plan)))
    return _with_knobs(found, here)


def _with_knobs(found: Checked, here: _Here) -> Checked:
    found = replace(found, machine=here.machine)
    if isinstance(here.workload, str):
        return found
    return replace(found, knobs={**here.workload.knobs, **COMMON_KNOBS}, metrics=tuple(here.workload.metrics))


def _bounds(plan: StudyPlan) -> Iterator[Bound]:
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
    trials = _most_trials(plan)
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


def _most_trials(plan: StudyPlan) -> int | None:
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
