"""Repeats: train the frontier's trials again with other seeds, to separate luck from quality.

A repeat is a separate run with one attempt: it trains the settings of its trial until the trial's deepest epoch on the
frontier, and so measures all of its frontier epochs. Every dollar counts in the study's spend. The search does not see
repeats; they are not trials and replace no point of the frontier.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping

from tracker.errors import HardwareError, RequestError
from tracker.frontier.so_far import FrontierSoFar
from tracker.records import AttemptRecord, Hardware, Role, TrialState
from tracker.runner.coordinator import Coordinator
from tracker.runner.event_replay import replay_logs
from tracker.runner.interrupts import Interrupts
from tracker.runner.job import Job
from tracker.runner.jobs import repeat
from tracker.runner.machines import machines_of
from tracker.runner.progress import Observer, Silent
from tracker.runner.repeat_work import Order, RepeatWork
from tracker.runner.session import Places, reopen_session
from tracker.runner.still_running import refuse_while_running
from tracker.runner.study_lookup import folder_of
from tracker.study.edits import to_resume

Done = Mapping[str, tuple[Job, AttemptRecord]]
"""The last attempt of every run of a study, by its label."""


def confirm_study(
    name: str,
    places: Places,
    *,
    seeds: int = 3,
    budget_usd: float | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> TrialState:
    """Train each frontier trial again until it has ``seeds`` repeats; returns STOPPED where it is interrupted.

    ``budget_usd`` is the limit for all repeats of the study, those of earlier calls included: no repeat starts whose
    trial cost more than what is left, and running ones are stopped at the limit. A completed repeat is not trained
    again, nor is a failed one: it was paid for and is no evidence. An interrupted or killed one stays paid, and another
    replaces it. Baselines are not repeated: they are references, and not on the frontier.

    Raises StudyNotFoundError, RequestError (an invalid figure, a study that is running, as parts of it
    may be on a cluster without a coordinator, or that has no frontier),
    HardwareError where this machine can repeat none of the trials, and what ``resume_study`` raises.
    """
    _check_figures(seeds, budget_usd)
    observer, home = observer or Silent(), places.home
    folder = folder_of(home, name)
    document = to_resume(folder.document(), observer.notify)
    with machines_of(document, home, workers, observer) as machines, Interrupts() as interrupts, folder.locked():
        if machines.cluster is not None:
            refuse_while_running(machines.cluster.fleet, folder, name)
        plan, engine = machines.plan, machines.engine(folder)
        session = reopen_session(plan, home, folder, observer)
        frontier, done = session.books.frontier, replay_logs(session).last
        lacking = repeats_lacking(done, frontier, seeds)
        if not frontier.epochs:
            raise RequestError(f"study '{name}' has no checkpoint on its frontier: there is nothing to repeat")
        orders = [order for order in lacking if _is_possible(order.job, plan.hardware, observer)]
        if lacking and not orders:
            raise HardwareError(f"this machine can train none of the trials of study '{name}' that lack repeats")
        machines.announce()
        earlier = [job for job, _ in done.values() if job.role is Role.REPEAT]
        for job in earlier:  # its coordinator vanished
            shutil.rmtree(folder.trials / job.folder / "artifacts", ignore_errors=True)
        work = RepeatWork(session, engine, orders, earlier=[job.label for job in earlier], budget_usd=budget_usd)
        work.announce()
        with session.books.delivery:
            interrupted = Coordinator(work, engine, session.grounds, interrupts).run()
            if not work.finish(interrupted):
                session.say_what_waits()
    return TrialState.STOPPED if interrupted else TrialState.COMPLETED


def repeats_lacking(done: Done, frontier: FrontierSoFar, seeds: int) -> list[Order]:
    """The repeats that frontier trials need to have ``seeds`` each: every trial's next one before anyone's second.

    A repeat counts if it aimed for the trial's deepest frontier epoch and was not interrupted.
    """
    ranked = []
    for label in dict.fromkeys(label for label, _ in frontier.by_price):
        original, last_epoch = done[label][0], max(frontier.epochs[label])
        repeats = [(job, record) for job, record in done.values() if job.repeats == original.trial]
        count = sum((job.last_epoch or 0) >= last_epoch and _is_done(record) for job, record in repeats)
        expected_usd = frontier.point(label, last_epoch)[1]
        first = len(repeats) + 1
        for rank, number in enumerate(range(first, first + seeds - count)):
            ranked.append((rank, Order(repeat(original, number, last_epoch), expected_usd)))
    return [order for _, order in sorted(ranked, key=lambda each: each[0])]


def _is_done(record: AttemptRecord) -> bool:
    """Whether a repeat counts as done: it was not stopped from outside."""
    return record.state in (TrialState.COMPLETED, TrialState.FAILED) or record.reason == "time_limit"


def _is_possible(job: Job, hardware: Hardware, observer: Observer) -> bool:
    """Whether this machine has what a job needs; logs a message where it does not."""
    if job.nodes == 1 and job.threads <= hardware.cores and job.accelerators <= hardware.accelerator_count:
        return True
    on = f" on {job.nodes} machines" if job.nodes > 1 else ""
    needs = f"{job.threads} cores and {job.accelerators} GPUs{on}"
    has = f"{hardware.cores} and {hardware.accelerator_count}"
    observer.notify(f"left out: {job.label} needs {needs}; this machine has {has}")
    return False


def _check_figures(seeds: int, budget_usd: float | None) -> None:
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise RequestError(f"seeds: {seeds!r} is not a whole number of at least 1")
    if budget_usd is not None and not (math.isfinite(budget_usd) and budget_usd > 0):
        raise RequestError(f"budget_usd: {budget_usd!r} is not a number of dollars above 0")
