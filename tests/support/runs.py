"""Runs outside any study that can be looked into: with the list that their events go to."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from experiments.benchmarks.bare_run import bare_run, default_settings, prepared_task
from tracker.records import QualityMetric
from tracker.training.assignment import Place, Reporting, Saving, Seat, Task
from tracker.training.run import Run

Events = list[tuple[str, Any]]


def gallery_run(
    workload: Any,
    data: dict[str, Any],
    cache: Path,
    artifacts: Path,
    *,
    quality: str,
    seed: int = 0,
    state_path: Path | None = None,
    pause_after_epoch: int | None = None,
    **settings: Any,
) -> tuple[Run, Events]:
    """A run of a workload on data that are prepared in ``cache``; ``quality`` is one of its metrics."""
    events: Events = []
    metric = QualityMetric(quality, workload.metrics[quality])
    task = prepared_task(workload, default_settings(workload, **settings), data, cache, metric, seed)
    run = bare_run(
        task,
        Place(cache, artifacts),
        lambda event, fields: events.append((event, fields)),
        declared_metrics=frozenset(workload.metrics),
        saving=Saving(state_path, pause_after_epoch),
    )
    return run, events


def assembled_run(**given: Any) -> Run:
    """A run whose parts have these fields, each named once; ``state_path`` is where it saves."""
    if "state_path" in given:
        given["path"] = given.pop("state_path")
    parts = [
        kind(**{each.name: given.pop(each.name) for each in fields(kind) if each.name in given})
        for kind in (Task, Seat, Place, Reporting, Saving)
    ]
    assert not given, f"no part of a run has {', '.join(given)}"
    return Run(*parts)
