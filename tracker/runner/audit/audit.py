"""The audit of a study: what differs between its event logs, MLflow, Optuna, its machines and processes here.

Writes nothing, wherever it looks. Imports nothing heavy but Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracker.errors import RequestError
from tracker.runner.audit.expected import ExpectedStudy, expected_study
from tracker.runner.audit.finding import Audit, Finding
from tracker.runner.audit.nodes import node_findings
from tracker.runner.audit.runs import logged_study, run_findings, study_findings
from tracker.runner.audit.trials import trial_findings
from tracker.runner.leftovers import Worker, stale_stagings, workers_of
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_lookup import folder_of
from tracker.search.optuna_trials import read_optuna_study
from tracker.store.home import Home


def audit_study(name: str, home: Home, storage: str | None = None) -> Audit:
    """Audit a study of this home; ``storage`` is its Optuna database, None for the home's own.

    Raises StudyNotFoundError, and StoreError where a store or a log cannot be read.
    """
    folder = folder_of(home, name)
    return audit_books(name, home, storage, folder, folder.coordinator())


def audit_books(name: str, home: Home, storage: str | None, folder: StudyFolder, coordinator: int | None) -> Audit:
    """As ``audit_study``, where it is known which process runs the study."""
    live = coordinator is not None
    study = expected_study(folder)
    findings = [
        *_processes(study, workers_of(folder, study.logs), live=live),
        *_stagings(folder),
        *_in_mlflow(study, home.tracking_uri, name, live=live),
        *([] if live else node_findings(study, folder)),
        *_in_optuna(study, storage or home.optuna_storage, name, _is_noted(folder), live=live),
    ]
    return Audit(
        name,
        coordinator,
        len(study.runs),
        sum(len(run.attempts) for run in study.runs.values()),
        study.price_usd,
        math.fsum(run.wall_seconds for run in study.runs.values()),
        tuple(findings),
        tuple(_notes(study, coordinator)),
    )


def _notes(study: ExpectedStudy, coordinator: int | None) -> Iterator[str]:
    if coordinator is not None:
        yield (
            f"process {coordinator} runs this study: what is not delivered yet, and trials that run, are not compared"
        )
    yield from study.damaged
    if unrated := [label for label, run in study.runs.items() if not run.rated]:
        yield f"old logs that do not say their rate, not compared with MLflow: {', '.join(unrated)}"


def _processes(study: ExpectedStudy, workers: list[Worker], *, live: bool) -> Iterator[Finding]:
    """Attempts without an end, or with two, and workers without a coordinator or without an open attempt."""
    for label, run in study.runs.items():
        for attempt, ends in zip(run.attempts, run.ends, strict=True):
            what = f"{label} attempt {attempt.number}"
            if ends > 1:
                yield Finding("attempt", what, f"its log has {ends} ends", "one")
            if not ends and not live:
                yield Finding("attempt", what, "its log has no end, and no coordinator runs", "an end")
        numbers = [attempt.number for attempt in run.attempts]
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield Finding("attempt", label, f"its attempts are {numbers}", f"1 to {len(numbers)}")
    if not live:
        for worker in workers:
            says = f"process {worker.process} works on attempt {worker.attempt}"
            yield Finding("process", "the study", says, "no process: it has no coordinator")


def _stagings(folder: StudyFolder) -> Iterator[Finding]:
    for each in stale_stagings(folder):
        says = f"folder '{each.path.name}' is of a study that was killed as it started"
        yield Finding("staging", "the study", says, "no such folder")


def _in_mlflow(study: ExpectedStudy, tracking_uri: str, name: str, *, live: bool) -> Iterator[Finding]:
    logged = logged_study(tracking_uri, name)
    if logged is None:
        yield Finding(
            "missing", "the study", "MLflow has no experiment of its name", f"one with {len(study.runs)} runs"
        )
        return
    yield from run_findings(study, logged, live=live)
    if not live and not any(run.is_open or not run.rated for run in study.runs.values()):
        yield from study_findings(study, logged, tracking_uri, name)


def _in_optuna(study: ExpectedStudy, storage: str, name: str, noted: bool, *, live: bool) -> Iterator[Finding]:
    try:
        trials = read_optuna_study(storage, name).trials
    except RequestError as error:
        yield Finding("missing", "the study", f"Optuna does not have it: {error}", "its trials")
        return
    yield from trial_findings(study, trials, live=live, noted=noted)


def _is_noted(folder: StudyFolder) -> bool:
    """Whether the study's search notes in Optuna which trials are paused."""
    return str(folder.document().content.get("strategy", "frontier")) == "frontier"
