"""Finding a study: its folder with the event logs, its experiment in MLflow, its trials in Optuna's database.

All three have its name, and any of them can be deleted, renamed or lost from outside. The other two can be restored
from the event logs, which record all spend; without those, only MLflow's records remain.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.databases.addresses import shown_url
from tracker.errors import StoreError, StudyExistsError, StudyNotFoundError, TrackerError, did_you_mean
from tracker.records import TrialState
from tracker.runner.study_folder import DESCRIPTION, StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.runner.study_reading import HomeStudyReader, asked, warn
from tracker.store.found import FoundExperiment
from tracker.store.home import Home
from tracker.store.run_table import StudySummary, StudyTable, find_study, imported_from, list_studies


def folder_of(home: Home, name: str) -> StudyFolder:
    """The folder of a study. Raises StudyNotFoundError with what else there is of the study."""
    folder = StudyFolder(home.study(name))
    if folder.is_there:
        return folder
    raise StudyNotFoundError(_without_folder(home, name, find_study(home.tracking_uri, name)))


def table_of(home: Home, name: str) -> StudyTable:
    """A study's table; BehindWarning where it is read from its events in place of MLflow.

    Raises StudyNotFoundError with where else the study is, and StoreError.
    """
    try:
        table = HomeStudyReader(home, name).read()
        warn(table.notice)
        return table
    except StudyNotFoundError:
        folder, found = StudyFolder(home.study(name)), find_study(home.tracking_uri, name)
        if not folder.is_there:
            raise StudyNotFoundError(_without_folder(home, name, found)) from None
        raise StudyNotFoundError(
            f"{_in_mlflow(home, name, found)}; its event logs in '{folder.path}' record every attempt and its price:\n"
            f"`tracker resume {shlex.quote(name)}` restores what MLflow lacks, then continues within the budget"
        ) from None


@dataclass(frozen=True, slots=True)
class StudyList:
    """Studies, newest first. ``notice`` says why some may be missing, "" where none is."""

    studies: Sequence[StudySummary]
    notice: str = ""

    @property
    def names(self) -> list[str]:
        """The studies' names."""
        return [each.name for each in self.studies]


def studies_of(home: Home) -> StudyList:
    """Every study that can be read: those of MLflow, or where it cannot be read, those with events in this home.

    Raises StoreError where MLflow cannot be read and there are none.
    """
    try:
        return StudyList(asked(home.tracking_uri, lambda: list_studies(home.tracking_uri)))
    except StoreError:
        folders = {name: StudyFolder(home.study(name)) for name in kept_studies(home)}
        found = [_summary(name, folder) for name, folder in folders.items() if StudyNotes(folder.path).tags()]
        if not found:
            raise
        return StudyList(sorted(found, key=lambda each: -each.started_at), _missing(home))


def _missing(home: Home) -> str:
    imported = [f"'{name}'" for name in home.imported_studies]
    return f"missing, because imported studies have no events: {', '.join(imported)}" if imported else ""


def _summary(name: str, folder: StudyFolder) -> StudySummary:
    end = folder.end()
    state = TrialState.RUNNING if end is None else end[0]
    workload = StudyNotes(folder.path).tags().get("tracker.workload", "")
    return StudySummary(name, state, folder.started_at, workload)


def check_name_is_free(home: Home, name: str, storage: str, trials_started: int | None) -> None:
    """Raise StudyExistsError where the name is taken: by what, and how to free it.

    Remains of a study that was killed before it cost anything do not claim a name. ``trials_started`` is the number in
    the Optuna database ``storage``, None where it has no such study.
    """
    folder = StudyFolder(home.study(name))
    folder.refuse_existing()
    here = [each for each in find_study(home.tracking_uri, name) if each.name == name and (each.runs or each.foreign)]
    if not here and not trials_started:
        return
    has = [_in_mlflow(home, name, here)] if here else []
    remedies = [_freed(home, name, each) for each in here]
    if trials_started:
        has.append(f"the Optuna database has {trials_started} trials of a study '{name}'")
        remedies.append(
            f"optuna delete-study --study-name {shlex.quote(name)} --storage {shlex.quote(shown_url(storage))}"
        )
    raise StudyExistsError(
        f"{'; '.join(has)}; the folder with its event logs ('{folder.path}') is missing, so it cannot be resumed.\n"
        f"Choose another --name, or free this one: {' && '.join(remedies)}"
    )


def _without_folder(home: Home, name: str, found: Sequence[FoundExperiment]) -> str:
    """The message for a study whose folder is missing."""
    found = [each for each in found if each.parent or each.runs]
    if not found:
        return f"there is no study '{name}' in '{home.path}'; {did_you_mean(name, kept_studies(home))}"
    if origin := imported_from(home.tracking_uri, name):
        return (
            f"study '{name}' was imported from {origin}: it is there to read, and cannot be resumed or confirmed,\n"
            f"for neither its training code nor its saved states came with it (`{_runs(name)}`)"
        )
    free = f". To free the name: {_freed(home, name, found[0])}" if found[0].name == name else ""
    return (
        f"study '{name}' cannot be resumed: the folder with its event logs ('{home.study(name)}') is missing.\n"
        f"{_in_mlflow(home, name, found)}{free}"
    )


def _in_mlflow(home: Home, name: str, found: Sequence[FoundExperiment]) -> str:
    """What MLflow has of a study, by the first experiment found."""
    uri = shown_url(home.tracking_uri)
    if not found:
        return f"MLflow store '{uri}' has no experiment '{name}'"
    each = found[0]
    known = f"{each.runs} runs and what they cost"
    if each.deleted:
        restore = (
            f"MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow experiments restore --experiment-id {each.experiment_id}"
        )
        return f"experiment '{each.name}' was deleted in MLflow, which still has its {known} (`{restore}`)"
    if each.name != name:
        return f"MLflow has its {known} under the new name '{each.name}' (`{_runs(each.name)}`)"
    if not each.parent and not each.runs:
        return f"MLflow has an experiment '{name}' with {each.foreign} runs that the tracker did not log"
    if not each.parent or each.parent_deleted:
        lost = "was deleted" if each.parent else "is missing"
        return f"MLflow has {known} in experiment '{name}', but their parent run {lost}"
    return f"MLflow has its {known} in experiment '{name}' (`{_runs(name)}`)"


def _freed(home: Home, name: str, found: FoundExperiment) -> str:
    """The shell command that frees an experiment's name without losing a record."""
    command = f"MLFLOW_TRACKING_URI={shlex.quote(shown_url(home.tracking_uri))} mlflow experiments"
    rename = f"{command} rename --experiment-id {found.experiment_id} --new-name {shlex.quote(f'{name} (old)')}"
    # MLflow does not rename deleted experiments, and keeps their names reserved.
    return f"{command} restore --experiment-id {found.experiment_id} && {rename}" if found.deleted else rename


def _runs(name: str) -> str:
    return f"tracker runs {shlex.quote(name)}"


def kept_studies(home: Home) -> list[str]:
    """The studies that have a folder in this home, most recently changed first."""
    names = []
    files = [path for path in home.studies.glob(f"*/{DESCRIPTION}") if not path.parent.name.startswith(".")]
    for path in sorted(files, key=_changed_at, reverse=True):
        with contextlib.suppress(TrackerError, OSError, ValueError, KeyError):
            names.append(str(json.loads(path.read_text(encoding="utf-8"))["content"]["name"]))
    return names


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
