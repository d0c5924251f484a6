"""Run or resume a study, for the command and the library."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.reservations import Reservations
from tracker.errors import DataError, RequestError, WorkFailedError, WorkloadError
from tracker.pricing.cost import price_of
from tracker.records import AttemptRecord, DataCard, TrialState, Usage
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.coordinator import POLL_SECONDS, Coordinator
from tracker.runner.decisions import FILE_NAME as DECISIONS_FILE
from tracker.runner.decisions import Decisions
from tracker.runner.evidence import evidence_from, evidence_of_import
from tracker.runner.jobs import Job, attempt_request, baselines, job_of, preparation, rate_of
from tracker.runner.leftovers import remove_stagings, wait_for_workers
from tracker.runner.plan import StudyPlan, make_plan
from tracker.runner.progress import Observer, Silent
from tracker.runner.searchers import (
    Evidence,
    History,
    as_rows,
    create_trials,
    from_rows,
    load_trials,
    make_searcher,
    read_memory,
    sampling_of,
)
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_lookup import check_name_is_free, folder_of, table_of
from tracker.runner.user import current_user
from tracker.search.sampler import Trials
from tracker.search.steps import Searcher
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore, StudyLog, empty_database
from tracker.store.names import logged_name
from tracker.store.run_table import imported_from
from tracker.study.document import COMMAND_MARK, StudyDocument, command_experiment
from tracker.study.edits import to_resume
from tracker.training.command_workload import CommandWorkload
from tracker.training.ending import LOST, write_dropped, write_ending
from tracker.training.events import read_attempt
from tracker.training.mlflow_sources import is_server
from tracker.training.state import FILE_NAME

TAG_CHARACTERS = 2000
"""The length that the data's description is cut to: MLflow accepts tags of at least 5,000 characters."""

_CAN_GO_ON = (TrialState.PAUSED, TrialState.STOPPED, TrialState.KILLED)
"""A trial whose last attempt ended so is resumed if it saved a state and its search still wants it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a study is stored: the home folder, and the Optuna database if it is elsewhere."""

    home: Home
    storage: str | None = None

    @property
    def optuna_storage(self) -> str:
        """The Optuna database's URL."""
        return self.storage or self.home.optuna_storage


def run_study(
    document: StudyDocument,
    places: Places,
    *,
    workers: int | None = None,
    warm_start: Sequence[str] = (),
    observer: Observer | None = None,
) -> TrialState:
    """Run a new study until it completes, or until someone stops it.

    ``warm_start`` names earlier studies of the same space to learn from, at this study's prices. A wrong request leaves
    nothing behind. Raises StudyFileError, StudyExistsError, DataError, HardwareError, PriceBookError, StoreError, and
    RequestError where an earlier study has another space, the sampler cannot suggest for the study, or none of its
    trials beats the reference point.
    """
    observer, document = observer or Silent(), document.anchored(Path.cwd())
    home, forkserver = places.home, Forkserver(document.workload or "")
    plan = make_plan(document, forkserver, home)
    announce(plan, observer)
    Trials.check(plan.spec.search.objectives, plan.space, sampling_of(plan))
    evidence = _evidence(plan, home, warm_start, observer)
    home.make()
    name = plan.spec.name
    with home.databases_being_made():
        store, started = MlflowStore(home.tracking_uri), Trials.started(places.optuna_storage, name)
    check_name_is_free(home, name, places.optuna_storage, started)
    remove_stagings(StudyFolder(home.study(name)))
    engine = engine_for(plan, forkserver, workers)
    with StudyFolder.staged(home.study(name)) as staged, staged.locked():
        _check_data_cost(plan, _prepare(plan, staged, home, engine, observer), observer)
        staged.save(document)
        staged.save_evidence(as_rows(evidence))
        # The folder claims the name: if the process is killed from here on, resume creates what is missing.
        folder = staged.commit(home.study(name))
        with contextlib.ExitStack() as undo:
            undo.callback(folder.remove)
            card = folder.data_card()
            if card.words:
                observer.notify(f"data: {card.words}")
            trials = _make_trials(plan, places)
            undo.callback(Trials.remove, places.optuna_storage, name)
            tags = {**_study_tags(plan, card), "mlflow.user": current_user()}
            log = store.create_study(name, tags, folder.started_at, home.artifacts(name))
            _make_commands_experiment(plan, home, store)
            undo.pop_all()
        books = open_books(plan, home, folder, log, card, observer)
        replayed = replay_logs(plan, folder, books)
        searcher = make_searcher(plan, trials, {}, evidence, notify=observer.notify)
        return _coordinate(plan, places, folder, engine, searcher, books, observer, card, replayed)


def resume_study(
    name: str,
    places: Places,
    *,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    update: bool = False,
    workers: int | None = None,
    observer: Observer | None = None,
) -> TrialState:
    """Resume a study until its budget, or a new one, is spent. Earlier spend stays counted.

    Attempts whose coordinator vanished are closed as killed; what MLflow or Optuna lack is restored from the event
    logs. ``update`` applies edits of the study's file (study.edits). Raises StudyNotFoundError, RequestError where it
    is running already or has edits that cannot be applied, and what ``run_study`` raises.
    """
    observer = observer or Silent()
    home = places.home
    folder = folder_of(home, name)
    stored = folder.document()
    document = to_resume(stored, observer.notify, update=update)
    document = document.override(budget_usd=budget_usd, trials=trials, wall_seconds=wall_seconds)
    forkserver = Forkserver(document.workload or "")
    plan = make_plan(document, forkserver, home)
    announce(plan, observer)
    Trials.check(plan.spec.search.objectives, plan.space, sampling_of(plan))
    with folder.locked():
        card = folder.data_card()
        log = reopen_log(plan, home, folder, card, observer)
        untagged = stored.content.get("tags", {}).keys() - plan.spec.tags.keys()
        log.parent.tag({**dict.fromkeys(untagged, ""), **_study_tags(plan, card)})
        books = open_books(plan, home, folder, log, card, observer)
        replayed = replay_logs(plan, folder, books, seen_before=True)
        known = {number: history.job.settings for number, history in replayed.trials.items()}
        with home.databases_being_made():
            found = load_trials(plan, places.optuna_storage, known, observer.notify)
        folder.save(document)
        unfinished = found.unfinished()
        for number, history in replayed.trials.items():
            state = history.record.state if history.record else None
            history.can_go_on = (
                number in unfinished and state in _CAN_GO_ON and (folder.trials / str(number) / FILE_NAME).exists()
            )
        for number in unfinished:
            if number not in replayed.trials:  # it was asked for and never started
                found.tell(number, TrialState.KILLED, None)
        evidence = from_rows(folder.evidence())
        searcher = make_searcher(
            plan, found, read_memory(folder.path), evidence, replayed.trials.values(), notify=observer.notify
        )
        engine = engine_for(plan, forkserver, workers)
        return _coordinate(plan, places, folder, engine, searcher, books, observer, card, replayed)


def _make_trials(plan: StudyPlan, places: Places) -> Trials:
    """Create the study in Optuna's database, replacing one without started trials."""
    with places.home.databases_being_made():
        if Trials.started(places.optuna_storage, plan.spec.name) == 0:
            Trials.remove(places.optuna_storage, plan.spec.name)
        return create_trials(plan, places.optuna_storage)


def _make_commands_experiment(plan: StudyPlan, home: Home, store: MlflowStore) -> None:
    if plan.spec.workload.startswith(COMMAND_MARK) and is_server(home.tracking_uri):
        own = command_experiment(plan.spec.name)
        store.make_experiment(own, home.artifacts(own))


def reopen_log(plan: StudyPlan, home: Home, folder: StudyFolder, card: DataCard, observer: Observer) -> StudyLog:
    """Reopen a study in MLflow, restoring what was deleted or renamed; this does not mark it as running.

    Raises RequestError, StoreError.
    """
    with home.databases_being_made():
        store = MlflowStore(home.tracking_uri)
        name, tags = plan.spec.name, {**_study_tags(plan, card), "tracker.state": TrialState.STOPPED}
        tags["mlflow.user"] = current_user()  # of a parent run that is created again
        log = store.reopen_study(name, tags, folder.started_at, home.artifacts(name), observer.notify)
        _make_commands_experiment(plan, home, store)
    return log


def engine_for(plan: StudyPlan, forkserver: Forkserver, workers: int | None) -> LocalEngine:
    """The workers of this machine, at most ``workers`` at once; None for as many as it has cores.

    Raises RequestError for an invalid number, and for several where nobody could know whose log is whose.
    """
    hardware, report = plan.hardware, plan.spec.report
    if report is not None and report.one_at_a_time:
        if workers is not None and workers > 1:
            raise RequestError(
                f"--workers {workers}: trials at once would all write csv logs to '{report.place}', and which is whose "
                "could not be known; let each write below $TRACKER_ARTIFACTS, or use --workers 1"
            )
        workers = 1 if workers is None else workers
    if workers is not None and workers < 1:
        raise RequestError(f"--workers {workers} is not a whole number of at least 1")
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(hardware.cores)
    reservations = Reservations(usable[: hardware.cores], range(hardware.accelerator_count))
    return LocalEngine(forkserver, reservations, workers)


def announce(plan: StudyPlan, observer: Observer) -> None:
    """Show the machine, what it is billed as, changed cost terms, and what is left out of the space."""
    observer.notify(f"machine: {plan.hardware.label}")
    for device, point in plan.price_points.items():
        rate = f"${point.usd_per_hour:g} an hour for the whole machine on {point.effective_from}"
        observer.notify(f"{device} is billed as {point.sku} ({point.market}), {rate}")
    if changed := plan.spec.costs.changed:
        observer.notify(
            f"costs assumed: {', '.join(f'{name} = {str(value).lower()}' for name, value in changed.items())}"
        )
    for sentence in plan.space.left_out:
        observer.notify(f"left out: {sentence}")
    for name in sorted({*plan.spec.needed_metrics, *plan.spec.default_settings, *plan.spec.space}):
        if (logged := logged_name(name)) != name:
            observer.notify(f"'{name}' is '{logged}' in MLflow, which does not allow every name; here it keeps its own")


def _prepare(plan: StudyPlan, folder: StudyFolder, home: Home, engine: LocalEngine, observer: Observer) -> Usage:
    """Prepare the data in a worker; its usage is the first thing that the study pays for."""
    job = preparation(plan.spec, plan.hardware)
    while (reservation := engine.reserve(job.threads)) is None:
        time.sleep(POLL_SECONDS)  # another study has the cores
    request = attempt_request(job, reservation, plan, folder.trials, home.cache, tracking_uri=home.tracking_uri)
    with engine:
        attempt = engine.start(request, reservation)
        attempt.on_event = lambda event: observer.notify(event["message"]) if event["event"] == "progress" else None
        while not engine.poll(POLL_SECONDS):
            pass
    if attempt.record.state is not TrialState.COMPLETED:
        wrong_requests = {error.__name__: error for error in (DataError, WorkloadError)}
        failure = wrong_requests.get(attempt.record.reason, WorkFailedError)
        raise failure(f"the data cannot be prepared: {attempt.record.message}")
    return attempt.record.usage


def _check_data_cost(plan: StudyPlan, usage: Usage, observer: Observer) -> None:
    """Show what the data cost; refuse a study whose budget they use up before the first trial."""
    data_usd, budget_usd = price_of(usage, plan.cpu_point, plan.spec.costs).data_usd, plan.spec.budget.usd
    if not data_usd:
        return
    cost = f"the data cost ${data_usd:,.4g} for {usage.acquired_samples:,} samples, paid once by the study"
    if budget_usd is not None and data_usd >= budget_usd:
        raise RequestError(
            f"{cost}: nothing is left of its budget of ${budget_usd:g}; raise budget.usd, or lower [costs]"
        )
    observer.notify(cost)


def open_books(
    plan: StudyPlan, home: Home, folder: StudyFolder, log: StudyLog, card: DataCard, observer: Observer
) -> Bookkeeper:
    """Open empty accounts for a study."""
    run_tags = ("tracker.study", "tracker.hardware", "tracker.data", "tracker.commit")
    tags = {name: text for name, text in _study_tags(plan, card).items() if name in run_tags}
    return Bookkeeper(
        tracking_uri=home.tracking_uri,
        served_by=plan.spec.workload if plan.spec.description.serves else "",
        log=log,
        quality=plan.spec.quality,
        limits=plan.spec.limits,
        budget=plan.spec.budget,
        card=card,
        tags=tags,
        terms=plan.spec.costs,
        files_of=lambda job: folder.trials / job.folder / "artifacts",
        warn=observer.notify,
        predictions=plan.spec.search.predictions,
    )


@dataclass(frozen=True, slots=True)
class ReplayedLogs:
    """A study's event logs, replayed: the last attempt of every run, by its label; the trials' histories, by number.

    ``worked_seconds`` is how long workers worked.
    """

    last: Mapping[str, tuple[Job, AttemptRecord]]
    trials: Mapping[int, History]
    worked_seconds: float


def replay_logs(plan: StudyPlan, folder: StudyFolder, books: Bookkeeper, *, seen_before: bool = False) -> ReplayedLogs:
    """Enter every attempt in the folder's event logs; those without an end lost their coordinator."""
    wait_for_workers(folder)
    last: dict[str, tuple[Job, AttemptRecord]] = {}
    trials: dict[int, History] = {}
    spans = []
    for path, events in folder.attempts():
        job, record = job_of(events[0]), read_attempt(path, int(path.stem))
        if record.ended_at is None:
            last_seen_seconds = max(0.0, float(events[-1]["time"]) - record.started_at)
            write_ending(path, record, LOST, last_seen_seconds)
            record = read_attempt(path, int(path.stem))
        user = str(events[0].get("user", ""))  # older logs have none
        books.open(job, *rate_of(events[0], plan), record.started_at, user=user, seen_before=seen_before)
        reached = books.close(job.label, record)
        last[job.label] = job, record
        spans.append((record.started_at, record.ended_at or record.started_at))
        if job.trial is not None:
            history = trials.setdefault(job.trial, History(job))
            history.job, history.record, history.price_usd = job, record, books.ledger.of(job.label)
            history.checkpoints += reached
    for number, history in trials.items():
        if history.record is None or history.record.state is not TrialState.PAUSED:
            continue
        if not (folder.trials / str(number) / FILE_NAME).exists():
            why = "its saved state is gone, so it cannot be resumed"
            write_dropped(folder.trials / str(number) / f"{history.record.number}.jsonl", why)
            books.stop(history.job.label, why)
    books.flush()
    return ReplayedLogs(last, trials, _covered_seconds(spans))


def _covered_seconds(spans: Sequence[tuple[float, float]]) -> float:
    """The total time that the intervals (start, end) cover."""
    covered, reached = 0.0, -math.inf
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def _evidence(plan: StudyPlan, home: Home, names: Sequence[str], observer: Observer) -> list[Evidence]:
    if names and plan.spec.strategy != "frontier":
        raise RequestError(f"--from: strategy '{plan.spec.strategy}' cannot learn from other studies; 'frontier' does")
    evidence = []
    for name in dict.fromkeys(names):
        if imported_from(home.tracking_uri, name):
            found, prices = evidence_of_import(plan, table_of(home, name)), "the prices that it was imported with"
        else:
            found, prices = evidence_from(plan, folder_of(home, name), name), "this study's prices"
        observer.notify(f"the search learns from {len(found)} trials of the study '{name}', at {prices}")
        evidence += found
    return evidence


def _coordinate(
    plan: StudyPlan,
    places: Places,
    folder: StudyFolder,
    engine: LocalEngine,
    searcher: Searcher,
    books: Bookkeeper,
    observer: Observer,
    card: DataCard,
    replayed: ReplayedLogs,
) -> TrialState:
    coordinator = Coordinator(
        plan,
        engine,
        searcher,
        books,
        observer,
        Decisions(folder.path / DECISIONS_FILE),
        waiting=[job for job in baselines(plan.spec, plan.hardware) if job.label not in replayed.last],
        attempts={trial: each.record.number if each.record else 0 for trial, each in replayed.trials.items()},
        folder=folder.path,
        cache=places.home.cache,
        data_card=card,
        tracking_uri=places.home.tracking_uri,
        command_store=_command_store(plan, places.home),
        worked_seconds=replayed.worked_seconds,
    )
    return coordinator.run()


def _command_store(plan: StudyPlan, home: Home) -> Path | None:
    """The template of a command's MLflow database, where it uses the same MLflow."""
    reference = plan.spec.workload
    if not reference.startswith(COMMAND_MARK) or is_server(home.tracking_uri):
        return None
    if not CommandWorkload(reference).takes_our_python:
        return None
    with home.databases_being_made():
        return empty_database(home.cache)


def _study_tags(plan: StudyPlan, card: DataCard) -> dict[str, str]:
    spec = plan.spec
    return {
        "tracker.study": spec.name,
        "tracker.workload": spec.workload,
        "tracker.quality": spec.quality.name,
        "tracker.direction": spec.quality.direction,
        "tracker.budget_usd": "" if spec.budget.usd is None else repr(spec.budget.usd),
        "tracker.seed": str(spec.seed),
        "tracker.strategy": spec.strategy,
        "tracker.state": TrialState.RUNNING,
        "tracker.price_book": plan.price_book.version,
        "tracker.prices": spec.pricing.prices,
        "tracker.country": spec.pricing.country,
        "tracker.limits": json.dumps([asdict(limit) for limit in spec.limits]),
        "tracker.costs": json.dumps(spec.costs.changed),
        "tracker.hardware": plan.hardware.label,
        "tracker.data": card.fingerprint,
        "tracker.data_description": card.words[:TAG_CHARACTERS],
        "tracker.commit": _commit(),
        "tracker.versions": _versions(),
        "tracker.tags": json.dumps(spec.tags),
        **spec.tags,
    }


def _versions() -> str:
    """The versions that results depend on most, in words."""
    libraries = [f"Python {platform.python_version()}"]
    for package in ("cost-quality-tracker", "torch", "numpy", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            libraries.append(f"{package} {version(package)}")
    return ", ".join(libraries)


def _commit() -> str:
    """The commit of the current repository, marked where files differ from it; "" outside one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""
