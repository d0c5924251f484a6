"""Where tables come from: scikit-learn's breast cancer, a file of the user's own, or a data set of datasets.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import lazy
from experiments.data.table_file import READERS, TextTable, file_fingerprint, joined, read_table
from experiments.data.table_options import BREAST_CANCER, TableOptions
from experiments.data.table_reading import Reading
from tracker.errors import DataError

RULE_VERSION = 2
"""Raise it whenever the result for a table changes."""

DATASETS = "datasets:"


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table that is yet to be read.

    ``read`` gives the cells of all columns but the dropped ones as texts, empty where there is none; the split of each
    row where the source has splits of its own; and what had to be found out to read it. ``place`` is what messages
    call it. ``fingerprint`` follows from content and options.
    """

    name: str
    place: str
    fingerprint: str
    read: Callable[[], tuple[pd.DataFrame, list[str] | None, tuple[str, ...]]]
    options: TableOptions


def table_source(data: Mapping[str, Any], cache: Path) -> TableSource:
    """The source that a study's ``[data]`` table names. Raises DataError where there is none such."""
    options = TableOptions.of(data)
    named = (options.label_column, options.split_column, options.slice_column, *options.categorical_columns)
    reading = Reading.of(data, named, others=True, dropped=options.drop_columns)
    if options.source == BREAST_CANCER:
        frame = _breast_cancer()
        content = hashlib.sha256(frame.to_csv().encode()).hexdigest()
        chosen = frame[reading.chosen(BREAST_CANCER, frame.columns)]
        fingerprint = _fingerprint(content, options)
        return TableSource(BREAST_CANCER, BREAST_CANCER, fingerprint, lambda: (chosen, None, ()), options)
    if options.source.startswith(DATASETS):
        if options.split_column:
            raise DataError(f"split_column is for a file; '{options.source}' has splits of its own")
        tables, content = lazy.call("experiments.data.hub_tables:hub_tables", options.source, cache, reading)
        name = options.source.removeprefix(DATASETS)
        return TableSource(name, name, _fingerprint(content, options), partial(_below, tables), options)
    path = Path(options.source).expanduser()
    if path.suffix.lower() not in READERS or not path.is_file():
        read_table(path, reading, f"{BREAST_CANCER}' nor '{DATASETS}NAME")  # raises what is wrong with the name
    fingerprint = file_fingerprint(path, f"{_options_text(options)}, {reading.summary}\n")
    return TableSource(path.stem, str(path), fingerprint, partial(_file, path, reading), options)


def _breast_cancer() -> pd.DataFrame:
    """569 patients, 30 measures of cell nuclei each (Street et al. 1993, doi:10.24432/C5DW2B)."""
    loaded = lazy.call("sklearn.datasets:load_breast_cancer")
    frame = pd.DataFrame(loaded.data, columns=[str(each) for each in loaded.feature_names]).astype(str)
    return frame.assign(label=[str(loaded.target_names[each]) for each in loaded.target])


def _file(path: Path, reading: Reading) -> tuple[pd.DataFrame, list[str] | None, tuple[str, ...]]:
    table = read_table(path, reading, BREAST_CANCER)
    return pd.DataFrame(table.columns, dtype=str), None, table.remarks


def _below(tables: Mapping[str, TextTable]) -> tuple[pd.DataFrame, list[str], tuple[str, ...]]:
    """All splits of a data set, one below the other."""
    whole = joined([*tables.values()])
    splits = [split for split, table in tables.items() for _ in range(len(table))]
    return pd.DataFrame(whole.columns, dtype=str), splits, whole.remarks


def _fingerprint(content: str, options: TableOptions) -> str:
    return hashlib.sha256(f"{_options_text(options)}, {content}".encode()).hexdigest()[:16]


def _options_text(options: TableOptions) -> str:
    return f"rule {RULE_VERSION}, {asdict(options) | {'source': ''}}"
