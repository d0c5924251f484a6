"""Experiments that have a study's name, or runs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class FoundExperiment:
    """An MLflow experiment that has a study's name, or runs of the study under another name.

    ``parent`` is the id of the study's own parent run, "" where it has none; ``runs`` counts the study's other runs,
    deleted ones too, ``foreign`` the runs that are not the study's.
    """

    experiment_id: str
    name: str
    deleted: bool
    parent: str = ""
    parent_deleted: bool = False
    runs: int = 0
    foreign: int = 0


class FoundRun(NamedTuple):
    """A run of an experiment that a study is looked for in: its lifecycle, and its study's name and its role in it."""

    run_id: str
    deleted: bool
    study: str
    role: str


def found_experiment(
    experiment_id: str, name: str, deleted: bool, study: str, runs: Sequence[FoundRun]
) -> FoundExperiment:
    """What an experiment has of ``study``, by its runs. A parent run that is not deleted goes first."""
    own = [run for run in runs if run.study == study]
    parents = sorted((run for run in own if run.role == "study"), key=lambda run: run.deleted)
    return FoundExperiment(
        experiment_id,
        name,
        deleted,
        parents[0].run_id if parents else "",
        bool(parents) and parents[0].deleted,
        sum(run.role != "study" for run in own),
        len(runs) - len(own),
    )
