"""The docstrings of the Python packages that this project installs: which package is a text from?

The rule, whole:

- The packages are those that ``cost-quality-tracker`` depends on, directly or not. The label is the
  top-level name that a file is imported under; folders of tests are left out.
- A text is the docstring of a module, class or function: its white space collapsed, and every name of its own
  package (import name, distribution names, each also with ``py`` before it) replaced by ``MASK``.
- It is kept with at least MIN_WORDS words, of which at least MIN_COMMON_SHARE are among the commonest words
  of English (COMMON_WORDS), and with at least MIN_ASCII_SHARE of its characters ASCII.
- Of texts that are equal but for case, punctuation and digits, the first by file path is kept, whatever its class.
- A class is kept with at least MIN_TEXTS texts in at least MIN_FILES files.
- Splits are by source file: in each class, files are ordered by a hash of their path below site-packages, the
  first 70 % are for training, the next 15 % for validation, the rest for the test.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from experiments.data.corpus import SPLITS, Corpus, gather, split_for_share, stable_hash
from experiments.data.files import whole_file
from experiments.data.installed_packages import (
    SourceFile,
    check_installed,
    dependency_closure,
    package_names,
    source_files,
)
from experiments.data.source_reading import definitions, read_files
from tracker.errors import DataError

RULE_VERSION = 2
"""Raise it whenever the rule above changes: old caches are then left alone and never read."""

DISTRIBUTION = "cost-quality-tracker"
MASK = "thispackage"
MIN_TEXTS = 250
MIN_FILES = 10
MIN_WORDS = 8
MIN_ASCII_SHARE = 0.9
MIN_COMMON_SHARE = 0.1
COMMON_WORDS = frozenset(
    [
        "a",
        "all",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "for",
        "from",
        "has",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "other",
        "that",
        "the",
        "this",
        "to",
        "used",
        "was",
        "when",
        "which",
        "will",
        "with",
        "you",
    ]
)

_WORD = re.compile(r"[A-Za-z]+")

Row = tuple[str, str, str]
"""A text, its label, and the file that it is from (for the last step: its split)."""


def load_docstrings(cache: Path, progress: Callable[[str], None], distribution: str = DISTRIBUTION) -> Corpus:
    """The corpus, from ``cache`` or else extracted with all cores. Raises DataError where too little is found."""
    check_installed(distribution)
    distributions = dependency_closure(distribution)
    fingerprint = _fingerprint(distributions)
    path = cache / f"docstrings-{fingerprint}.parquet"
    if not path.is_file():
        rows = extract(source_files(distributions), package_names(distributions), progress)
        if len({label for _, label, _ in rows}) < 2:
            raise DataError(
                f"docstrings of the packages that {distribution} installs: fewer than two packages have "
                f"{MIN_TEXTS} texts in {MIN_FILES} files"
            )
        with whole_file(path) as unfinished:
            columns = dict(zip(("text", "label", "split"), zip(*rows, strict=True), strict=True))
            pq.write_table(pa.table(columns), unfinished)
    table = pq.read_table(path)
    rows = list(zip(*(table[name].to_pylist() for name in ("text", "label", "split")), strict=True))
    classes = tuple(sorted({label for _, label, _ in rows}))
    return Corpus(
        name="docstrings",
        fingerprint=fingerprint,
        classes=classes,
        splits=gather(rows, classes),
        description=f"docstrings of {len(classes)} installed Python packages; which package is a text from?",
    )


def extract(files: list[SourceFile], names: Mapping[str, frozenset[str]], progress: Callable[[str], None]) -> list[Row]:
    """Rows of (text, package, split name) under the rule above."""
    rows = keep_large_classes(drop_duplicates(_texts_of_files(files, names, progress)))
    split_of_file = split_by_file((label, file) for _, label, file in rows)
    progress(f"{len(rows):,} distinct docstrings of {len({label for _, label, _ in rows})} packages")
    return [(text, label, split_of_file[file]) for text, label, file in rows]


def drop_duplicates(rows: Iterable[Row]) -> list[Row]:
    """The rows whose text, but for case, punctuation and digits, was not seen before."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(" ".join(_WORD.findall(row[0])).lower(), row)
    return list(first.values())


def keep_large_classes(rows: list[Row]) -> list[Row]:
    """The rows of classes with MIN_TEXTS texts in MIN_FILES files."""
    texts: dict[str, int] = defaultdict(int)
    files: dict[str, set[str]] = defaultdict(set)
    for _, label, file in rows:
        texts[label] += 1
        files[label].add(file)
    kept = {label for label in texts if texts[label] >= MIN_TEXTS and len(files[label]) >= MIN_FILES}
    return [row for row in rows if row[1] in kept]


def split_by_file(labelled_files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The split of each file, from pairs of a class and a file."""
    by_class: dict[str, set[str]] = defaultdict(set)
    for label, file in labelled_files:
        by_class[label].add(file)
    return {
        file: split_for_share(rank / len(files))
        for files in by_class.values()
        for rank, file in enumerate(sorted(files, key=stable_hash))
    }


def is_english(text: str) -> bool:
    """Whether a text passes the rule's simple test."""
    words = _WORD.findall(text.lower())
    common = sum(word in COMMON_WORDS for word in words)
    ascii_count = len(text.encode("ascii", "ignore"))
    return bool(words) and common >= MIN_COMMON_SHARE * len(words) and ascii_count >= MIN_ASCII_SHARE * len(text)


def own_name_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds any of ``names`` between characters that are neither letters nor digits.

    Case does not matter, nor whether a name's parts are joined by ``-``, ``_``, a dot, a blank or nothing.
    """
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    forms = "|".join("[-_. ]?".join(map(re.escape, re.split("[-_.]", name))) for name in longest_first)
    return re.compile(rf"(?<![A-Za-z0-9])(?:py)?(?:{forms})(?![A-Za-z0-9])", re.IGNORECASE)


def docstrings_of(source: bytes) -> Iterator[str]:
    """Every docstring in a file's source, in the order of a walk; none where it cannot be parsed."""
    for node in definitions(source):
        if text := ast.get_docstring(node, clean=False):
            yield text


def _texts_of_files(
    files: list[SourceFile], names: Mapping[str, frozenset[str]], progress: Callable[[str], None]
) -> Iterator[Row]:
    return read_files(files, partial(_read_files, names=names), "docstrings", progress)


def _read_files(files: list[SourceFile], names: Mapping[str, frozenset[str]]) -> list[Row]:
    rows = []
    for file in files:
        try:
            source = file.path.read_bytes()
        except OSError:
            continue  # listed by its distribution, and removed since
        own_name = own_name_pattern(names[file.package])
        for docstring in docstrings_of(source):
            text = own_name.sub(MASK, " ".join(docstring.split()))
            if len(_WORD.findall(text)) >= MIN_WORDS and is_english(text):
                rows.append((text, file.package, file.relative))
    return rows


def _fingerprint(distributions: Mapping[str, importlib.metadata.Distribution]) -> str:
    versions = "\n".join(f"{name}=={distribution.version}" for name, distribution in distributions.items())
    rule = f"rule {RULE_VERSION}, {MIN_TEXTS} texts, {MIN_FILES} files, {MIN_WORDS} words, splits {SPLITS}"
    return hashlib.sha256(f"{rule}\n{versions}".encode()).hexdigest()[:16]
