"""Runs outside any study that can be looked into: with the list that their events go to."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from experiments.benchmarks.bare_run import bare_run, default_settings, prepared_task
from tracker.records import QualityMetric
from tracker.training.assignment import Place, Reporting, Saving, Seat, Task
from tracker.training.loading import load_workload
from tracker.training.run import Run
from tracker.training.workload import Predicts

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


def checkpoints(events: Events) -> list[dict[str, Any]]:
    """The metrics of each checkpoint that a run reported."""
    return [payload["metrics"] for event, payload in events if event == "checkpoint"]


def kept_folder(tmp_path: Path) -> Path:
    """The folder of the latest model that a run of ``gallery_run`` kept in ``tmp_path / "artifacts"``."""
    kept = [each for each in (tmp_path / "artifacts").iterdir() if each.is_dir()]
    return max(kept, key=lambda folder: int(folder.name.removeprefix("epoch-")))


def check_servable(reference: str) -> None:
    """It is a workload with sound defaults, whose models can be served."""
    workload = load_workload(reference)
    assert isinstance(workload, Predicts)
    for name, knob in workload.knobs.items():
        assert knob.default is None or knob.problem(knob.default) is None, name
