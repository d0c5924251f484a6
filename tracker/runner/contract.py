"""The contract of training code: what the tracker relies on, checked on a workload with real workers.

Each check passes, fails or is skipped, with the figures it saw.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tracker.engine.engine import Engine
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.reservations import Reservations
from tracker.errors import WorkFailedError, WorkloadError
from tracker.records import AttemptRecord, DataCard, Direction, Role, Settings, TrialState
from tracker.runner.job import Job
from tracker.runner.jobs import Grounds, attempt_request, preparation
from tracker.runner.plan import StudyPlan, make_plan
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.training.describe import describe_workload
from tracker.training.events import Event
from tracker.training.request import AttemptRequest

Verdict = Literal["passed", "failed", "skipped"]
CPU_TOLERANCE = 1e-6
GPU_TOLERANCE = 2e-2
"""Relative difference of metrics that counts as the same result: GPUs sum in varying order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``seen`` has its figures."""

    check: str
    verdict: Verdict
    seen: str


def check_workload(document: StudyDocument, home: Home, notify: Callable[[str], None]) -> Iterator[Finding]:
    """Check the workload of a study on its fixed settings and defaults; the space is not searched.

    Raises what ``make_plan`` raises: StudyFileError, HardwareError, PriceBookError; WorkFailedError where
    its data cannot be prepared.
    """
    forkserver = Forkserver(str(document.workload or ""))
    plan = make_plan(_single(document), forkserver, home)
    cores = sorted(os.sched_getaffinity(0))[: plan.hardware.cores]
    engine = LocalEngine(
        forkserver, Reservations(cores, range(plan.hardware.accelerator_count), plan.hardware.trial_memory_bytes)
    )
    with tempfile.TemporaryDirectory(prefix="tracker-check-") as folder:
        home.make()
        trials = _Trials(plan, engine, Path(folder), home.cache)
        with engine:
            yield from _findings(trials, notify)


def declared_metric(workload: str) -> str | None:
    """The first metric that a workload declares; None where it declares none. Raises WorkloadError."""
    described = Forkserver(workload).call(describe_workload, workload)
    if isinstance(described, str):
        raise WorkloadError(described)
    return next(iter(described.metrics), None)


def _single(document: StudyDocument) -> StudyDocument:
    """The study without its search: one seed, at least two epochs, and its fixed settings."""
    settings = {name: value for name, value in document.content.get("settings", {}).items() if name != "seed"}
    replaced = {"name": "check", "budget": {"trials": 1}, "settings": settings, "space": {"seed": [0]}}
    content = {**document.content, **replaced, "strategy": "grid"}
    return StudyDocument(document.source, {key: value for key, value in content.items() if key != "smoke"})


class _Trials:
    """Trains with the study's settings, some of them changed."""

    def __init__(self, plan: StudyPlan, engine: Engine, folder: Path, cache: Path) -> None:
        self.plan = plan
        self.metric = plan.spec.quality
        self.card = DataCard("", "", {})
        self._engine = engine
        self._folder = folder
        self._cache = cache
        self._number = 0
        device = plan.space.devices[-1]
        self.settings: Settings = {**plan.space.fixed, "device": device, **self._epochs(plan)}

    @staticmethod
    def _epochs(plan: StudyPlan) -> Mapping[str, int]:
        epochs = plan.space.fixed.get("epochs")
        return {"epochs": 2} if isinstance(epochs, int) and epochs < 2 else {}

    def prepare(self) -> DataCard:
        """Prepare the data. Raises WorkFailedError."""
        cards: list[Mapping[str, Any]] = []
        job = preparation(self.plan.spec, self.plan.hardware)
        record = self._run(self._request(job), lambda event: cards.append(event["card"]) if "card" in event else None)
        if record.state is not TrialState.COMPLETED:
            raise WorkFailedError(f"the data cannot be prepared: {record.message}")
        self.card = DataCard(**cards[-1])
        return self.card

    def train(self, *, seed: int = 0, **changed: Any) -> AttemptRecord:
        """Train from beginning to end."""
        return self._run(self._request(self._job(seed, changed)))

    def train_in_two(self, pause_after_epoch: int) -> tuple[AttemptRecord, AttemptRecord | None]:
        """Train, pause after an epoch, and resume in another process; None where it did not pause."""
        job = self._job(0, {})
        first = self._run(replace(self._request(job), pause_after_epoch=pause_after_epoch))
        if first.state is not TrialState.PAUSED:
            return first, None
        return first, self._run(self._request(replace(job, attempt=2)))

    def stop_early(self) -> tuple[AttemptRecord, float]:
        """Train, request a stop at the first checkpoint, and return how many seconds it took to end."""
        asked: list[float] = []

        def stop(event: Event) -> None:
            if event["event"] == "checkpoint" and not asked:
                asked.append(time.monotonic())
                for attempt in self._engine.running:  # none where it has ended already
                    attempt.stop("checked")

        record = self._run(self._request(self._job(0, {})), stop)
        return record, time.monotonic() - asked[0] if asked else 0.0

    def _job(self, seed: int, changed: Mapping[str, Any]) -> Job:
        self._number += 1
        settings = {**self.settings, "seed": seed, **changed}
        return Job(Role.TRIAL, f"#{self._number}", str(self._number), settings, seed, self._number)

    def _request(self, job: Job) -> AttemptRequest:
        while (reservation := self._engine.reserve(job.needs)) is None:
            time.sleep(0.5)  # a study has the cores
        self._reservation = reservation
        grounds = Grounds(self.plan, self._folder, self._cache, data_card=self.card)
        return attempt_request(job, reservation, grounds)

    def _run(self, request: AttemptRequest, on_event: Callable[[Event], None] | None = None) -> AttemptRecord:
        attempt = self._engine.start(request, self._reservation, on_event)
        while not self._engine.poll(0.1):
            pass
        return attempt.record


def _findings(trials: _Trials, notify: Callable[[str], None]) -> Iterator[Finding]:
    notify("preparing the data")
    card = trials.prepare()
    again = trials.prepare()
    same = again == card
    yield Finding(
        "prepares its data, twice the same", "passed" if same else "failed", card.description or "no data card"
    )
    notify("training")
    whole = trials.train()
    if whole.state is not TrialState.COMPLETED:
        yield Finding("trains to its end", "failed", f"{whole.state}, {whole.reason}: {whole.message}")
        return
    yield Finding(
        "trains to its end", "passed", f"{len(whole.checkpoints)} checkpoints in {whole.usage.wall_seconds:.3g} s"
    )
    yield _learns(trials, whole)
    yield _spends(whole)
    notify("training with the same seed, and with another one")
    yield _honours_seed(trials, whole)
    notify("pausing and resuming")
    yield _resumes(trials, whole)
    notify("stopping")
    yield _stops(trials)
    for precision in trials.plan.hardware.precisions.get(str(trials.settings["device"]), ()):
        if precision != trials.settings["precision"]:
            notify(f"training in {precision}")
            yield _works_in(trials, precision)
    yield _fails_clearly(trials)


def _qualities(record: AttemptRecord, metric: str) -> list[float]:
    return [checkpoint.metrics[metric] for checkpoint in record.checkpoints]


def _learns(trials: _Trials, whole: AttemptRecord) -> Finding:
    """Above chance where the classes are known; else better at the end than at first."""
    name, qualities = trials.metric.name, _qualities(whole, trials.metric.name)
    sign = 1 if trials.metric.direction is Direction.MAXIMIZE else -1
    best = max(qualities, key=lambda quality: sign * quality)
    if "accuracy" in name and trials.card.classes:
        chance = 1 / trials.card.classes
        return Finding(
            "learns above chance",
            "passed" if best > chance else "failed",
            f"{name} {best:.4g}; a guess among {trials.card.classes} classes has {chance:.4g}",
        )
    if len(qualities) < 2:
        return Finding("learns", "skipped", "one checkpoint and no classes: nothing to compare with")
    seen = f"{name} {qualities[0]:.4g} after the first checkpoint, {best:.4g} at best"
    better = sign * best > sign * qualities[0]
    if not better and all("validation_loss" in checkpoint.metrics for checkpoint in whole.checkpoints):
        # Scores of generated text stay near 0, or jump about, long after a model starts to learn.
        losses = _qualities(whole, "validation_loss")
        seen += f"; validation_loss {losses[0]:.4g}, {min(losses):.4g} at best"
        better = min(losses) < losses[0]
    return Finding("learns", "passed" if better else "failed", seen)


def _spends(whole: AttemptRecord) -> Finding:
    seconds = [checkpoint.usage.wall_seconds for checkpoint in whole.checkpoints]
    rising = all(earlier < later for earlier, later in itertools.pairwise(seconds))
    seen = ", ".join(f"{second:.3g}" for second in seconds[:8])
    return Finding("reports rising spend", "passed" if rising else "failed", f"seconds at its checkpoints: {seen}")


def _honours_seed(trials: _Trials, whole: AttemptRecord) -> Finding:
    same, other = trials.train(), trials.train(seed=1)
    difference = _difference(trials, whole, same)
    if difference:
        return Finding("honours its seed", "failed", f"the same seed gave another result: {difference}")
    if not _difference(trials, whole, other):
        return Finding("honours its seed", "failed", "another seed gave exactly the same result: run.seed is not used")
    return Finding("honours its seed", "passed", "the same seed gives the same result, another seed a different one")


def _resumes(trials: _Trials, whole: AttemptRecord) -> Finding:
    name = "pauses and resumes to the same result"
    if len(whole.checkpoints) < 2:
        return Finding(name, "skipped", "one checkpoint only: there is nothing to resume")
    first, second = trials.train_in_two(whole.checkpoints[0].epoch)
    if second is None:
        if first.state is TrialState.COMPLETED:
            return Finding(name, "skipped", "it saves no state (run.save), so it runs without pausing")
        return Finding(name, "failed", f"{first.state}, {first.reason}: {first.message}")
    if second.state is not TrialState.COMPLETED:
        return Finding(name, "failed", f"the second attempt {second.state}, {second.reason}: {second.message}")
    joined = replace(second, checkpoints=(*first.checkpoints, *second.checkpoints))
    difference = _difference(trials, whole, joined)
    seen = (
        difference
        or f"paused after epoch {first.checkpoints[-1].epoch}, resumed to epoch {joined.checkpoints[-1].epoch}"
    )
    return Finding(name, "failed" if difference else "passed", seen)


def _stops(trials: _Trials) -> Finding:
    record, seconds = trials.stop_early()
    ended = record.state in (TrialState.STOPPED, TrialState.COMPLETED)
    seen = f"it ended in {seconds:.1f} s" if ended else f"{record.state} after {seconds:.1f} s: {record.message}"
    return Finding("stops when asked to", "passed" if ended else "failed", seen)


def _works_in(trials: _Trials, precision: str) -> Finding:
    record = trials.train(precision=precision)
    done = record.state is TrialState.COMPLETED
    last = _qualities(record, trials.metric.name)[-1] if done else math.nan
    seen = f"{trials.metric.name} {last:.4g}" if done else f"{record.state}, {record.reason}: {record.message}"
    return Finding(f"works in {precision}", "passed" if done else "failed", seen)


def _fails_clearly(trials: _Trials) -> Finding:
    name, knob = "fails clearly", trials.plan.spec.description.knobs.get("learning_rate")
    if knob is None or knob.high is not None or knob.kind != "float":
        return Finding(name, "skipped", "it has no unbounded learning_rate to make it diverge with")
    record = trials.train(learning_rate=1e30)
    clear = record.state is TrialState.COMPLETED or bool(record.reason and record.message and record.reason != "killed")
    seen = f"with a learning rate of 1e30: {record.state} {record.reason} {record.message}".strip()
    return Finding(name, "passed" if clear else "failed", seen)


def _difference(trials: _Trials, expected: AttemptRecord, found: AttemptRecord) -> str:
    """The first difference between two trainings' checkpoints; "" where there is none."""
    if [each.epoch for each in expected.checkpoints] != [each.epoch for each in found.checkpoints]:
        epochs = [[each.epoch for each in record.checkpoints] for record in (expected, found)]
        return f"epochs {epochs[0]} and {epochs[1]}" + (f" ({found.message})" if found.message else "")
    tolerance = CPU_TOLERANCE if trials.settings["device"] == "cpu" else GPU_TOLERANCE
    for one, other in zip(expected.checkpoints, found.checkpoints, strict=True):
        for metric, value in one.metrics.items():
            if not math.isclose(value, other.metrics.get(metric, math.nan), rel_tol=tolerance, abs_tol=tolerance):
                return f"{metric} {value!r} and {other.metrics.get(metric)!r} after epoch {one.epoch}"
    return ""
