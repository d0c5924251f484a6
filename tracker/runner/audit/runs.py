"""A study's runs in MLflow beside its events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np

from tracker.errors import StudyNotFoundError
from tracker.records import TrialState
from tracker.runner.audit.expected import ExpectedRun, ExpectedStudy, Value, finite
from tracker.runner.audit.finding import Finding
from tracker.store.mlflow_runs import open_experiment
from tracker.store.names import logged_name
from tracker.store.run_table import find_study, read_study_table
from tracker.store.setting_texts import setting_text
from tracker.store.tags import RUN_STATUS

_COMPARED_TAGS = ("tracker.state", "tracker.reason", "tracker.message", "tracker.attempts", "tracker.energy_source")
_LONG = 1000
"""A text that is at least this long may have been cut."""
_SUMS = 1e-9
"""The relative difference of sums that were added in another order."""


class LoggedRun(NamedTuple):
    """A run as MLflow has it."""

    run_id: str
    status: str
    ended_at_ms: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    values: frozenset[Value]


class LoggedStudy(NamedTuple):
    """The runs of a study in MLflow: its parent run, None without one, and the others by label."""

    parent: LoggedRun | None
    runs: Mapping[str, Sequence[LoggedRun]]


def logged_study(tracking_uri: str, name: str) -> LoggedStudy | None:
    """What MLflow has of a study, deleted runs left out; None without its experiment. Raises RequestError, StoreError.

    Writes nothing.
    """
    here = [each for each in find_study(tracking_uri, name) if each.name == name and not each.deleted]
    if not here:
        return None
    experiment = open_experiment(tracking_uri, here[0].experiment_id)
    heads = experiment.heads()
    heads = heads[~heads["deleted"]]
    logged = experiment.read(list(heads["run_id"]))
    values: dict[str, set[Value]] = {}
    columns = [logged.values[name].tolist() for name in ("run_id", "metric", "step", "timestamp_ms", "value")]
    for run_id, metric, step, time_ms, value in zip(*columns, strict=True):
        values.setdefault(run_id, set()).add((metric, step, time_ms, finite(value)))
    parent, runs = None, dict[str, list[LoggedRun]]()
    for head in heads.to_dict("records"):
        run_id, end = str(head["run_id"]), float(head["ended_at_ms"])
        run = LoggedRun(
            run_id,
            str(head["status"]),
            None if np.isnan(end) else int(end),
            logged.tags.get(run_id, {}),
            logged.params.get(run_id, {}),
            frozenset(values.get(run_id, ())),
        )
        if run.tags.get("tracker.role") == "study":
            parent = parent or run
        else:
            runs.setdefault(str(head["name"]), []).append(run)
    return LoggedStudy(parent, runs)


def run_findings(study: ExpectedStudy, logged: LoggedStudy, *, live: bool) -> Iterator[Finding]:
    """What differs run by run. Where a coordinator is ``live``, MLflow may lack what was not delivered yet."""
    for label, run in study.runs.items():
        found = logged.runs.get(label, ())
        if not found:
            if not live:
                yield Finding("missing", label, "MLflow has no such run", f"one with {len(run.reached)} checkpoints")
            continue
        for twin in found[1:]:
            says = f"MLflow has it twice, as {found[0].run_id} and {twin.run_id}"
            yield Finding("double", label, says, "once", twin.run_id)
        if run.rated:
            yield from _differences(run, found[0], live=live)
    for label, found in logged.runs.items():
        if label not in study.runs:
            for run_found in found:
                ours = "tracker.study" in run_found.tags
                says = "MLflow has this run, and no event log does" if ours else "a run that the tracker did not log"
                yield Finding("foreign", label or run_found.run_id, f"{says} ({run_found.run_id})", "no such run")


def _differences(run: ExpectedRun, found: LoggedRun, *, live: bool) -> Iterator[Finding]:
    label, expected = run.job.label, run.log
    yield from _values(label, expected.values, found, may_lack=live or run.is_open)
    wrong = {
        name: (found.params.get(logged_name(name), "nothing"), text)
        for name, value in run.job.settings.items()
        if found.params.get(logged_name(name)) != (text := setting_text(value)) and not (live and not found.params)
    }
    for name, (there, text) in wrong.items():
        replaces = "" if there == "nothing" else found.run_id
        yield Finding("setting", label, f"MLflow has {name} = {there}", text, replaces)
    if live or run.is_open:
        return
    stopped = run.state is not run.last.state  # paused without its saved state
    tags = {**expected.tags, **({"tracker.state": str(run.state), "tracker.reason": "dropped"} if stopped else {})}
    for name in _COMPARED_TAGS:
        text, there = str(tags.get(name, "")), found.tags.get(name, "")
        if stopped and name == "tracker.message":
            continue  # whoever stopped it says why in words of its own
        if there != text and not (len(there) >= _LONG and text.startswith(there)):
            kind = "state" if name == "tracker.state" else "tag"
            yield Finding(kind, label, f"MLflow's {name} is '{_cut(there)}'", f"'{_cut(text)}' by its events")
    status = RUN_STATUS[run.state]
    if found.status != status:
        yield Finding("state", label, f"MLflow's status is {found.status}", f"{status}, for it is {run.state}")
    elif found.ended_at_ms != expected.ended_at_ms:
        says = f"in MLflow it ended at {found.ended_at_ms}"
        yield Finding("state", label, says, f"{expected.ended_at_ms} (ms since 1970)")


def _values(label: str, expected: AbstractSet[Value], found: LoggedRun, *, may_lack: bool) -> Iterator[Finding]:
    lacking, surplus = expected - found.values, found.values - expected
    if lacking and not may_lack:
        yield Finding("checkpoint", label, f"MLflow lacks {_listed(lacking)}", "what the events have")
    if surplus:
        yield Finding("checkpoint", label, f"MLflow has {_listed(surplus)}", "only what the events have", found.run_id)


def study_findings(study: ExpectedStudy, logged: LoggedStudy, tracking_uri: str, name: str) -> Iterator[Finding]:
    """What differs of the study as a whole, where no coordinator runs: its spend, its state, and `tracker runs`."""
    parent = logged.parent
    if parent is None:
        yield Finding("missing", "the study", "MLflow has no parent run of it", "one")
        return
    if parent.tags.get("tracker.state") == TrialState.RUNNING or parent.status == "RUNNING":
        yield Finding("state", "the study", "MLflow says that it is running", "no such state: it has no coordinator")
    total = study.price_usd
    spends = sorted((step, time_ms, value) for metric, step, time_ms, value in parent.values if metric == "price_usd")
    if (spends[-1][2] if spends else None) is None or not _close(spends[-1][2] or 0.0, total):
        there = f"${spends[-1][2]!r}" if spends else "nothing"
        yield Finding("spend", "the study", f"MLflow's spend of it is {there}", f"${total!r}, the sum of all attempts")
    try:
        table = read_study_table(tracking_uri, name)
    except StudyNotFoundError as error:
        yield Finding("missing", "the study", str(error), "to be read")
        return
    if not _close(table.spend_usd, total):
        yield Finding("spend", "the study", f"`tracker runs` shows ${table.spend_usd!r} in all", f"${total!r}")
    rows = {row["label"]: row for row in table.runs.to_dict("records")}
    for label, run in study.runs.items():
        if (row := rows.get(label)) is None or run.is_open or not run.rated:
            continue
        for figure in ("price_usd", "wall_seconds"):
            if float(row[figure]) != run.log.last(figure):
                says = f"`tracker runs` shows {figure} {row[figure]!r}"
                yield Finding("spend", label, says, f"{run.log.last(figure)!r}, of {len(run.attempts)} attempts")


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_SUMS, abs_tol=1e-15)


def _listed(values: AbstractSet[Value]) -> str:
    """Some values in words."""
    metric, step, _, value = min(values, key=lambda each: (each[1], each[0], each[2]))
    more = f" and {len(values) - 1} more" if len(values) > 1 else ""
    return f"{metric} {value!r} at step {step}{more}"


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
