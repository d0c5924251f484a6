"""The first work of a study: a worker prepares the data, and its usage is the first thing that is paid for."""

from __future__ import annotations

from collections.abc import Collection

from tracker.engine.engine import Attempt, Engine
from tracker.engine.node import Kind
from tracker.errors import DataError, RequestError, WorkFailedError, WorkloadError
from tracker.pricing.cost import price_of
from tracker.records import TrialState, Usage
from tracker.runner.coordinator import Coordinator, Work
from tracker.runner.interrupts import Interrupts
from tracker.runner.job import Job
from tracker.runner.jobs import Grounds, look_again, preparation
from tracker.runner.plan import StudyPlan
from tracker.runner.progress import Observer
from tracker.training.events import Event
from tracker.training.request import AttemptRequest


class Preparation(Work):
    """The work of preparing a study's data: one job."""

    def __init__(self, job: Job, observer: Observer) -> None:
        self.attempt: Attempt | None = None
        self.on_event = self._show
        self._job: Job | None = job
        self._observer = observer

    def next_job(self, lacking: Collection[Kind] = ()) -> Job | None:
        """The one job, until it is started."""
        return self._job if self._job and self._job.needs.kind not in lacking else None

    def started(self, job: Job, request: AttemptRequest) -> None:
        """Nothing more is to start."""
        del job, request
        self._job = None

    def ended(self, job: Job, attempt: Attempt) -> None:
        """Keep the attempt."""
        del job
        self.attempt = attempt

    def _show(self, event: Event) -> None:
        if event["event"] == "progress":
            self._observer.notify(event["message"])


def prepare(
    plan: StudyPlan,
    engine: Engine,
    grounds: Grounds,
    interrupts: Interrupts,
    observer: Observer,
    *,
    twice: bool = False,
) -> None:
    """Prepare the data in a worker; ``twice`` in two, one after the other: the second one finds them prepared.

    Raises what it failed by: DataError, WorkloadError, WorkFailedError; KeyboardInterrupt where it was interrupted;
    RequestError where the data cost the whole budget, so that not one trial could start.
    """
    for make in (preparation, look_again) if twice else (preparation,):
        usage = _carry_out(make(plan.spec, plan.hardware), engine, grounds, interrupts, observer)
        _check_data_cost(plan, usage, observer)


def _carry_out(job: Job, engine: Engine, grounds: Grounds, interrupts: Interrupts, observer: Observer) -> Usage:
    """What the job used. Raises as ``prepare`` does."""
    work = Preparation(job, observer)
    interrupted = Coordinator(work, engine, grounds, interrupts).run()
    if work.attempt is None or interrupted:
        raise KeyboardInterrupt
    record = work.attempt.record
    if record.state is not TrialState.COMPLETED:
        wrong_requests = {error.__name__: error for error in (DataError, WorkloadError)}
        failure = wrong_requests.get(record.reason, WorkFailedError)
        raise failure(f"the data cannot be prepared: {record.message}")
    return record.usage


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
