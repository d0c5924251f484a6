"""An exported study brought into a home: what ``tracker import export`` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tracker.imports.exported import read_export
from tracker.imports.log_table import log_table
from tracker.imports.names import importable_name
from tracker.store.home import Home


def import_export(folder: Path, home: Home, name: str = "", say: Callable[[str], None] = lambda _: None) -> str:
    """Write the study that was exported into ``folder`` into the MLflow store of ``home``; its name there.

    ``name`` is another one than it had. Raises RequestError (see ``read_export``), StudyExistsError, StoreError.
    """
    table = read_export(folder)
    table = replace(table, study=importable_name(name or table.study))
    with home.import_of(table.study):
        log_table(table, home, f"an export of study '{table.study}'", say)
    return table.study
