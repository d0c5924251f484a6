"""Documents to learn to write: the source text of Python's standard library, or a user's own text.

The rule for the standard library, whole: its Python files, but for folders of tests and of installed packages, what a
build of Python adds (``config-*``, ``_sysconfigdata*``) and empty files; a slice is a top-level folder.

A folder is split by file: its files in the order of a hash of their path below it, the first 70 % for training, the
next 15 % for validation, the rest for the test. A single file is cut at the ends of lines into three stretches of such
shares. A data set of the Hub has its own splits, or those that experiments.data.hub makes. Documents of a split stand
in the order of a hash of their name, so that the first ones are a fair sample that is the same in every process.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.corpus import SPLITS, TRAIN_SHARE, VALIDATION_SHARE, split_for_share, stable_hash
from experiments.data.installed_packages import TEST_FOLDERS
from experiments.data.table_reading import Reading
from tracker.errors import DataError

RULE_VERSION = 1
"""Raise it whenever the rule above changes: old caches are then left alone and never read."""

STANDARD_LIBRARY = "standard_library"
HUB = "datasets:"
PATTERNS = "*.txt *.md *.py"
LEFT_OUT_FOLDERS = TEST_FOLDERS | {"idle_test", "site-packages", "dist-packages", "__pycache__"}
LEFT_OUT_PREFIXES = ("config-", "_sysconfigdata")
FEWEST_FILES = 5
"""Of fewer files, the shares above leave a split empty."""

TOP_LEVEL = "top level"
"""The slice of files that are in no folder."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text, with a name that no other of its source has. ``slice`` is empty where a source has no slices."""

    name: str
    text: str
    slice: str = ""


Splits = Mapping[str, tuple[Document, ...]]
"""The documents of each of corpus.SPLITS."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """Documents in three splits. ``fingerprint`` changes whenever a document or its split has changed."""

    name: str
    fingerprint: str
    splits: Splits
    description: str

    def without_duplicates(self) -> SourceText:
        """Without each document whose text an earlier one has, of any split: training comes first.

        Raises DataError where that leaves a split empty.
        """
        seen = set[str]()
        kept: dict[str, tuple[Document, ...]] = {}
        for split in SPLITS:
            first = {document.text: document for document in reversed(self.splits[split])}
            kept[split] = tuple(
                each for each in self.splits[split] if each.text not in seen and first[each.text] is each
            )
            seen.update(first)
        return replace(self, splits=_filled(kept, self.name))


def load_source_text(data: Mapping[str, Any], cache: Path, progress: Callable[[str], None]) -> SourceText:
    """The documents that a study's ``[data]`` table names. Raises DataError."""
    source = str(data.get("source", STANDARD_LIBRARY))
    hub, path = source.startswith(HUB), Path(source).expanduser()
    progress(f"reading {source}")
    if source == STANDARD_LIBRARY:
        name, splits = f"Python {platform.python_version()}'s standard library", _standard_library()
    elif hub:
        name, splits = source, _hub(source, str(data.get("text_column", "text")), cache)
    elif path.is_dir():
        name, splits = path.name, _folder(path, str(data.get("pattern", PATTERNS)))
    elif path.is_file():
        name, splits = path.name, _file(path)
    else:
        raise DataError(
            f"data source '{source}' was not found (looked for {path.resolve()}); allowed: '{STANDARD_LIBRARY}', a text"
            f" file, a folder of them, or '{HUB}NAME'"
        )
    _only("pattern", data, path.is_dir() and not hub, "a folder")
    _only("text_column", data, hub, f"'{HUB}NAME'")
    count = sum(map(len, splits.values()))
    description = f"the text of {name}, {count:,} {'documents' if hub else 'files' if count > len(SPLITS) else 'parts'}"
    return SourceText(name, _fingerprint(splits), _filled(splits, name), description)


def split_by_file(files: Iterable[str]) -> dict[str, str]:
    """The split of each file, by the rank of its hash."""
    ranked = sorted(files, key=stable_hash)
    return {file: split_for_share((rank + 0.5) / len(ranked)) for rank, file in enumerate(ranked)}


def _standard_library() -> Splits:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = []
    for folder, below, names in os.walk(root):
        below[:] = [each for each in below if each not in LEFT_OUT_FOLDERS and not each.startswith(LEFT_OUT_PREFIXES)]
        kept = [each for each in names if each.endswith(".py") and not each.startswith(LEFT_OUT_PREFIXES)]
        files += [Path(folder, each) for each in kept]
    if len(files) < FEWEST_FILES:
        raise DataError(f"{root} holds no source of Python's standard library; name a text of your own as 'source'")
    return _split_files(root, files)


def _folder(root: Path, pattern: str) -> Splits:
    files = {path for each in pattern.split() for path in root.rglob(each) if path.is_file()}
    if len(files) < FEWEST_FILES:
        raise DataError(
            f"data folder '{root}' holds {len(files)} files of pattern '{pattern}'; at least {FEWEST_FILES} are needed,"
            " or a single text file as 'source'"
        )
    return _split_files(root, files)


def _split_files(root: Path, files: Iterable[Path]) -> Splits:
    documents = {}
    for path in files:
        if (text := _read(path)).strip():
            relative = path.relative_to(root)
            folder = relative.parts[0] if len(relative.parts) > 1 else TOP_LEVEL
            documents[relative.as_posix()] = Document(relative.as_posix(), text, folder)
    split_of = split_by_file(documents)
    return _in_order((split_of[name], document) for name, document in documents.items())


def _file(path: Path) -> Splits:
    text, ends, begin = _read(path), [], 0
    for share in (TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE):
        position = int(share * len(text))
        ends.append(text.find("\n", position) + 1 or position)
    splits = {}
    for split, end in zip(SPLITS, [*ends, len(text)], strict=True):
        splits[split] = (Document(f"{path.name}, {split}", text[begin:end]),) if text[begin:end].strip() else ()
        begin = end
    return splits


def _hub(source: str, column: str, cache: Path) -> Splits:
    documents = []
    tables, _ = lazy.call("experiments.data.hub_tables:hub_tables", source, cache, Reading((column,)))
    for split, table in tables.items():
        for number, text in enumerate(table.columns[column], start=1):
            if text.strip():
                where = f"{source}, {split}, row {number}"
                documents.append((split, Document(f"{split}/{number}", _checked(text, where))))
    return _in_order(documents)


def _in_order(documents: Iterable[tuple[str, Document]]) -> Splits:
    ordered = sorted(documents, key=lambda pair: stable_hash(pair[1].name))
    return {split: tuple(document for of, document in ordered if of == split) for split in SPLITS}


def _read(path: Path) -> str:
    try:
        return _checked(path.read_bytes().decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        value = error.object[error.start]
        raise DataError(
            f"{path}: byte {value:#04x} at position {error.start} is not UTF-8 text; UTF-8 is needed"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _checked(text: str, where: str) -> str:
    """``text``, where it can be written as UTF-8 and holds no NUL, which is what separates documents."""
    if (position := text.find("\0")) >= 0:
        raise DataError(f"{where}: a NUL at position {position}; text without one is needed")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _filled(splits: Splits, name: str) -> Splits:
    counts = {split: len(splits[split]) for split in SPLITS}
    for split in SPLITS:
        if not splits[split]:
            raise DataError(f"{name}: the {split} split has no text ({counts}); each split needs some")
    return splits


def _only(option: str, data: Mapping[str, Any], applies: bool, where: str) -> None:
    if option in data and not applies:
        raise DataError(f"data option '{option}' is {data[option]!r}, but the source is not {where}")


def _fingerprint(splits: Splits) -> str:
    digest = hashlib.sha256(f"rule {RULE_VERSION}\n".encode())
    for split in SPLITS:
        for document in splits[split]:
            text = document.text.encode()
            digest.update(
                f"{split}\n{document.name}\n{document.slice}\n{len(text)}\n".encode("utf-8", "replace") + text
            )
    return digest.hexdigest()[:16]
