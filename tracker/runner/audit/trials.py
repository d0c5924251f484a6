"""A study's trials in Optuna beside its events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from tracker.records import TrialState
from tracker.runner.audit.expected import ExpectedRun, ExpectedStudy
from tracker.runner.audit.finding import Finding
from tracker.search.optuna_trials import OptunaTrial


def trial_findings(
    study: ExpectedStudy, trials: Sequence[OptunaTrial], *, live: bool, noted: bool
) -> Iterator[Finding]:
    """What differs trial by trial. ``noted``: the search notes of a paused trial that it is.

    Where a coordinator is ``live``, trials may be asked for and not started, or ended there later.
    """
    runs = {run.job.trial: run for run in study.runs.values() if run.job.trial is not None}
    by_number = {trial.number: trial for trial in trials}
    if gaps := sorted(set(range(len(trials))) - by_number.keys()):
        yield Finding("trial", f"#{gaps[0]}", "Optuna's numbers leave it out", "numbers without gaps")
    for number, run in runs.items():
        if number not in by_number:
            yield Finding("trial", f"#{number}", "Optuna has no such trial", f"one that is {run.state}")
    for number, trial in sorted(by_number.items()):
        label, run_of = f"#{number}", runs.get(number)
        if trial.state == "WAITING" and not live:
            yield Finding("trial", label, "Optuna's trial is WAITING", "none: nobody is going to start it")
        elif run_of is None:
            if trial.state == "COMPLETE" or (trial.state == "RUNNING" and not live):
                says = f"Optuna's trial is {trial.state}"
                yield Finding("trial", label, says, "PRUNED or FAIL: it was never started")
        elif not (live and trial.state in ("RUNNING", "WAITING")) and not run_of.is_open:
            yield from _of_trial(label, run_of, trial, study.objectives, noted=noted)


def _of_trial(
    label: str, run: ExpectedRun, trial: OptunaTrial, objectives: Sequence[str], *, noted: bool
) -> Iterator[Finding]:
    values = expected_values(run, objectives)
    allowed = allowed_states(run, values)
    if trial.state not in allowed:
        says = f"Optuna's trial is {trial.state}"
        yield Finding("trial", label, says, f"{' or '.join(allowed)}, for it is {run.state}")
        return
    note = trial.attributes.get("tracker.state")
    if trial.state == "RUNNING" and noted and note != TrialState.PAUSED:
        yield Finding("trial", label, f"Optuna's note of it is {note!r}", "'paused'")
    if trial.state == "COMPLETE" and values is not None:
        pairs = zip(objectives, values, trial.values, strict=False)
        wrong = [(name, there, value) for name, value, there in pairs if not math.isclose(value, there, rel_tol=1e-12)]
        if len(trial.values) != len(values):
            says = f"Optuna has {len(trial.values)} values"
            yield Finding("trial", label, says, f"{len(values)}: {', '.join(objectives)}")
        for name, there, value in wrong:
            yield Finding("trial", label, f"Optuna's {name} is {there!r}", f"{value!r}")


def expected_values(run: ExpectedRun, objectives: Sequence[str]) -> list[float] | None:
    """The values of a completed trial: of its last checkpoint that has all, its price that of all attempts."""
    for _, reached in reversed(run.reached):
        values: Mapping[str, float] = {**reached, "price_usd": run.price_usd}
        found = [values.get(name, math.nan) for name in objectives]
        if all(map(math.isfinite, found)):
            return found
    return None


def allowed_states(run: ExpectedRun, values: list[float] | None) -> tuple[str, ...]:
    """What Optuna may call a trial that has ended, or is paused: the first is what repair says."""
    match run.state:
        case TrialState.COMPLETED:
            return ("COMPLETE",) if values is not None else ("FAIL",)
        case TrialState.PAUSED:
            return ("RUNNING",)
        case TrialState.STOPPED:
            return ("PRUNED",)
        case TrialState.KILLED if run.has_state:
            return ("RUNNING", "FAIL")  # it may be resumed, unless Optuna has its end already
    return ("FAIL",)
