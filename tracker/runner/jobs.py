"""The jobs of a study's workers: data preparation, baselines, trials and repeats."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.engine.reservations import Reservation
from tracker.pricing.price_point import PricePoint, price_point_from_row
from tracker.records import DataCard, Hardware, Role, Settings, SettingValue
from tracker.runner.job import Job
from tracker.runner.plan import StudyPlan
from tracker.runner.user import current_user
from tracker.search.steps import Step
from tracker.study.spec import StudySpec
from tracker.training.events import Event
from tracker.training.request import AttemptRequest

REPEAT_SEEDS = 1_000_000
"""The distance between the seeds of a trial's repeats: larger than any number of trials."""


def preparation(spec: StudySpec, hardware: Hardware) -> Job:
    """The job that prepares the data, on all cores."""
    return Job(Role.PREPARATION, Role.PREPARATION, Role.PREPARATION, _everyday_settings(spec, hardware), spec.seed)


def look_again(spec: StudySpec, hardware: Hardware) -> Job:
    """The job that prepares data which are prepared already: what that costs a later study."""
    return replace(preparation(spec, hardware), label=f"{Role.PREPARATION} again", folder=f"{Role.PREPARATION}-again")


def baselines(spec: StudySpec, hardware: Hardware) -> list[Job]:
    """The workload's cheap references, each on all cores."""
    settings = _everyday_settings(spec, hardware)
    labels = enumerate(spec.description.baselines)
    return [Job(Role.BASELINE, label, f"baseline-{number}", settings, spec.seed) for number, label in labels]


def trial(step: Step, spec: StudySpec, attempt: int = 1) -> Job:
    """An attempt at a trial of the search; it has a seed of its own unless its settings name one."""
    number, settings = step.trial, step.settings
    seed = int(settings.get("seed", spec.seed + number))
    return Job(Role.TRIAL, f"#{number}", str(number), settings, seed, number, attempt, own_last_epoch=step.last_epoch)


def repeat(original: Job, number: int, last_epoch: int) -> Job:
    """Repeat ``number`` (from 1) of a trial, until ``last_epoch``: the same settings with a seed that no trial has."""
    seed = original.seed + number * REPEAT_SEEDS
    settings = {**original.settings, "seed": seed} if "seed" in original.settings else original.settings
    label, folder = f"{original.label} repeat {number}", f"{original.folder}-repeat-{number}"
    return Job(Role.REPEAT, label, folder, settings, seed, repeats=original.trial, last_epoch=last_epoch)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What all attempts of a study have in common: its plan, where their files are, and the data that are prepared.

    ``trials_folder`` has one folder a job. ``data_card`` is None while the data are prepared. ``tracking_uri`` is the
    MLflow store that training code may log to, and ``command_store`` the template of a command's own, None without one.
    """

    plan: StudyPlan
    trials_folder: Path
    cache: Path
    tracking_uri: str = ""
    data_card: DataCard | None = None
    command_store: Path | None = None


def attempt_request(job: Job, reservation: Reservation, grounds: Grounds) -> AttemptRequest:
    """The request for a worker to run ``job`` on its reservation, starting now."""
    plan, node, memory_bytes = grounds.plan, reservation.node, reservation.memory_bytes
    most_bytes = node.trial_memory_bytes if node else plan.hardware.trial_memory_bytes
    return AttemptRequest(
        study=plan.spec.name,
        folder=grounds.trials_folder / job.folder,
        attempt=job.attempt,
        role=job.role,
        label=job.label,
        workload=plan.spec.workload,
        quality=plan.spec.quality,
        settings=job.settings,
        data=plan.spec.data,
        data_card=grounds.data_card,
        seed=job.seed,
        cores=reservation.cores,
        accelerators=reservation.accelerators,
        accelerator_model=node.accelerator_model if node else plan.hardware.accelerator,
        price_point=reservation.price_point or plan.price_points.get(job.device, plan.cpu_point),
        price_book=plan.price_book.version,
        cache=grounds.cache,
        asked_at=time.time(),
        needed_metrics=plan.spec.needed_metrics,
        report_table=plan.spec.report,
        tracking_uri=grounds.tracking_uri,
        command_store=grounds.command_store,
        memory_bytes=memory_bytes,
        memory_limit_bytes=memory_bytes or most_bytes,
        time_limit_seconds=None if job.role is Role.PREPARATION else plan.spec.budget.trial_seconds,
        last_epoch=job.last_epoch,
        own_last_epoch=job.own_last_epoch,
        user=current_user(),
        node=node.node_id if node else "",
        prepared_with=_everyday_settings(plan.spec, plan.hardware) if node else None,
        span=reservation.span,
    )


def rate_of(asked: Event, plan: StudyPlan) -> tuple[PricePoint, str]:
    """The rate of an attempt at the time of its request, and the version of its price book.

    Older logs without a rate are billed at the current rate of their SKU in the study's market.
    """
    if "price_point" in asked:
        return price_point_from_row(asked["price_point"], asked["label"]), asked["price_book"]
    pricing = plan.spec.pricing
    return plan.price_book.point(asked["sku"], pricing.market, region=pricing.region), plan.price_book.version


def _everyday_settings(spec: StudySpec, hardware: Hardware) -> Settings:
    everyday: Mapping[str, SettingValue] = {
        "device": "cpu",
        "threads": hardware.cores,
        "precision": "fp32",
        "compile": False,
        "processes": 1,
    }
    settings = {**spec.default_settings, **everyday}
    settings.pop("memory_gb", None)  # that is for trials
    return {**settings, "nodes": 1} if "nodes" in settings else settings
