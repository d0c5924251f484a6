"""The tracker from Python: run a study, read it, write its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tracker.report.html import write_report
from tracker.report.tables import frontier_document, frontier_table
from tracker.runner import studies
from tracker.runner.progress import Observer
from tracker.store.home import Home, folder_name
from tracker.store.run_table import StudyTable, read_study_table
from tracker.study.document import StudyDocument


@dataclass(frozen=True, slots=True)
class Study:
    """A study that was run: its name, and the home that it lives in."""

    name: str
    home: Home

    def table(self) -> StudyTable:
        """All runs and checkpoints, read anew. Raises StudyNotFoundError, StoreError."""
        return read_study_table(self.home.tracking_uri, self.name)

    def runs(self) -> pd.DataFrame:
        """Every run, one row each; see StudyTable for the columns."""
        return self.table().runs

    def checkpoints(self) -> pd.DataFrame:
        """Every checkpoint, one row each; see StudyTable for the columns."""
        return self.table().checkpoints

    def frontier(self) -> pd.DataFrame:
        """The non-dominated checkpoints by rising price; see report.tables.frontier_table."""
        return frontier_table(self.table())

    def frontier_document(self) -> dict[str, Any]:
        """What ``tracker frontier NAME --json`` prints."""
        return frontier_document(self.table())

    @property
    def spend_usd(self) -> float:
        """All that the study has cost, in USD."""
        return self.table().spend_usd

    def report(self, out: str | Path | None = None) -> list[Path]:
        """Write the report into ``out`` (reports/NAME in the home without one); the files' paths."""
        return write_report(self.table(), Path(out) if out else self.home.reports / folder_name(self.name))


def run_study(
    study: str | Path | Mapping[str, Any],
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    settings: Mapping[str, object] | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> Study:
    """Run a study from a TOML file, or from a mapping of the same shape, and return it when it has ended.

    ``settings`` fixes knobs; the other arguments are the options of ``tracker run``. Raises TrackerError.
    """
    document = StudyDocument("study", study) if isinstance(study, Mapping) else StudyDocument.read(Path(study))
    document = document.override(settings or {}, name=name, seed=seed, budget_usd=budget_usd, trials=trials)
    places = studies.Places(Home.find(home), storage)
    studies.run_study(document, places, workers=workers, observer=observer)
    return Study(str(document.content["name"]), places.home)


def resume_study(
    name: str,
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> Study:
    """Go on with a study until its budget, or a new one, is spent. Raises TrackerError."""
    places = studies.Places(Home.find(home), storage)
    studies.resume_study(name, places, budget_usd=budget_usd, trials=trials, workers=workers, observer=observer)
    return Study(name, places.home)


def open_study(name: str, *, home: str | Path | None = None) -> Study:
    """A study that was run before. Raises StudyNotFoundError where there is none of this name."""
    study = Study(name, Home.find(home))
    study.table()
    return study
