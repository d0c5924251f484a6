"""A study's plan without its training code: what its file says, on this machine, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tracker.records import Direction, SettingValue
from tracker.runner.plan import StudyPlan, plan_on
from tracker.store.home import Home
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.study.knobs import COMMON_KNOBS, Knob
from tracker.study.spec import ANY_DATA_KEY, WorkloadDescription
from tracker.training.describe import Surroundings
from tracker.training.machine import compiler_problem, untried_hardware


def outline(document: StudyDocument, home: Home, defaults: Mapping[str, SettingValue] | None = None) -> StudyPlan:
    """The plan of a study whose training code is not loaded: its own knobs are taken to be what the file says.

    ``defaults`` are values of knobs that the file does not name; a plan without them lacks what the training code
    would add. Precisions are not tried. Raises StudyFileError (every problem that shows without the training code),
    HardwareError, PriceBookError; changes nothing.
    """
    content = {name: each for name, each in document.content.items() if name != "smoke"}  # another study's
    description = _described(content, defaults or {})
    surroundings = Surroundings(untried_hardware(), description, compiler_problem())
    return plan_on(document, check_study(replace(document, content=content), description), surroundings, home)


def _described(content: Mapping[str, Any], defaults: Mapping[str, SettingValue]) -> WorkloadDescription:
    """A workload that has every knob and metric which the study's file names."""
    named = {name for table in ("settings", "space") for name in _table(content, table)}
    if isinstance(last_step := _table(content, "quality").get("last_step"), str) and last_step not in named:
        defaults = {last_step: 1, **defaults}  # the training code has its value
    knobs = {name: Knob("any", None, "") for name in sorted(named | defaults.keys()) if name not in COMMON_KNOBS}
    knobs |= {name: Knob("any", value, "") for name, value in defaults.items() if name in knobs and name not in named}
    metrics = dict.fromkeys(_metrics(content), Direction.MAXIMIZE)
    return WorkloadDescription(knobs, metrics, {ANY_DATA_KEY: ""})


def _metrics(content: Mapping[str, Any]) -> Iterator[str]:
    """The metrics that a study's file names as its quality, an objective or a limit."""
    objectives = _table(content, "search").get("objectives")
    entries = objectives if isinstance(objectives, list) else []
    named = [entry.get("metric") if isinstance(entry, Mapping) else entry for entry in entries]
    every = [_table(content, "quality").get("metric"), *named, *_table(content, "limits")]
    yield from (name for name in every if isinstance(name, str))


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = content.get(name)
    return table if isinstance(table, Mapping) else {}
