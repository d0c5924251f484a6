"""The checks of `tracker run`, in the child process that ``checked`` starts: training code is loaded here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from tracker.engine.forkserver import Forkserver
from tracker.errors import StudyExistsError, StudyFileError, TrackerError
from tracker.runner.bounds import bounds
from tracker.runner.checked import Checked, Machine, Rate
from tracker.runner.plan import make_plan
from tracker.runner.study_lookup import check_name_is_free
from tracker.search.sampler import Sampling, Trials
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.knobs import COMMON_KNOBS
from tracker.study.spec import WorkloadDescription
from tracker.study.toml_file import line_of
from tracker.training.describe import Surroundings, describe_workload


class _Here:
    """Stands in for the forkserver in a process that may load training code, and keeps what it found.

    ``machine`` is what is already known about it.
    """

    def __init__(self, machine: Machine | None) -> None:
        self.machine = machine
        self.workload: WorkloadDescription | str = ""

    def call(self, look: Callable[..., Surroundings], workload: str, *, try_compile: bool) -> Surroundings:
        """Replaces Forkserver.call, the only method that a plan uses."""
        known = self.machine
        if known is None or (try_compile and known.compile_problem is None):
            found = look(workload, try_compile=try_compile)
            self.machine = Machine(found.hardware, found.compile_problem if try_compile else None)
        else:
            found = Surroundings(known.hardware, describe_workload(workload), known.compile_problem or "")
        self.workload = found.workload
        return found


def checked(document: StudyDocument, home: str, machine: Machine | None) -> Checked:
    """Every problem of a study, or its rates and cost bounds. Changes nothing."""
    here, places = _Here(machine), Home(Path(home))
    try:
        plan = make_plan(document, cast(Forkserver, here), places)
    except StudyFileError as error:
        return _with_knobs(Checked(error.problems), here)
    except TrackerError as error:
        return _with_knobs(Checked((str(error),)), here)
    problems = []
    try:
        search = plan.spec.search
        Trials.check(search.objectives, plan.space, Sampling(search.sampler, search.options))
    except TrackerError as error:
        problems.append(str(error))
    try:
        check_name_is_free(places, plan.spec.name, places.optuna_storage, None)
    except StudyExistsError as error:
        line = line_of(document.text, "name")
        problems.append(f"{f'line {line}, ' if line else ''}name: {str(error).replace('--name', 'name')}")
    except TrackerError as error:
        problems.append(str(error))
    rates = tuple(
        Rate(device, point.sku, str(point.market), point.usd_per_hour, point.effective_from.isoformat())
        for device, point in plan.price_points.items()
    )
    notes = tuple(f"left out: {sentence}" for sentence in plan.space.left_out)
    found = Checked(tuple(problems), rates=rates, notes=notes, bounds=tuple(bounds(plan)))
    return _with_knobs(found, here)


def _with_knobs(found: Checked, here: _Here) -> Checked:
    found = replace(found, machine=here.machine)
    if isinstance(here.workload, str):
        return found
    return replace(found, knobs={**here.workload.knobs, **COMMON_KNOBS}, metrics=tuple(here.workload.metrics))
