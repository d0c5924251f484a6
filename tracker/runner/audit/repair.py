"""Mends a study's books by its event logs, which only ever get the ends that they lack."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from tracker.engine.cluster.node_times import recount
from tracker.engine.forkserver import Forkserver
from tracker.records import TrialState
from tracker.runner.audit.audit import audit_books, audit_study
from tracker.runner.audit.expected import ExpectedStudy, expected_study
from tracker.runner.audit.finding import Audit, Finding
from tracker.runner.audit.trials import allowed_states, expected_values
from tracker.runner.bookkeeper import Bookkeeper
from tracker.runner.event_replay import replay_logs
from tracker.runner.leftovers import attempts_without_workers, remove_stagings
from tracker.runner.plan import StudyPlan, make_plan
from tracker.runner.progress import Observer, Silent
from tracker.runner.searchers import load_trials
from tracker.runner.session import Places, reopen_session
from tracker.runner.still_running import refuse_while_cluster_runs
from tracker.runner.study_lookup import folder_of
from tracker.search.optuna_trials import OptunaTrial, read_optuna_study
from tracker.search.sampler import Trials
from tracker.store.mlflow_store import MlflowStore

_FINISHED = ("COMPLETE", "PRUNED", "FAIL")


def repair_study(name: str, places: Places, observer: Observer | None = None) -> Audit:
    """Mend what can be mended, and audit the study again: its findings are what remains.

    Attempts that lost their coordinator are closed as killed; runs that MLflow has twice, or with values that no event
    has, are deleted there (MLflow can restore them) and logged again; what MLflow or Optuna lack is restored, and what
    attempts took of machines is counted again. Raises RequestError where a coordinator runs the study, or attempts of
    it still run on a cluster without one, and what ``resume_study`` raises before it trains.
    """
    observer, home = observer or Silent(), places.home
    folder = folder_of(home, name)
    with folder.locked():
        attempts_without_workers(folder)
        document = folder.document()
        plan = make_plan(document, Forkserver(document.workload or ""), home)
        refuse_while_cluster_runs(plan.spec.engine, folder, name, observer)
        found = audit_books(name, home, places.storage, folder, None).findings
        _delete_in_mlflow(home.tracking_uri, found)
        remove_stagings(folder)
        session = reopen_session(plan, home, folder, observer)
        replayed = replay_logs(session, rewrite=True)
        recount(folder.path, replayed.ended)
        study = expected_study(folder)
        with home.databases_being_made():
            _mend_trials(study, plan, places, observer)
        found = audit_books(name, home, places.storage, folder, None).findings
        _end_study(session.books, found, *(folder.end() or (TrialState.STOPPED, replayed.ended_at)))
    return audit_study(name, home, places.storage)


def _delete_in_mlflow(tracking_uri: str, found: Sequence[Finding]) -> None:
    run_ids = dict.fromkeys(finding.replaces for finding in found if finding.replaces)
    if run_ids:
        MlflowStore(tracking_uri).delete_runs(list(run_ids))


def _mend_trials(study: ExpectedStudy, plan: StudyPlan, places: Places, observer: Observer) -> None:
    """Tell Optuna how trials ended; a study with a trial that ended otherwise there is restored as a whole."""
    name, storage = plan.spec.name, places.optuna_storage
    runs = {run.job.trial: run for run in study.runs.values() if run.job.trial is not None}
    known = {number: run.job.settings for number, run in runs.items()}
    trials = load_trials(plan, storage, known, observer.notify)
    if any(_is_wrong(study, trial) for trial in read_optuna_study(storage, name).trials):
        observer.notify("Optuna's trials ended otherwise than the event logs say: the study is restored there")
        Trials.remove(storage, name)
        trials = load_trials(plan, storage, known, observer.notify)
    unfinished = trials.unfinished()
    for number in unfinished:
        if number not in runs:  # it was asked for and never started
            trials.tell(number, TrialState.STOPPED, None)
            continue
        run = runs[number]
        if "RUNNING" in allowed_states(run, None):
            last_epoch = run.reached[-1][0] if run.reached else 0
            notes = {"tracker.state": TrialState.PAUSED.value, "epoch": last_epoch, "price_usd": run.price_usd}
            trials.note(number, notes)
        else:
            trials.tell(number, run.state, expected_values(run, study.objectives))
    trials.flush()


def _is_wrong(study: ExpectedStudy, trial: OptunaTrial) -> bool:
    """Whether a trial has ended in Optuna as it did not by its events: Optuna does not change what has ended."""
    if trial.state not in _FINISHED:
        return False
    run = study.runs.get(f"#{trial.number}")
    if run is None:
        return trial.state == "COMPLETE"
    values = expected_values(run, study.objectives)
    if trial.state not in allowed_states(run, values):
        return True
    pairs = zip(values or (), trial.values, strict=False)
    return trial.state == "COMPLETE" and not all(math.isclose(one, other, rel_tol=1e-12) for one, other in pairs)


def _end_study(books: Bookkeeper, found: Sequence[Finding], state: TrialState, ended_at: float) -> None:
    """Log the study's spend, and its end where its coordinator could not."""
    of_study = [finding for finding in found if finding.what == "the study" and finding.kind in ("state", "missing")]
    if of_study:
        books.finish(state, ended_at)
    books.enter_spend(time.time())  # of several figures at a step the latest counts
