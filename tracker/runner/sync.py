"""Deliver what MLflow lacks of a study that nobody runs: it was away when the study ended."""

from __future__ import annotations

from tracker.engine.forkserver import Forkserver
from tracker.errors import StoreError
from tracker.records import TrialState
from tracker.runner.event_replay import replay_logs
from tracker.runner.plan import make_plan
from tracker.runner.progress import Observer, Silent
from tracker.runner.session import Places, reopen_session
from tracker.runner.study_lookup import folder_of


def sync_study(name: str, places: Places, observer: Observer | None = None) -> int:
    """Log what MLflow lacks, with the times that it happened at, and return how many runs were written.

    Runs that MLflow has up to their last entry are left as they are. Attempts that lost their coordinator are closed as
    killed. Raises StudyNotFoundError, RequestError where a coordinator runs the study (it delivers by itself),
    StoreError where MLflow is still away, and what ``make_plan`` raises.
    """
    observer, home = observer or Silent(), places.home
    folder = folder_of(home, name)
    with folder.locked():
        document = folder.document()
        plan = make_plan(document, Forkserver(document.workload or ""), home)
        session = reopen_session(plan, home, folder, observer)
        replayed = replay_logs(session)
        state, ended_at = folder.end() or (TrialState.STOPPED, replayed.ended_at)
        if session.books.delivery.problem or not session.books.finish(state, ended_at):
            raise StoreError(session.books.delivery.problem or "MLflow did not keep all files; try again")
    return replayed.written
