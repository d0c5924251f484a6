"""Reading a csv file of texts and labels, by our reader and by Hugging Face datasets: each for a process of its own."""

from __future__ import annotations

import importlib
import resource
import time
from pathlib import Path

from experiments.data.table_reading import Reading

COLUMNS = ("text", "label")

Measured = tuple[float, float]
"""Seconds, and GiB of memory at the peak beyond those at the start."""


def read_ours(path: Path) -> Measured:
    """Read the file as workloads do. For a child process."""
    read_table = importlib.import_module("experiments.data.table_file").read_table
    with_it, begin = _peak_gib(), time.perf_counter()
    table = read_table(path, Reading(COLUMNS), "")
    columns = [table.filled(name) for name in COLUMNS]
    seconds = time.perf_counter() - begin
    assert len(columns[0]) == len(columns[1])
    return seconds, _peak_gib() - with_it


def read_by_datasets(path: Path, cache: Path) -> Measured:
    """Read the file by datasets, as the same lists. For a child process."""
    datasets = importlib.import_module("datasets")
    datasets.disable_progress_bars()
    with_it, begin = _peak_gib(), time.perf_counter()
    rows = datasets.Dataset.from_csv(str(path), cache_dir=str(cache), keep_default_na=False)
    columns = [["" if value is None else str(value).strip() for value in rows[name][:]] for name in COLUMNS]
    seconds = time.perf_counter() - begin
    assert len(columns[0]) == len(columns[1])
    return seconds, _peak_gib() - with_it


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
