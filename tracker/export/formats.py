"""Which formats a study's report comes in, and how its files come to be on a disk."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tracker.errors import RequestError, did_you_mean
from tracker.pricing.currency import USD
from tracker.store.home import Home, folder_name
from tracker.store.run_table import StudyTable


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of a report: its name, what it is in a line, and what writes it."""

    name: str
    help: str
    write: Callable[[StudyTable, IO[bytes]], None]

    def content(self, table: StudyTable) -> bytes:
        """What the file of a study has in it."""
        written = io.BytesIO()
        self.write(table, written)
        return written.getvalue()


@dataclass(frozen=True, slots=True)
class Format:
    """A format: what it is in a line, and the name in a module of this package that has its files."""

    help: str
    module: str
    attribute: str = "FILES"

    @property
    def files(self) -> Sequence[ReportFile]:
        """Its files; what they need is imported only now."""
        found: Sequence[ReportFile] = getattr(importlib.import_module(f"tracker.export.{self.module}"), self.attribute)
        return found


FORMATS: dict[str, Format] = {
    "html": Format("one page to read, to mail and to print", "page"),
    "csv": Format("tables for any tool; tracker import export reads them back", "tables", "CSV_FILES"),
    "parquet": Format("the same tables with types, for pandas, polars and DuckDB", "tables", "PARQUET_FILES"),
    "focus": Format("charges for FinOps tools, in FOCUS 1.4", "focus"),
    "focus-1.4": Format("charges in FOCUS 1.4, whatever is the latest", "focus", "FILES_1_4"),
    "focus-1.2": Format("charges in FOCUS 1.2", "focus", "FILES_1_2"),
    "xlsx": Format("a workbook: a sheet for each table, with charts", "workbook"),
    "md": Format("a page for a pull request or a wiki, in GitHub's Markdown", "markdown"),
    "json": Format("the answers and what they rest on, as one document with its JSON Schema", "report_document"),
    "png": Format("the charts as pictures, to paste anywhere", "pictures", "PNG_FILES"),
    "svg": Format("the charts as pictures that stay sharp at any size", "pictures", "SVG_FILES"),
}
"""Every format by its name."""
DEFAULT = ("html", "csv")


def parse_formats(text: str, known: Collection[str] = FORMATS.keys()) -> tuple[str, ...]:
    """Formats from a list with commas, each once. Raises RequestError for one that is not ``known``.

    >>> parse_formats("csv, html,csv")
    ('csv', 'html')
    """
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    for name in names:
        if name not in known:
            raise RequestError(f"unknown report format '{name}'; {did_you_mean(name, known)}")
    if not names:
        raise RequestError(f"no report format was given; there are {', '.join(known)}")
    return names


def report_files(formats: Iterable[str]) -> list[ReportFile]:
    """The files of formats, each once. Raises RequestError for a format that there is not."""
    files = {file.name: file for name in parse_formats(",".join(formats)) for file in FORMATS[name].files}
    return list(files.values())


def report_folder(home: Home, table: StudyTable) -> Path:
    """Where a study's report goes: reports/<study>, and for other prices than the billed ones a folder below it."""
    folder = home.reports / folder_name(table.study)
    if table.scenario is not None:
        folder /= folder_name(table.scenario.label)
    return folder if table.currency.code == USD.code else folder / table.currency.code


def write_report(table: StudyTable, out: Path, formats: Iterable[str] = DEFAULT, *, force: bool = False) -> list[Path]:
    """Write a study's report into the folder ``out`` and return the files' paths.

    ``out`` is made if need be. All files are written whole and then moved into place: a reader never sees half of
    one, and where one cannot be made none is touched. Raises RequestError for an unknown format, and for a file that
    is there already unless ``force``, and where ``out`` is no folder that can be written; OSError for a full disk.
    """
    return write_files(((file.name, _writer(file, table)) for file in report_files(formats)), out, force=force)


def _writer(file: ReportFile, table: StudyTable) -> Callable[[IO[bytes]], None]:
    return lambda target: file.write(table, target)


def write_files(
    files: Iterable[tuple[str, Callable[[IO[bytes]], None]]], out: Path, *, force: bool = False
) -> list[Path]:
    """Write files by their names and what writes each, all of them or none; see ``write_report``."""
    writers = {out / name: write for name, write in files}
    if not force:
        _refuse_existing(writers)
    _make(out)
    made: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            with tempfile.NamedTemporaryFile(dir=out, prefix=f".{path.name}.", delete=False) as file:
                made[path] = Path(file.name)
                write(file)
            made[path].chmod(0o644)
        for path, partial in made.items():
            partial.replace(path)
    finally:
        for partial in made.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    return list(writers)


def _make(out: Path) -> None:
    """A folder to write into. Raises RequestError where it cannot be one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RequestError(f"'{out}' cannot be written: it is a file, not a folder") from None
    except OSError as error:
        raise RequestError(f"'{out}' cannot be written: {error.strerror}") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise RequestError(f"'{out}' cannot be written: it is read-only for this user")


def _refuse_existing(paths: Iterable[Path]) -> None:
    there = [path for path in paths if path.exists()]
    if there:
        what = f"'{there[0]}' is" if len(there) == 1 else f"'{there[0]}' and {len(there) - 1} more are"
        raise RequestError(f"{what} there already; --force replaces {'it' if len(there) == 1 else 'them'}")


def as_text(text: str) -> bytes:
    """A text as a file has it: UTF-8; half of a surrogate pair, which that has no bytes for, as an escape."""
    return text.encode("utf-8", "backslashreplace")
