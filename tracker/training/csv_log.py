"""A csv log of a training, read as it grows: appended to as Keras's CSVLogger does, or written again as Lightning's is.

Lightning's writes the whole file again where a column is new, and its rows are sparse: a cell is empty where a row has
nothing to say of a column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from tracker.errors import StoreError

NAME_ENDING = ".csv"
_SEPARATORS = ",;\t"
_COMPARED_BYTES = 512


class CsvLog:
    """A csv log that may still grow: each call gives the rows that came since the last one.

    ``columns`` are the names in its first line, none before there is one.
    """

    def __init__(self, path: Path, *, skip_rows: bool = False) -> None:
        self.path = path
        self.columns: tuple[str, ...] = ()
        self._separator = ","
        self._changed: tuple[int, int] | None = None
        self._read = 0
        self._end = b""  # what the rows that were read end with
        if skip_rows:  # those that are there already: of another training
            self.new()

    def new(self, *, last: bool = False) -> list[Mapping[str, str]]:
        """The new rows, each with its columns that are not empty; all rows again where the file was written again.

        A line that no newline ends waits for the next call, or with ``last`` is taken for whole. Raises StoreError for
        what is no csv table with a line of names, and what cannot be read.
        """
        try:
            status = self.path.stat()
            changed = status.st_size, status.st_mtime_ns
            if changed == self._changed and not last:
                return []
            text = self._text(status.st_size)
        except OSError as error:
            raise StoreError(f"'{self.path}' cannot be read: {error.strerror}") from None
        self._changed = changed
        whole = text if last else text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self._end = (self._end + whole)[-_COMPARED_BYTES:]
        return self._rows(whole)

    def _text(self, size: int) -> bytes:
        """What follows on what was read; everything where the file is another one now."""
        with self.path.open("rb") as file:
            file.seek(self._read - len(self._end))
            # A file that changed without growing was written again, with the same text.
            grown = size > self._read or self._changed in (None, (size, self.path.stat().st_mtime_ns))
            if grown and file.read(len(self._end)) == self._end:
                return file.read()
            file.seek(0)
            self._read, self._end, self.columns = 0, b"", ()
            return file.read()

    def _rows(self, text: bytes) -> list[Mapping[str, str]]:
        if b"\0" in text:
            raise StoreError(f"'{self.path}' is no csv log: it has zero bytes")
        lines = text.decode("utf-8-sig", errors="replace")
        if not self.columns and lines.strip():
            self._separator = max(_SEPARATORS, key=lines.lstrip().splitlines()[0].count)
        rows = [row for row in csv.reader(io.StringIO(lines), delimiter=self._separator) if any(map(str.strip, row))]
        if not self.columns and rows:
            self.columns = tuple(name.strip() for name in rows.pop(0))
        return [
            {name: cell.strip() for name, cell in zip(self.columns, row, strict=False) if cell.strip()} for row in rows
        ]


def csv_logs(folder: Path) -> list[Path]:
    """The csv files in a folder and those below it, by their paths; a path that is a file is the only one."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob(f"*{NAME_ENDING}") if path.is_file())
