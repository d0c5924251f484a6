"""Run or resume a study, for the command and the library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tracker.engine.cluster.distant import bring_all
from tracker.engine.engine import Engine
from tracker.errors import RequestError
from tracker.records import TrialState
from tracker.runner.coordinator import Coordinator
from tracker.runner.delivery import Delivery
from tracker.runner.event_replay import ReplayedLogs, replay_logs
from tracker.runner.evidence import evidence_from, evidence_of_import
from tracker.runner.interrupts import Interrupts
from tracker.runner.jobs import Grounds, baselines
from tracker.runner.leftovers import remove_stagings
from tracker.runner.machines import machines_of
from tracker.runner.plan import StudyPlan
from tracker.runner.preparation import prepare
from tracker.runner.progress import Observer, Silent
from tracker.runner.search_work import SearchWork
from tracker.runner.searchers import (
    Evidence,
    as_rows,
    create_trials,
    from_rows,
    load_trials,
    make_searcher,
    read_memory,
    sampling_of,
)
from tracker.runner.session import Places, Session, make_log, open_session, reopen_session
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_lookup import check_name_is_free, folder_of, table_of
from tracker.runner.study_tags import study_tags
from tracker.search.sampler import Trials
from tracker.search.steps import Searcher
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import imported_from
from tracker.study.document import StudyDocument
from tracker.study.edits import to_resume
from tracker.training.state import has_state

_CAN_GO_ON = (TrialState.PAUSED, TrialState.STOPPED, TrialState.KILLED)
"""A trial whose last attempt ended so is resumed if it saved a state and its search still wants it."""


def run_study(
    document: StudyDocument,
    places: Places,
    *,
    workers: int | None = None,
    warm_start: Sequence[str] = (),
    observer: Observer | None = None,
    searcher_of: Callable[[StudyPlan, Trials], Searcher] | None = None,
    prepare_twice: bool = False,
) -> TrialState:
    """Run a new study until it completes, or until someone stops it.

    ``warm_start`` names earlier studies of the same space to learn from, at this study's prices. ``searcher_of`` makes
    what chooses its trials, in place of its strategy; with ``prepare_twice`` it pays also for finding its data
    prepared. A wrong request leaves nothing behind. Raises StudyFileError, StudyExistsError, DataError, HardwareError,
    PriceBookError, StoreError, and RequestError where an earlier study has another space, the sampler cannot suggest
    for the study, or none of its trials beats the reference point.
    """
    observer, document = observer or Silent(), document.anchored(Path.cwd())
    home = places.home
    with machines_of(document, home, workers, observer) as machines:
        plan = machines.plan
        machines.announce()
        Trials.check(plan.spec.search.objectives, plan.space, sampling_of(plan))
        evidence = _evidence(plan, home, warm_start, observer)
        home.make()
        name = plan.spec.name
        with home.databases_being_made():
            store, started = MlflowStore(home.tracking_uri), Trials.started(places.optuna_storage, name)
        check_name_is_free(home, name, places.optuna_storage, started)
        remove_stagings(StudyFolder(home.study(name)))
        with Interrupts() as interrupts, StudyFolder.staged(home.study(name)) as staged, staged.locked():
            grounds = Grounds(machines.here, staged.trials, home.cache, home.tracking_uri)
            prepare(machines.here, machines.local_engine(), grounds, interrupts, observer, twice=prepare_twice)
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
                log = make_log(plan, home, store, folder.started_at, card)
                engine = machines.engine(folder)
                undo.pop_all()
            session = open_session(plan, home, folder, log, observer)
            replayed = replay_logs(session)
            if searcher_of is None:
                searcher = make_searcher(plan, trials, {}, evidence, notify=observer.notify)
            else:
                searcher = searcher_of(plan, trials)
            return _search(session, engine, trials, searcher, replayed, interrupts)


def resume_study(
    name: str,
    places: Places,
    *,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    update: bool = False,
    engine: Mapping[str, object] | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> TrialState:
    """Resume a study until its budget, or a new one, is spent. Earlier spend stays counted.

    Attempts whose coordinator vanished are closed as killed; what MLflow or Optuna lack is restored from the event
    logs. ``update`` applies edits of the study's file (study.edits), ``engine`` replaces keys of [engine]. Raises
    StudyNotFoundError, RequestError where it is running already or has edits that cannot be applied, and what
    ``run_study`` raises.
    """
    observer = observer or Silent()
    home = places.home
    folder = folder_of(home, name)
    stored = folder.document()
    document = to_resume(stored, observer.notify, update=update)
    document = document.override(budget_usd=budget_usd, trials=trials, wall_seconds=wall_seconds, engine=engine)
    with machines_of(document, home, workers, observer) as machines, Interrupts() as interrupts, folder.locked():
        plan = machines.plan
        machines.announce()
        Trials.check(plan.spec.search.objectives, plan.space, sampling_of(plan))
        if machines.cluster is None:
            bring_all(folder.trials)
        runs_on = machines.engine(folder)
        session = reopen_session(plan, home, folder, observer)
        untagged = stored.content.get("tags", {}).keys() - plan.spec.tags.keys()
        folder.forget_end()
        session.tag_study({**dict.fromkeys(untagged, ""), **study_tags(plan, folder.data_card())})
        replayed = replay_logs(session, adopted=runs_on.adopt(folder.trials))
        runs_on.recount(replayed.ended)
        known = {number: history.job.settings for number, history in replayed.trials.items()}
        with home.databases_being_made():
            found = load_trials(plan, places.optuna_storage, known, observer.notify)
        folder.save(document)
        unfinished = found.unfinished()
        for number, history in replayed.trials.items():
            state = history.record.state if history.record else None
            history.can_go_on = number in unfinished and state in _CAN_GO_ON and has_state(folder.trials / str(number))
        for number in unfinished:
            if number not in replayed.trials:  # it was asked for and never started
                found.tell(number, TrialState.STOPPED, None)
        evidence = from_rows(folder.evidence())
        searcher = make_searcher(
            plan, found, read_memory(folder.path), evidence, replayed.trials.values(), notify=observer.notify
        )
        return _search(session, runs_on, found, searcher, replayed, interrupts)


def _make_trials(plan: StudyPlan, places: Places) -> Trials:
    """Create the study in Optuna's database, replacing one without started trials."""
    with places.home.databases_being_made():
        if Trials.started(places.optuna_storage, plan.spec.name) == 0:
            Trials.remove(places.optuna_storage, plan.spec.name)
        return create_trials(plan, places.optuna_storage)


def _evidence(plan: StudyPlan, home: Home, names: Sequence[str], observer: Observer) -> list[Evidence]:
    if names and plan.spec.strategy != "frontier":
        raise RequestError(f"--from: strategy '{plan.spec.strategy}' cannot learn from other studies; 'frontier' does")
    evidence = []
    for name in dict.fromkeys(names):
        if imported_from(home.tracking_uri, name):
            found, prices = evidence_of_import(plan, table_of(home, name)), "the prices that it was imported with"
        else:
            found, prices = evidence_from(plan, folder_of(home, name), name, observer.notify), "this study's prices"
        observer.notify(f"the search learns from {len(found)} trials of the study '{name}', at {prices}")
        evidence += found
    return evidence


def _search(
    session: Session,
    engine: Engine,
    trials: Trials,
    searcher: Searcher,
    replayed: ReplayedLogs,
    interrupts: Interrupts,
) -> TrialState:
    """Carry out the search until the study completes, fails, or someone stops it."""
    plan, observer = session.plan, session.observer
    running = [replayed.last[attempt.request.label][0] for attempt in engine.running]
    work = SearchWork(
        session,
        engine,
        searcher,
        waiting=[job for job in baselines(plan.spec, plan.hardware) if job.label not in replayed.last],
        running=running,
        attempts={trial: each.record.number if each.record else 0 for trial, each in replayed.trials.items()},
        worked_seconds=replayed.worked_seconds,
        ended=replayed.ended,
    )
    assert trials.record is not None, "a study's trials are in a database"
    with session.books.delivery, Delivery(trials.record) as recording:
        interrupted = Coordinator(work, engine, session.grounds, interrupts, running).run()
        state, why = (TrialState.STOPPED, interrupted) if interrupted else work.verdict
        written = work.finish(state)
        observer.notify(f"{state}: {why}")
        if not recording.settle():
            observer.notify(f"{recording.problem}: a resume restores what it lacks")
        if not written:
            session.say_what_waits()
    return state
