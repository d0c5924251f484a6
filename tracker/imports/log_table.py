"""A study's tables logged in MLflow, as a coordinator logs a study that it runs: what reads them gives them back."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from tracker.errors import StoreError
from tracker.records import STEADY_USAGE, PriceBasis, Role, TrialState
from tracker.runner.study_lookup import check_name_is_free
from tracker.store.attempts import COUNTED
from tracker.store.entries import RUNS_AT_ONCE
from tracker.store.home import Home
from tracker.store.mlflow_logs import StudyLog
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_logs import RunLog
from tracker.store.run_table import IMPORTED, StudyTable

_REPORT_EVERY = 1000
_TAGS = (
    *("role", "state", "reason", "message", "attempts", "sku", "region", "market", "price_source", "price_date"),
    *("hardware", "energy_source", "cores", "accelerators", "price_point"),
)
"""The columns of StudyTable.runs that are tags, ``tracker.`` before their name."""
_FINALS = ("price_usd", "energy_joules", "machine_share", *COUNTED)
"""The columns of StudyTable.runs that are the last values of metrics; STEADY_USAGE too, where there is any."""
_AT_ENDS = tuple(name for name in COUNTED if name != "wall_seconds")
"""What is logged where an attempt ends; that a checkpoint has it says that one ended at its step."""


def log_table(
    table: StudyTable,
    home: Home,
    origin: str,
    say: Callable[[str], None] = lambda _: None,
    run_tags: Sequence[Mapping[str, str]] = (),
) -> None:
    """Write a study into the MLflow store of ``home``; ``origin`` says where it is from, ``say`` how far it has come.

    All or nothing: the study is seen once it is whole. Within Home.import_of. What was running when it was exported is
    stopped. ``run_tags`` [runs] are further tags of the runs. Raises StudyExistsError where the name is taken,
    StoreError.
    """
    table = _at_rest(table)
    home.make()
    check_name_is_free(home, table.study, home.optuna_storage, None)
    with home.databases_being_made():
        store = _opened(home, table.study)
    started = table.runs["started_at"]
    log = store.stage_study(table.study, _moment(min(started, default=0.0)), home.artifacts(table.study))
    try:
        _log_runs(log, table, say, run_tags)
        log.parent.end(TrialState(table.state), _ended(table))
        store.publish_study(log, {**_study_tags(table), IMPORTED: origin})
    except BaseException:
        with contextlib.suppress(StoreError):  # what went wrong first is what there is to say
            store.discard_study(log)
        raise


def add_to_study(
    table: StudyTable,
    home: Home,
    say: Callable[[str], None],
    run_tags: Sequence[Mapping[str, str]],
    replaced: Sequence[str],
) -> None:
    """Write more runs into a study that is there, in place of its runs with the ids ``replaced``.

    All or nothing, but on a server, where those that are written are seen at once. Within Home.import_of. Raises
    StudyNotFoundError, StoreError.
    """
    table = _at_rest(table)
    store = _opened(home, table.study)
    study = store.open_study(table.study)
    staged = store.stage_runs(study, home.artifacts(table.study))
    try:
        _log_runs(staged, table, say, run_tags)
        store.publish_runs(staged, study, replaced)
        study.parent.end(TrialState(table.state), _ended(table))
        study.flush()
    except BaseException:
        with contextlib.suppress(StoreError):
            store.discard_runs(staged, study)
        raise


def _opened(home: Home, study: str) -> MlflowStore:
    store = MlflowStore(home.tracking_uri)
    if home.tracking_uri.startswith("sqlite:"):  # into any other, imports from other machines may be under way
        store.discard_leftovers(study)
    return store


def _log_runs(
    log: StudyLog, table: StudyTable, say: Callable[[str], None], run_tags: Sequence[Mapping[str, str]]
) -> None:
    steps, attempts = _Steps(table), _ends(table)
    settings, summary = table.settings.to_dict("records"), table.summary.to_dict("records")
    for at, row in enumerate(table.runs.to_dict("records")):
        tags = {**_run_tags(row, table), **(run_tags[at] if run_tags else {})}
        known = {str(name): value for name, value in settings[at].items() if value is not None}
        run = log.run(row["label"], known, tags, _moment(row["started_at"]))
        _log_run(run, table, row, summary[at], steps.of(at), attempts.get(at, []))
        if (at + 1) % RUNS_AT_ONCE == 0:
            log.flush()
        if (at + 1) % _REPORT_EVERY == 0:
            say(f"{at + 1:,} of {len(table.runs):,} runs are written")
    log.flush()


def _ended(table: StudyTable) -> float:
    """When the last run ended."""
    return float((table.runs["started_at"] + table.runs["wall_seconds"]).max()) if len(table.runs) else 0.0


def _at_rest(table: StudyTable) -> StudyTable:
    """The study as it stands where nothing works on it."""
    running = table.runs["state"] == TrialState.RUNNING
    runs = table.runs
    if running.any():
        words = {
            "state": str(TrialState.STOPPED),
            "reason": "exported",
            "message": "it was running when it was exported",
        }
        runs = runs.assign(**{name: runs[name].where(~running, word) for name, word in words.items()})
    return replace(table, runs=runs, state=TrialState.STOPPED if table.state == TrialState.RUNNING else table.state)


def _ends(table: StudyTable) -> dict[int, list[dict[str, float]]]:
    """Of runs with several attempts: when each ended, and COUNTED of the run until then."""
    attempts = table.attempts.frame
    sums = attempts[list(COUNTED)].fillna(0.0).groupby(attempts["run"]).cumsum()
    found: dict[int, list[dict[str, float]]] = {}
    for end in attempts[["run", "ended_at"]].join(sums).to_dict("records"):
        found.setdefault(int(end["run"]), []).append({str(name): value for name, value in end.items() if name != "run"})
    return found


class _Steps:
    """The checkpoints of a study by run: what each has in the log."""

    def __init__(self, table: StudyTable) -> None:
        steps = table.checkpoints
        self._ends = np.searchsorted(steps["run"].to_numpy(), np.arange(len(table.runs) + 1))
        self._epochs, self._times = steps["epoch"].tolist(), steps["timestamp"].tolist()
        columns = {name: steps[name].to_numpy(dtype=np.float64) for name in ("price_usd", "wall_seconds")}
        self._values = {**dict(table.metrics), **columns, table.quality.name: steps["quality"].to_numpy(np.float64)}

    def of(self, run: int) -> list[_Step]:
        """The checkpoints of the run in this row."""
        begin, end = self._ends[run], self._ends[run + 1]
        named = {name: values[begin:end].tolist() for name, values in self._values.items()}
        return [
            _Step(
                self._epochs[at],
                self._times[at],
                {name: values[at - begin] for name, values in named.items() if not math.isnan(values[at - begin])},
            )
            for at in range(begin, end)
        ]


class _Step(NamedTuple):
    epoch: int
    timestamp: float
    values: dict[str, float]


def _log_run(
    run: RunLog,
    table: StudyTable,
    row: Mapping[Any, Any],
    summary: Mapping[Any, float],
    steps: Sequence[_Step],
    ends: Sequence[dict[str, float]],
) -> None:
    for step in steps:
        values = {name: value for name, value in step.values.items() if name not in _AT_ENDS}
        run.add(values, step=step.epoch, timestamp=_moment(step.timestamp))
    last_step = max((step.epoch for step in steps), default=-1)
    for end in ends[:-1]:
        _log_end(run, end, steps, last_step)
    known = {name: value for step in steps for name, value in step.values.items()}
    ended_at = _ended_at(row, steps, ends)
    run.add(_finals(row, table.quality.name, summary, known), step=last_step + 1, timestamp=_moment(ended_at))
    run.end(TrialState(row["state"]), ended_at)


def _log_end(run: RunLog, end: dict[str, float], steps: Sequence[_Step], last_step: int) -> None:
    """An attempt's end: at the checkpoint whose step it had, or else behind all of them."""
    at = next((each for each in steps if math.isclose(each.values.get("compute_usd", -1.0), end["compute_usd"])), None)
    values = {name: value for name, value in end.items() if name != "ended_at"}
    exact = {} if at is None else {name: at.values[name] for name in _AT_ENDS if name in at.values}
    run.add(values | exact, step=last_step + 1 if at is None else at.epoch, timestamp=_moment(end["ended_at"]))


def _finals(
    row: Mapping[Any, Any], quality: str, summary: Mapping[Any, float], known: Mapping[str, float]
) -> dict[str, float]:
    """What is logged at the end: the last values, but for those that the last checkpoints have, ``known``, too.

    NaN where theirs is not the last one.
    """
    finals = {str(name): float(value) for name, value in summary.items()}
    finals |= {name: float(row[name]) for name in _FINALS}
    finals |= {name: float(row[name]) for name in STEADY_USAGE if row[name] or name in known}
    if not math.isnan(finals.get(quality, math.nan)):
        del finals[quality]  # it would be one more checkpoint
    return {
        name: value
        for name, value in finals.items()
        if (name in known or not math.isnan(value)) and (name in _FINALS or value != known.get(name))
    }


def _run_tags(row: Mapping[Any, Any], table: StudyTable) -> dict[str, str]:
    number = str(row["trial"]) if row["trial"] >= 0 else ""
    repeat = row["role"] == Role.REPEAT
    return {
        "tracker.study": table.study,
        "tracker.trial": "" if repeat else number,
        **({"tracker.repeats": number} if repeat else {}),
        **{f"tracker.{name}": str(row[name]) for name in _TAGS},
        "tracker.usd_per_hour": repr(float(row["usd_per_hour"])),
        "mlflow.user": row["user"],
        "tracker.busy": str(bool(row["busy"])).lower(),
        **({} if row["price_basis"] == PriceBasis.BILLED else {"tracker.price_basis": row["price_basis"]}),
        "tracker.price_book": table.price_book,
    }


def _study_tags(table: StudyTable) -> dict[str, str]:
    return {
        "tracker.study": table.study,
        "tracker.quality": table.quality.name,
        "tracker.direction": table.quality.direction,
        "tracker.budget_usd": "" if table.budget_usd is None else repr(table.budget_usd),
        "tracker.price_book": table.price_book,
        "tracker.prices": table.prices_file,
        "tracker.country": table.country,
        "tracker.limits": json.dumps([asdict(limit) for limit in table.limits]),
        "tracker.costs": json.dumps(table.terms.changed),
        "tracker.data_description": table.data,
        "tracker.state": table.state,
        **{f"tracker.{name}": text for name, text in table.provenance.items()},
        "tracker.tags": json.dumps(dict(table.tags)),
        **table.tags,
        "mlflow.user": table.user,
    }


def _ended_at(row: Mapping[Any, Any], steps: Sequence[_Step], ends: Sequence[dict[str, float]]) -> float:
    """When a run ended, as far as its tables tell: no earlier than anything else that is known of it."""
    ended = [end["ended_at"] for end in ends if not math.isnan(end["ended_at"])]
    ended = ended or [float(row["started_at"] + row["wall_seconds"])]
    return max(*ended, *(step.timestamp for step in steps[-1:]), float(row["started_at"]))


def _moment(seconds: float) -> float:
    """A time whose whole milliseconds are what it was: the log cuts the rest off, and 0.686 s are a bit less."""
    return (round(seconds * 1000) + 0.25) / 1000
