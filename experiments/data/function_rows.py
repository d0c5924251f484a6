"""Rows about the functions of the Python packages that a distribution installs: read once, kept, split by file.

Of each package, the first ``files_per_package`` files in the order of a hash of their path below site-packages are
read, so that no package drowns the others. Splits are by source file, in each package (docstrings.split_by_file).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from experiments.data.corpus import stable_hash
from experiments.data.docstrings import split_by_file
from experiments.data.files import whole_file
from experiments.data.installed_packages import SourceFile, check_installed, dependency_closure, source_files
from experiments.data.source_reading import definitions, read_files

DISTRIBUTION = "cost-quality-tracker"
FILES_PER_PACKAGE = 100

Function = ast.FunctionDef | ast.AsyncFunctionDef
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RowKind:
    """What is read of files. ``read`` gives the rows of a file's source, a value for each of ``columns``.

    ``rule`` says all that the rows follow from beside the files and ``files_per_package``. ``read`` runs in other
    processes: it is a function of a module.
    """

    name: str
    rule: str
    columns: Mapping[str, pa.DataType]
    read: Callable[[bytes], Iterator[Row]]


def load_rows(
    kind: RowKind, cache: Path, progress: Callable[[str], None], distribution: str, files_per_package: int
) -> tuple[list[Row], str]:
    """Rows, each with its split at the end, from ``cache`` or else read with all cores, and their fingerprint.

    ``files_per_package`` 0 is for all files. Raises DataError where the distribution is not installed.
    """
    check_installed(distribution)
    distributions = dependency_closure(distribution)
    fingerprint = _fingerprint(kind.rule.format(files_per_package=files_per_package), distributions)
    path = cache / f"{kind.name}-{fingerprint}.parquet"
    columns = {**kind.columns, "split": pa.string()}
    if not path.is_file():
        files = first_files(source_files(distributions), files_per_package)
        split_of_file = split_by_file((file.package, file.relative) for file in files)
        found = read_files(files, partial(_read_files, read=kind.read), kind.name, progress)
        rows = [(*row, split_of_file[file]) for *row, file in found]
        with whole_file(path) as unfinished:
            read = {name: [row[index] for row in rows] for index, name in enumerate(columns)}
            pq.write_table(pa.table(read, schema=pa.schema(list(columns.items()))), unfinished)
    table = pq.read_table(path)
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True)), fingerprint


def first_files(files: list[SourceFile], per_package: int) -> list[SourceFile]:
    """The first ``per_package`` files of each package in the order of a hash of their path (0 for all), by path."""
    by_package: dict[str, list[SourceFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: stable_hash(file.relative)):
        by_package[file.package].append(file)
    kept = [file for of_package in by_package.values() for file in of_package[: per_package or None]]
    return sorted(kept, key=lambda file: file.relative)


def documented_functions(source: bytes) -> Iterator[tuple[Function, str]]:
    """Every function with a docstring in a file's source, and that docstring as it stands."""
    for node in definitions(source):
        if isinstance(node, Function) and (docstring := ast.get_docstring(node, clean=False)):
            yield node, docstring


def plain(text: str) -> str:
    """White space collapsed, and half a surrogate pair, which is no character, made a question mark."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _read_files(files: list[SourceFile], read: Callable[[bytes], Iterator[Row]]) -> list[Row]:
    rows = []
    for file in files:
        try:
            source = file.path.read_bytes()
        except OSError:
            continue  # listed by its distribution, and removed since
        if b"def " in source:
            rows.extend((*row, file.relative) for row in read(source))
    return rows


def _fingerprint(rule: str, distributions: Mapping[str, importlib.metadata.Distribution]) -> str:
    versions = "\n".join(f"{name}=={distribution.version}" for name, distribution in distributions.items())
    return hashlib.sha256(f"{rule}\n{versions}".encode()).hexdigest()[:16]
