"""The searcher of a study's strategy, new or restored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tracker.errors import NewerFormatError, RequestError, StoreError, StudyNotFoundError
from tracker.records import AttemptRecord, Settings, TrialState
from tracker.runner.account import Reached
from tracker.runner.job import Job
from tracker.runner.plan import StudyPlan
from tracker.search.frontier_search import FrontierSearch
from tracker.search.full_runs import FullRuns
from tracker.search.memory import sound_memory
from tracker.search.objectives import Objective
from tracker.search.sampler import Sampling, Trials
from tracker.search.steps import Searcher
from tracker.search.tried import MOST_LISTED
from tracker.study.formats import SEARCH_STATE
from tracker.study.spec import Limit

MEMORY_FILE = "search.json"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A trial of an earlier study: its checkpoints at this study's prices, and the reason it failed, or ""."""

    settings: Settings
    checkpoints: Reached
    failure: str = ""


@dataclass(slots=True)
class History:
    """A trial of this study from its event logs: every attempt's checkpoints, and how the last one ended."""

    job: Job
    checkpoints: Reached = field(default_factory=list)
    record: AttemptRecord | None = None
    can_go_on: bool = False
    price_usd: float = 0.0


def sampling_of(plan: StudyPlan) -> Sampling:
    """The sampler that the study file names."""
    return Sampling(plan.spec.search.sampler, plan.spec.search.options)


def create_trials(plan: StudyPlan, storage: str) -> Trials:
    """Create the study in Optuna's database. Raises RequestError for too large a grid, and as Trials.create does."""
    if plan.spec.strategy == "grid" and plan.space.size > MOST_LISTED:
        raise RequestError(
            f"strategy 'grid': the space has {plan.space.size:,.0f} combinations; allowed: at most {MOST_LISTED:,}"
        )
    return _new_trials(plan, storage, {})


def load_trials(plan: StudyPlan, storage: str, known: Mapping[int, Settings], notify: Callable[[str], None]) -> Trials:
    """Load the study from Optuna's database, and restore missing trials from ``known``, by their numbers.

    ``notify`` gets a message where some or all were missing. Raises what Trials.load raises, and RequestError.
    """
    name = plan.spec.name
    try:
        trials = Trials.load(storage, name, plan.spec.search.objectives, plan.space, plan.spec.seed, sampling_of(plan))
    except StudyNotFoundError:
        notify(f"the Optuna database has no study '{name}': it is restored with its {len(known)} trials")
        return _new_trials(plan, storage, known)
    if missing := trials.restore(known):
        notify(f"the Optuna database lacked {missing} of the study's trials: they are restored")
    return trials


def _new_trials(plan: StudyPlan, storage: str, known: Mapping[int, Settings]) -> Trials:
    """Create the study in Optuna's database with its known trials."""
    trials = Trials.create(
        storage, plan.spec.name, plan.spec.search.objectives, plan.space, plan.spec.seed, sampling_of(plan)
    )
    trials.restore(known)
    return trials


def make_searcher(
    plan: StudyPlan,
    trials: Trials,
    memory: Mapping[str, Any],
    evidence: Iterable[Evidence] = (),
    histories: Iterable[History] = (),
    *,
    notify: Callable[[str], None] | None = None,
) -> Searcher:
    """The searcher with all known trials; ``memory`` is the saved state of an earlier one.

    It passes messages for people to ``notify``.
    """
    spec = plan.spec
    if spec.strategy != "frontier":
        searcher: FullRuns | FrontierSearch = FullRuns(
            trials, list(spec.search.objectives), in_order=spec.strategy == "grid"
        )
    else:
        given = {"price_usd": spec.budget.usd, "wall_seconds": spec.budget.wall_seconds}
        budgets = {name: value for name, value in given.items() if value is not None}
        searcher = FrontierSearch(
            trials,
            plan.space,
            spec.quality,
            [Objective(name, direction) for name, direction in spec.search.objectives.items()],
            sampling=sampling_of(plan),
            reference={**budgets, **spec.search.reference},
            limits=[*spec.limits, Limit("peak_memory_bytes", high=plan.hardware.trial_memory_bytes)],
            last_step=spec.last_step,
            least_growth=spec.search.least_growth,
            trials_limited=spec.budget.trials is not None,
            seed=spec.seed,
            notify=notify,
        )
        searcher.recall(memory)
        for each in evidence:
            searcher.warm_start(each.settings, each.checkpoints, each.failure)
    for history in histories:
        _replay(searcher, history)
    return searcher


def _replay(searcher: FullRuns | FrontierSearch, history: History) -> None:
    number, record = history.job.trial, history.record
    if number is None:
        return
    searcher.register(number, history.job.settings)
    for epoch, values in history.checkpoints:
        searcher.reached(number, epoch, values)
    if record is not None and record.state is TrialState.RUNNING:
        return  # as every registered trial that neither paused nor ended
    if history.can_go_on:
        searcher.paused(number, history.price_usd)
    else:
        state = record.state if record else TrialState.KILLED
        state = TrialState.STOPPED if state is TrialState.PAUSED else state  # its saved state is gone
        searcher.ended(number, state, history.price_usd, record.reason if record else "")


def save_memory(folder: Path, searcher: Searcher) -> None:
    """Save the searcher's own state, atomically. A full disk costs only that state."""
    with contextlib.suppress(OSError):
        SEARCH_STATE.write(folder / MEMORY_FILE, searcher.memory())


def read_memory(folder: Path) -> dict[str, Any]:
    """What ``save_memory`` saved, as far as it makes sense. Raises NewerFormatError."""
    try:
        return sound_memory(SEARCH_STATE.read(folder / MEMORY_FILE))
    except NewerFormatError:
        raise
    except (FileNotFoundError, StoreError):
        return {}


def as_rows(evidence: Iterable[Evidence]) -> list[dict[str, Any]]:
    """Evidence as JSON rows."""
    return [asdict(each) for each in evidence]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[Evidence]:
    """The reverse of ``as_rows``."""
    return [
        Evidence(row["settings"], [(epoch, values) for epoch, values in row["checkpoints"]], row["failure"])
        for row in rows
    ]
