"""Run a study, resume one: what the command and the library offer."""

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
from tracker.records import AttemptRecord, DataCard, Hardware, TrialState, Usage
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.coordinator import POLL_SECONDS, Coordinator
from tracker.runner.decisions import FILE_NAME as DECISIONS_FILE
from tracker.runner.decisions import Decisions
from tracker.runner.evidence import evidence_from
from tracker.runner.jobs import Job, attempt_request, baselines, job_of, preparation, rate_of
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
from tracker.runner.user import current_user
from tracker.runner.whereabouts import check_name_is_free, folder_of
from tracker.search.sampler import Trials
from tracker.search.steps import Searcher
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore, StudyLog, empty_database
from tracker.store.names import logged_name
from tracker.study.document import COMMAND_MARK, StudyDocument, command_experiment
from tracker.study.edits import to_resume
from tracker.training.command_workload import CommandWorkload
from tracker.training.ending import LOST, write_ending
from tracker.training.events import read_attempt
from tracker.training.mlflow_sources import is_server
from tracker.training.state import FILE_NAME

TAG_CHARACTERS = 2000
"""What is kept of the data's description: MLflow takes tags of 5,000 characters at least."""

_CAN_GO_ON = (TrialState.PAUSED, TrialState.STOPPED, TrialState.KILLED)
"""How a trial's last attempt ended that is gone on with where it saved a state and its search waits for it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a study is kept: the home folder, and the Optuna database if it lives elsewhere."""

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
    """Run a new study to its end; completed, or stopped where someone interrupted it.

    ``warm_start`` names earlier studies of the same space that the search learns from, at this study's prices. Nothing
    is left behind where the request was wrong. Raises StudyFileError, StudyExistsError, DataError, HardwareError,
    PriceBookError, StoreError, and RequestError where an earlier study's space is another, the sampler cannot
    suggest for the study, or a reference point is beaten by none of its trials.
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
    engine = engine_for(plan.hardware, forkserver, workers)
    with StudyFolder.staged(home.study(name)) as staged, staged.locked():
        _check_data_cost(plan, _prepare(plan, staged, home, engine, observer), observer)
        staged.save(document)
        staged.save_evidence(as_rows(evidence))
        # The folder claims the name: killed from here on, the study is resumed, which makes what it lacks.
        folder = staged.commit(home.study(name))
        with contextlib.ExitStack() as undo:
            undo.callback(folder.remove)
            card = folder.data_card()
            if card.words:
                observer.say(f"data: {card.words}")
            trials = _make_trials(plan, places)
            undo.callback(Trials.remove, places.optuna_storage, name)
            tags = {**_study_tags(plan, card), "mlflow.user": current_user()}
            log = store.create_study(name, tags, folder.started_at, home.artifacts(name))
            _make_commands_experiment(plan, home, store)
            undo.pop_all()
        books = open_books(plan, home, folder, log, card, observer)
        taken = take_in(plan, folder, books)
        searcher = make_searcher(plan, trials, {}, evidence, notify=observer.say)
        return _coordinate(plan, places, folder, engine, searcher, books, observer, card, taken)


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
    """Resume a study until its budget, or a new one, is spent. What was spent before stays counted.

    Attempts whose coordinator vanished are closed as killed; what MLflow or Optuna lack is made again from the event
    logs. ``update`` takes what was edited in the study's file (study.edits). Raises StudyNotFoundError, RequestError
    where it is running already or has edits that it cannot take, and what ``run_study`` raises.
    """
    observer = observer or Silent()
    home = places.home
    folder = folder_of(home, name)
    stored = folder.document()
    document = to_resume(stored, observer.say, update=update)
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
        taken = take_in(plan, folder, books, seen_before=True)
        known = {number: history.job.settings for number, history in taken.trials.items()}
        with home.databases_being_made():
            found = load_trials(plan, places.optuna_storage, known, observer.say)
        folder.save(document)
        unfinished = found.unfinished()
        for number, history in taken.trials.items():
            state = history.record.state if history.record else None
            history.can_go_on = (
                number in unfinished and state in _CAN_GO_ON and (folder.trials / str(number) / FILE_NAME).exists()
            )
        for number in unfinished:
            if number not in taken.trials:  # it was asked for, and nothing came of it
                found.tell(number, TrialState.KILLED, None)
        evidence = from_rows(folder.evidence())
        searcher = make_searcher(
            plan, found, read_memory(folder.path), evidence, taken.trials.values(), notify=observer.say
        )
        engine = engine_for(plan.hardware, forkserver, workers)
        return _coordinate(plan, places, folder, engine, searcher, books, observer, card, taken)


def _make_trials(plan: StudyPlan, places: Places) -> Trials:
    """The study in Optuna's database, in place of one that no trial was started of."""
    with places.home.databases_being_made():
        if Trials.started(places.optuna_storage, plan.spec.name) == 0:
            Trials.remove(places.optuna_storage, plan.spec.name)
        return create_trials(plan, places.optuna_storage)


def _make_commands_experiment(plan: StudyPlan, home: Home, store: MlflowStore) -> None:
    if plan.spec.workload.startswith(COMMAND_MARK) and is_server(home.tracking_uri):
        own = command_experiment(plan.spec.name)
        store.make_experiment(own, home.artifacts(own))


def reopen_log(plan: StudyPlan, home: Home, folder: StudyFolder, card: DataCard, observer: Observer) -> StudyLog:
    """A study's place in MLflow, put back or made anew where it is not what it was; it is not running by that.

    Raises RequestError, StoreError.
    """
    with home.databases_being_made():
        store = MlflowStore(home.tracking_uri)
        name, tags = plan.spec.name, {**_study_tags(plan, card), "tracker.state": TrialState.STOPPED}
        tags["mlflow.user"] = current_user()  # of a parent run that is made again
        log = store.reopen_study(name, tags, folder.started_at, home.artifacts(name), observer.say)
        _make_commands_experiment(plan, home, store)
    return log


def engine_for(hardware: Hardware, forkserver: Forkserver, workers: int | None) -> LocalEngine:
    """The workers of this machine, at most ``workers`` at once. Raises RequestError where that is none."""
    if workers is not None and workers < 1:
        raise RequestError(f"--workers {workers} is not a whole number of at least 1")
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(hardware.cores)
    reservations = Reservations(usable[: hardware.cores], range(hardware.accelerator_count))
    return LocalEngine(forkserver, reservations, workers)


def announce(plan: StudyPlan, observer: Observer) -> None:
    """Say what machine this is, what it is billed as, and what is assumed or left out."""
    observer.say(f"machine: {plan.hardware.label}")
    for device, point in plan.price_points.items():
        rate = f"${point.usd_per_hour:g} an hour for the whole machine on {point.effective_from}"
        observer.say(f"{device} is billed as {point.sku} ({point.market}), {rate}")
    if changed := plan.spec.costs.changed:
        observer.say("costs assumed: " + ", ".join(f"{name} = {str(value).lower()}" for name, value in changed.items()))
    for sentence in plan.space.left_out:
        observer.say(f"left out: {sentence}")
    for name in sorted({*plan.spec.needed_metrics, *plan.spec.default_settings, *plan.spec.space}):
        if (logged := logged_name(name)) != name:
            observer.say(f"'{name}' is '{logged}' in MLflow, which does not take every name; here it keeps its own")


def _prepare(plan: StudyPlan, folder: StudyFolder, home: Home, engine: LocalEngine, observer: Observer) -> Usage:
    """Make the data ready in a worker of its own; what it used is the first thing that the study pays for."""
    job = preparation(plan.spec, plan.hardware)
    while (reservation := engine.reserve(job.threads)) is None:
        time.sleep(POLL_SECONDS)  # another study has the cores
    request = attempt_request(job, reservation, plan, folder.trials, home.cache, tracking_uri=home.tracking_uri)
    with engine:
        attempt = engine.start(request, reservation)
        attempt.on_event = lambda event: observer.say(event["message"]) if event["event"] == "progress" else None
        while not engine.poll(POLL_SECONDS):
            pass
    if attempt.record.state is not TrialState.COMPLETED:
        wrong_requests = {error.__name__: error for error in (DataError, WorkloadError)}
        failure = wrong_requests.get(attempt.record.reason, WorkFailedError)
        raise failure(f"the data cannot be prepared: {attempt.record.message}")
    return attempt.record.usage


def _check_data_cost(plan: StudyPlan, usage: Usage, observer: Observer) -> None:
    """Say what the data cost; refuse a study whose budget they use up before the first trial."""
    data_usd, budget_usd = price_of(usage, plan.cpu_point, plan.spec.costs).data_usd, plan.spec.budget.usd
    if not data_usd:
        return
    told = f"the data cost ${data_usd:,.4g} for {usage.acquired_samples:,} samples, paid once by the study"
    if budget_usd is not None and data_usd >= budget_usd:
        raise RequestError(
            f"{told}: nothing is left of its budget of ${budget_usd:g}; raise budget.usd, or lower what [costs] says"
        )
    observer.say(told)


def open_books(
    plan: StudyPlan, home: Home, folder: StudyFolder, log: StudyLog, card: DataCard, observer: Observer
) -> Bookkeeper:
    """The books of a study, with nothing in them yet."""
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
        warn=observer.say,
        predictions=plan.spec.search.predictions,
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """What a study's folder knows: the last attempt at every run, by its label; the trials' histories, by number.

    ``worked_seconds`` is how long workers were at work.
    """

    last: Mapping[str, tuple[Job, AttemptRecord]]
    trials: Mapping[int, History]
    worked_seconds: float


def take_in(plan: StudyPlan, folder: StudyFolder, books: Bookkeeper, *, seen_before: bool = False) -> Taken:
    """Enter every attempt that the folder knows of; those without an end lost their coordinator."""
    last: dict[str, tuple[Job, AttemptRecord]] = {}
    trials: dict[int, History] = {}
    spans = []
    for path, events in folder.attempts():
        job, record = job_of(events[0]), read_attempt(path, int(path.stem))
        if record.ended_at is None:
            last_seen_seconds = max(0.0, float(events[-1]["time"]) - record.started_at)
            write_ending(path, record, LOST, last_seen_seconds)
            record = read_attempt(path, int(path.stem))
        user = str(events[0].get("user", ""))  # attempts that were logged before events told it have none
        books.open(job, *rate_of(events[0], plan), record.started_at, user=user, seen_before=seen_before)
        reached = books.close(job.label, record)
        last[job.label] = job, record
        spans.append((record.started_at, record.ended_at or record.started_at))
        if job.trial is not None:
            history = trials.setdefault(job.trial, History(job))
            history.job, history.record, history.price_usd = job, record, books.ledger.of(job.label)
            history.checkpoints += reached
    for number, history in trials.items():
        paused = history.record is not None and history.record.state is TrialState.PAUSED
        if paused and not (folder.trials / str(number) / FILE_NAME).exists():
            books.stop(history.job.label, "the state that it was to be gone on from is not kept any more")
    books.flush()
    return Taken(last, trials, _covered_seconds(spans))


def _covered_seconds(spans: Sequence[tuple[float, float]]) -> float:
    """How much time intervals (begin, end) cover together."""
    covered, reached = 0.0, -math.inf
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def _evidence(plan: StudyPlan, home: Home, names: Sequence[str], observer: Observer) -> list[Evidence]:
    if names and plan.spec.strategy != "frontier":
        raise RequestError(f"--from: strategy '{plan.spec.strategy}' learns from no other study; 'frontier' does")
    evidence = []
    for name in dict.fromkeys(names):
        found = evidence_from(plan, folder_of(home, name), name)
        observer.say(f"the search learns from {len(found)} trials of the study '{name}', at this study's prices")
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
    taken: Taken,
) -> TrialState:
    coordinator = Coordinator(
        plan,
        engine,
        searcher,
        books,
        observer,
        Decisions(folder.path / DECISIONS_FILE),
        waiting=[job for job in baselines(plan.spec, plan.hardware) if job.label not in taken.last],
        attempts={number: history.record.number if history.record else 0 for number, history in taken.trials.items()},
        folder=folder.path,
        cache=places.home.cache,
        data_card=card,
        tracking_uri=places.home.tracking_uri,
        command_store=_command_store(plan, places.home),
        worked_seconds=taken.worked_seconds,
    )
    return coordinator.run()


def _command_store(plan: StudyPlan, home: Home) -> Path | None:
    """What a command's own MLflow database is a copy of, where its MLflow is this one."""
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
    told = [f"Python {platform.python_version()}"]
    for package in ("cost-quality-tracker", "torch", "numpy", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            told.append(f"{package} {version(package)}")
    return ", ".join(told)


def _commit() -> str:
    """The commit of the repository that this runs in, marked where files differ from it; "" outside one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""
