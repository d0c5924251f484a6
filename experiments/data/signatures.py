"""What functions do, from their signatures: the code of the Python packages that this project installs.

The rule, whole:

- The packages are those that a distribution, ``cost-quality-tracker`` by default, depends on, directly or not; folders
  of tests are left out. Of each package, the first ``files_per_package`` files in the order of a hash of their path
  below site-packages are read, so that no package drowns the others.
- A pair is a function or method with a docstring. Its source is ``name(argument, argument=default) -> annotation``,
  arguments without their annotations; its target is the first line of the docstring that is not empty.
- It is kept where the target has at least MIN_WORDS words.
- Splits are by source file, in each package (docstrings.split_by_file): 70 % of its files are for training, 15 % for
  validation, 15 % for the test.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from experiments.data.corpus import SPLITS, stable_hash
from experiments.data.docstrings import split_by_file
from experiments.data.files import whole_file
from experiments.data.installed_packages import SourceFile, check_installed, dependency_closure, source_files
from experiments.data.source_reading import definitions, read_files

RULE_VERSION = 1
"""Raise it whenever the rule above changes: old caches are then left alone and never read."""

DISTRIBUTION = "cost-quality-tracker"
FILES_PER_PACKAGE = 100
MIN_WORDS = 3
COLUMNS = ("source", "target", "split")

_WORD = re.compile(r"[A-Za-z]+")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Row = tuple[str, str, str]
"""A source, its target, and its split (while files are read: the file that it is from)."""


def load_signatures(
    cache: Path,
    progress: Callable[[str], None],
    *,
    distribution: str = DISTRIBUTION,
    files_per_package: int = FILES_PER_PACKAGE,
) -> tuple[list[Row], str]:
    """The rows under the rule above, from ``cache`` or else read with all cores, and their fingerprint.

    ``files_per_package`` 0 is for all files. Raises DataError where the distribution is not installed.
    """
    check_installed(distribution)
    distributions = dependency_closure(distribution)
    fingerprint = _fingerprint(distributions, files_per_package)
    path = cache / f"signatures-{fingerprint}.parquet"
    if not path.is_file():
        files = first_files(source_files(distributions), files_per_package)
        split_of_file = split_by_file((file.package, file.relative) for file in files)
        found = read_files(files, _read_files, "signatures", progress)
        rows = [(source, target, split_of_file[file]) for source, target, file in found]
        with whole_file(path) as unfinished:
            columns = {name: [row[index] for row in rows] for index, name in enumerate(COLUMNS)}
            pq.write_table(pa.table(columns, schema=pa.schema([(name, pa.string()) for name in COLUMNS])), unfinished)
    table = pq.read_table(path)
    return list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)), fingerprint


def first_files(files: list[SourceFile], per_package: int) -> list[SourceFile]:
    """The first ``per_package`` files of each package in the order of a hash of their path (0 for all), by path."""
    by_package: dict[str, list[SourceFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: stable_hash(file.relative)):
        by_package[file.package].append(file)
    kept = [file for of_package in by_package.values() for file in of_package[: per_package or None]]
    return sorted(kept, key=lambda file: file.relative)


def pairs_of(source: bytes) -> Iterator[tuple[str, str]]:
    """The signature of every documented function in a file's source, with the first line of its docstring."""
    for node in definitions(source):
        if isinstance(node, Function) and (docstring := ast.get_docstring(node, clean=False)):
            target = plain(next(iter(docstring.strip().splitlines()), ""))
            if len(_WORD.findall(target)) >= MIN_WORDS:
                yield plain(signature(node)), target


def signature(function: Function) -> str:
    """``name(argument, argument=default) -> annotation``; the arguments' own annotations are taken from it."""
    named = function.args
    for argument in (*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg):
        if argument is not None:
            argument.annotation = None
    given_back = "" if function.returns is None else f" -> {ast.unparse(function.returns)}"
    return f"{function.name}({ast.unparse(named)}){given_back}"


def plain(text: str) -> str:
    """White space collapsed, and half a surrogate pair, which is no character, made a question mark."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _read_files(files: list[SourceFile]) -> list[Row]:
    rows = []
    for file in files:
        try:
            source = file.path.read_bytes()
        except OSError:
            continue  # listed by its distribution, and removed since
        if b"def " in source:
            rows.extend((*pair, file.relative) for pair in pairs_of(source))
    return rows


def _fingerprint(distributions: Mapping[str, importlib.metadata.Distribution], files_per_package: int) -> str:
    versions = "\n".join(f"{name}=={distribution.version}" for name, distribution in distributions.items())
    rule = f"rule {RULE_VERSION}, {files_per_package} files, {MIN_WORDS} words, splits {SPLITS}"
    return hashlib.sha256(f"{rule}\n{versions}".encode()).hexdigest()[:16]
