"""Where tables come from: scikit-learn's breast cancer, a csv file of the user's own, or a data set of datasets.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import lazy
from experiments.data.table_options import BREAST_CANCER, TableOptions
from tracker.errors import DataError

RULE_VERSION = 1
"""Raise it whenever what a table becomes changes."""

DATASETS = "datasets:"


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table that is yet to be read.

    ``read`` gives all cells as texts, empty where there is none, and the split of each row where the source has
    splits of its own. ``place`` is what messages call it. ``fingerprint`` follows from content and options.
    """

    name: str
    place: str
    fingerprint: str
    read: Callable[[], tuple[pd.DataFrame, list[str] | None]]
    options: TableOptions


def table_source(data: Mapping[str, Any], cache: Path) -> TableSource:
    """The source that a study's ``[data]`` table names. Raises DataError where there is none such."""
    options = TableOptions.of(data)
    if options.source == BREAST_CANCER:
        frame = _breast_cancer()
        content = hashlib.sha256(frame.to_csv().encode()).hexdigest()
        return TableSource(BREAST_CANCER, BREAST_CANCER, _fingerprint(content, options), lambda: (frame, None), options)
    if options.source.startswith(DATASETS):
        if options.split_column:
            raise DataError(f"split_column is for a csv file; '{options.source}' has splits of its own")
        splits = lazy.call("experiments.data.hub:hub_splits", options.source, cache)
        content = lazy.call("experiments.data.hub:hub_fingerprint", splits)
        name = options.source.removeprefix(DATASETS)
        return TableSource(name, name, _fingerprint(content, options), partial(_joined, splits), options)
    path = Path(options.source).expanduser()
    if path.suffix.lower() != ".csv":
        raise DataError(f"data source '{path}' is neither '{BREAST_CANCER}' nor '{DATASETS}NAME' nor a .csv file")
    if not path.is_file():
        raise DataError(f"data file '{path}' was not found (looked for {path.resolve()})")
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return TableSource(path.stem, str(path), _fingerprint(content, options), lambda: (_csv(path), None), options)


def _breast_cancer() -> pd.DataFrame:
    """569 patients, 30 measures of cell nuclei each (Street et al. 1993, doi:10.24432/C5DW2B)."""
    loaded = lazy.call("sklearn.datasets:load_breast_cancer")
    frame = pd.DataFrame(loaded.data, columns=[str(each) for each in loaded.feature_names]).astype(str)
    return frame.assign(label=[str(loaded.target_names[each]) for each in loaded.target])


def _csv(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = [each.strip() for each in next(csv.reader(file), [])]
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # rows longer than the header
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (ValueError, OSError, csv.Error, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"data file '{path}' cannot be read as csv: {reason}") from error
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise DataError(f"{path}: two columns are called '{twice}'; each needs a name of its own")
    return frame.set_axis(header, axis="columns")


def _joined(splits: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """All splits of a data set of datasets, one below the other."""
    frames, names = [], []
    for split, rows in splits.items():
        columns = {}
        for name in rows.column_names:
            # The names of its classes instead of their numbers; -1 and the like are none.
            known = getattr(rows.features[name], "names", None)
            values = rows.with_format("arrow")[:][name].to_pylist()
            texts = ["" if each is None else str(each) for each in values]
            columns[name] = texts if known is None else [_named(known, each) for each in values]
        frames.append(pd.DataFrame(columns, dtype=str))
        names += [split] * len(rows)
    return pd.concat(frames, ignore_index=True).fillna(""), names


def _named(names: list[str], value: int | None) -> str:
    return names[value] if value is not None and 0 <= value < len(names) else ""


def _fingerprint(content: str, options: TableOptions) -> str:
    told = f"rule {RULE_VERSION}, {asdict(options) | {'source': ''}}, {content}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]
