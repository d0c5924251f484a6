"""Runs of the past brought into a home: as a new study, or those that are new added to the one that is there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from tracker.errors import RequestError, did_you_mean
from tracker.imports.machines import MachineRule, Machines, machine_rules
from tracker.imports.names import importable_name
from tracker.imports.past_runs import PastSource
from tracker.imports.past_study import PastStudy
from tracker.records import BOOKED_METRICS, Direction, Market, QualityMetric
from tracker.report.metric_names import stated_direction
from tracker.report.words import several
from tracker.store.home import Home
from tracker.store.run_table import (
    SOURCE_RUN,
    SOURCE_VERSION,
    ImportedRun,
    find_study,
    imported_from,
    imported_runs,
    list_studies,
)

_READ_AT_ONCE = 1000
_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What is asked of an import: the metric that is the quality, and what runs cost.

    Without a direction it is what the source says, else what the metric's name says.

    ``rules`` say what each run is billed as; ``longest_pause_seconds`` as in imports.clock, ``seconds_metric`` as in
    imports.past_study; ``name`` is the study's.
    """

    quality: str
    direction: Direction | None
    rules: Sequence[MachineRule]
    name: str
    longest_pause_seconds: float | None = None
    seconds_metric: str = ""


def import_request(
    quality: str,
    name: str,
    *,
    sku: str | None = None,
    share: str | None = None,
    market: str = Market.ON_DEMAND,
    region: str = "",
    machine_map: str | Path | None = None,
    direction: str | None = None,
    longest_pause_seconds: float | None = None,
    seconds_metric: str = "",
) -> ImportRequest:
    """The request that a person's options make: those of the commands and of the library. Raises RequestError."""
    path = None if machine_map is None else Path(machine_map)
    name = importable_name(name)
    return ImportRequest(
        quality,
        None if direction is None else _choice(Direction, direction, "direction"),
        machine_rules(path, sku, share, _choice(Market, market, "market"), region),
        name,
        longest_pause_seconds,
        seconds_metric,
    )


def _choice(kind: type[_Choice], value: str, what: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise RequestError(f"{what} '{value}' is none; {did_you_mean(str(value), list(kind))}") from None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: the study, how many runs were added, and how many of them replace what was there.

    ``left_out`` are the times that do not count: run, since, until (ISO 8601), seconds, why. ``remarks`` are sentences.
    """

    study: str
    added: int
    updated: int
    unchanged: int
    spend_usd: float
    left_out: Sequence[dict[str, Any]]
    remarks: Sequence[str]

    @property
    def sentence(self) -> str:
        """What was done, in one sentence."""
        if not self.added and not self.updated:
            return f"study '{self.study}': nothing new in {several(self.unchanged, 'run')}"
        parts = [f"{several(self.added, 'run')} added"]
        parts += [f"{self.updated:,} updated"] if self.updated else []
        parts += [f"{self.unchanged:,} unchanged"] if self.unchanged else []
        return f"study '{self.study}': {', '.join(parts)}; prices are estimated from timestamps"

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe."""
        return {**asdict(self), "left_out": list(self.left_out), "remarks": list(self.remarks)}


def import_runs(
    source: PastSource, request: ImportRequest, home: Home, say: Callable[[str], None] = lambda _: None
) -> Imported:
    """Bring the runs of a source into a home. All or nothing; nothing of the source is written to.

    Two imports of one study wait for each other. Raises RequestError, PriceBookError, StudyExistsError, StoreError.
    """
    versions = source.versions()
    if not versions:
        raise RequestError(f"{source.origin} has no runs to import")
    names = source.metric_names()
    for metric in filter(None, (request.quality, request.seconds_metric)):
        if metric not in names:
            raise RequestError(f"no run of {source.origin} has logged '{metric}'; {did_you_mean(metric, names)}")
    if request.quality in BOOKED_METRICS:
        raise RequestError(f"'{request.quality}' is what the tracker itself measures: it cannot be the quality")
    quality = QualityMetric(request.quality, _direction(request, source))
    with home.import_of(request.name):
        return _import_versions(source, request, quality, versions, home, say)


def _import_versions(
    source: PastSource,
    request: ImportRequest,
    quality: QualityMetric,
    versions: Mapping[str, str],
    home: Home,
    say: Callable[[str], None],
) -> Imported:
    """Bring in what is new in some versions of runs."""
    there = _runs_there(home, request.name, source, quality)
    known = {} if there is None else there
    chosen = [run for run, version in versions.items() if run not in known or known[run].version != version]
    book = home.price_book()
    machines, pause = Machines(request.rules, book), request.longest_pause_seconds
    study = PastStudy(quality, machines, pause, request.seconds_metric)
    for begin in range(0, len(chosen), _READ_AT_ONCE):
        study.add(source.read(chosen[begin : begin + _READ_AT_ONCE]))
        if len(chosen) > _READ_AT_ONCE:
            say(f"{min(begin + _READ_AT_ONCE, len(chosen)):,} of {len(chosen):,} runs are read")
    replaced = [known[run].run_id for run in chosen if run in known]
    if chosen:
        from tracker.imports.log_table import add_to_study, log_table  # MLflow, which takes seconds

        unused = itertools.count(max((run.trial for run in known.values()), default=-1) + 1)
        trials = [known[run].trial if run in known else next(unused) for run in study.ids]
        table = study.table(request.name, book.version, trials)
        if there is None and not len(table.checkpoints):
            raise RequestError(f"no run of {source.origin} has a value of '{request.quality}'")
        tags = [{SOURCE_RUN: run, SOURCE_VERSION: versions[run]} for run in study.ids]
        if there is None:
            log_table(table, home, source.origin, say, tags)
        else:
            add_to_study(table, home, say, tags, replaced)
    return Imported(
        study=request.name,
        added=len(chosen) - len(replaced),
        updated=len(replaced),
        unchanged=len(versions) - len(chosen),
        spend_usd=float(table.runs["price_usd"].sum()) if chosen else 0.0,
        left_out=[_left_out(run, each) for run, each in study.left_out],
        remarks=[*source.remarks, *_remarks(study)],
    )


def _direction(request: ImportRequest, source: PastSource) -> Direction:
    """Which way the quality is better: as was asked, as the source says, or by its name. Raises RequestError."""
    found = request.direction or source.direction or stated_direction(request.quality)
    if found is None:
        raise RequestError(
            f"the name '{request.quality}' does not say which way is better: give --direction maximize or minimize"
        )
    return found


def _runs_there(home: Home, name: str, source: PastSource, quality: QualityMetric) -> dict[str, ImportedRun] | None:
    """The runs that were imported before, by their ids in the source. None for a new study.

    Raises RequestError where the study is from elsewhere or of another quality.
    """
    if name not in [each.name for each in list_studies(home.tracking_uri)]:
        if any(each.name == name and each.foreign for each in find_study(home.tracking_uri, name)):
            raise RequestError(f"this home's MLflow store has an experiment '{name}' of its own: give a --name")
        return None
    origin = imported_from(home.tracking_uri, name)
    if not origin:
        raise RequestError(f"study '{name}' was run here, not imported: give another --name")
    if origin != source.origin:
        raise RequestError(f"study '{name}' was imported from {origin}, not from {source.origin}: give another --name")
    found, there = imported_runs(home.tracking_uri, name)
    if found != quality:
        raise RequestError(
            f"study '{name}' was imported with quality {found.name} ({found.direction}), not {quality.name} "
            f"({quality.direction}): give another --name"
        )
    return there


def _left_out(run: str, each: Any) -> dict[str, Any]:
    moments = {
        name: datetime.fromtimestamp(getattr(each, name), UTC).isoformat(timespec="seconds")
        for name in ("since", "until")
    }
    return {"run": run, **moments, "seconds": each.seconds, "why": each.why}


def _remarks(study: PastStudy) -> list[str]:
    remarks = [f"{several(count, 'run')}: {note}" for note, count in study.notes.items()]
    for sku, day in study.machines.earliest.items():
        remarks.append(f"the rates of {sku} are known from {day} on: earlier runs are billed at that rate")
    if study.left_out:
        hours = sum(each.seconds for _, each in study.left_out) / 3600
        runs = len({run for run, _ in study.left_out})
        remarks.append(f"{hours:,.1f} h of pauses in {several(runs, 'run')} do not count")
    return remarks
