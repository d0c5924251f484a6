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
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from experiments.data.corpus import SPLITS
from experiments.data.function_rows import (
    DISTRIBUTION,
    FILES_PER_PACKAGE,
    Function,
    RowKind,
    documented_functions,
    load_rows,
    plain,
)

RULE_VERSION = 1
"""Raise it whenever the rule above changes: old caches are then left alone and never read."""

MIN_WORDS = 3

_WORD = re.compile(r"[A-Za-z]+")

Row = tuple[str, str, str]
"""A source, its target, and its split."""


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
    rows, fingerprint = load_rows(SIGNATURE_ROWS, cache, progress, distribution, files_per_package)
    return [(source, target, split) for source, target, split in rows], fingerprint


def pairs_of(source: bytes) -> Iterator[tuple[str, str]]:
    """The signature of every documented function in a file's source, with the first line of its docstring."""
    for function, docstring in documented_functions(source):
        target = plain(next(iter(docstring.strip().splitlines()), ""))
        if len(_WORD.findall(target)) >= MIN_WORDS:
            yield plain(signature(function)), target


def signature(function: Function) -> str:
    """``name(argument, argument=default) -> annotation``; the arguments' own annotations are taken from it."""
    named = function.args
    for argument in (*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg):
        if argument is not None:
            argument.annotation = None
    given_back = "" if function.returns is None else f" -> {ast.unparse(function.returns)}"
    return f"{function.name}({ast.unparse(named)}){given_back}"


SIGNATURE_ROWS = RowKind(
    name="signatures",
    rule=f"rule {RULE_VERSION}, {{files_per_package}} files, {MIN_WORDS} words, splits {SPLITS}",
    columns={"source": pa.string(), "target": pa.string()},
    read=pairs_of,
)
