"""Writing to a price table: at its end, as a whole or not at all, one process at a time."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tracker.errors import PriceBookError, StoreError
from tracker.pricing.price_point import COLUMNS, PricePoint
from tracker.pricing.price_table import read_price_table


@contextlib.contextmanager
def held(table: Path) -> Iterator[None]:
    """Hold off other updates of the same table meanwhile: of two at once, one would lose its rows.

    Makes the table's folder where there is none. Raises StoreError where that or the lock is impossible.
    """
    with contextlib.ExitStack() as stack:
        try:
            if not table.parent.exists():
                table.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(table.with_name(f".{table.name}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(_cannot_be_written(table, error)) from None
        yield


def append_points(table: Path, existing: tuple[PricePoint, ...], points: tuple[PricePoint, ...]) -> None:
    """Add ``points`` at the end of the table, which holds ``existing`` and is made where there is none.

    The whole is written beside it, read back, and put in its place. Raises StoreError where that is impossible; the
    table is then as it was.
    """
    new = table.with_name(f".{table.name}.new")
    try:
        try:
            before = table.read_bytes() if table.exists() else b""
            with new.open("wb") as file:
                file.write(before + _lines(before, points))
                file.flush()
                os.fsync(file.fileno())
            if before:
                shutil.copymode(table, new)
            _check_readable(new, (*existing, *points))
            new.replace(table)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(_cannot_be_written(table, error)) from None


def _check_readable(new: Path, points: tuple[PricePoint, ...]) -> None:
    try:
        same = read_price_table(new) == points
    except PriceBookError as error:
        raise StoreError(f"nothing was appended, as it could not be read again: {error}") from None
    if not same:
        raise StoreError("nothing was appended, as it would be read as something else than what was fetched")


def _cannot_be_written(table: Path, error: OSError) -> str:
    return f"'{table}' cannot be written: {error.strerror}"


def _lines(before: bytes, points: Iterable[PricePoint]) -> bytes:
    """The rows of ``points`` as they go behind ``before``, by its columns; after a header where it is empty."""
    text = io.StringIO(newline="")
    ending = "\r\n" if before.endswith(b"\r\n") else "\n"
    columns = next(csv.reader(io.StringIO(before.decode(), newline=""))) if before else COLUMNS
    rows = csv.DictWriter(text, columns, lineterminator=ending)
    if not before:
        rows.writeheader()
    elif not before.endswith((b"\n", b"\r")):
        text.write(ending)
    for point in points:
        rows.writerow({column: point.row[column] for column in columns})
    return text.getvalue().encode()
