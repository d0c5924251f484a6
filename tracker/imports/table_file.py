"""Tables that others wrote, csv or parquet, read as Arrow columns; and their columns as numbers and as times."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tracker.errors import RequestError, did_you_mean

ENDINGS = (".csv", ".tsv", ".csv.gz", ".parquet")
_DELIMITERS = (",", ";", "\t")
_LONGEST_BLOCK = 2**31 - 1
_EARLIEST_SECONDS = 1e8  # March 1973: anything below is no time since 1970
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (np.inf, 1e9))
"""Timestamps below the first are in units of which the second are a second: s, ms, µs, ns."""

Floats = NDArray[np.float64]


def is_table_file(path: Path) -> bool:
    """Whether a file's name says that it is one."""
    return path.name.lower().endswith(ENDINGS)


def read_table_file(path: Path) -> pa.Table:
    """The table in a file, by its columns' names. Raises RequestError for what is none, and while it is written to."""
    if not path.exists():
        raise RequestError(f"there is no file '{path}'")
    if path.is_dir() or not is_table_file(path):
        raise RequestError(f"'{path}' is no table; allowed: a file that ends with {', '.join(ENDINGS)}")
    try:
        with unchanged(path):
            table = pyarrow.parquet.read_table(path) if path.name.lower().endswith(".parquet") else _csv(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise RequestError(f"'{path}' cannot be read: {(str(error).splitlines() or ['?'])[0][:300]}") from None
    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"'{path}' has two columns '{twice}': which one counts cannot be known")
    if not len(table):
        raise RequestError(f"'{path}' has no rows")
    return table


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raises RequestError where a file changed meanwhile."""
    before = path.stat()
    yield
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RequestError(f"'{path}' is being written to: import it when that has ended")


def _csv(path: Path) -> pa.Table:
    """A csv as one block: a column that has its first value, or its first fraction, late is of the right type."""
    with pa.input_stream(os.fspath(path)) as file:  # which unpacks .gz
        content = file.read()
    header = content[:100_000].decode("utf-8", errors="replace").partition("\n")[0]
    if "\0" in header:
        raise RequestError(f"'{path}' is no csv: it holds bytes that are no text")
    return pyarrow.csv.read_csv(
        io.BytesIO(content),
        read_options=pyarrow.csv.ReadOptions(block_size=min(len(content) + 1, _LONGEST_BLOCK)),
        parse_options=pyarrow.csv.ParseOptions(delimiter=max(_DELIMITERS, key=header.count), newlines_in_values=True),
    )


def column(path: Path, table: pa.Table, name: str, option: str) -> pa.ChunkedArray:
    """The column that an option names. Raises RequestError, which names the nearest."""
    if name not in table.column_names:
        raise RequestError(f"'{path}' has no column '{name}' ({option}); {did_you_mean(name, table.column_names)}")
    return table[name]


def texts(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as texts, what is empty as null; None for a kind that has no text, such as a list."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return None
    as_text = values.cast(pa.string())
    return pc.if_else(pc.equal(as_text, ""), pa.scalar(None, pa.string()), as_text)


def numbers(values: pa.ChunkedArray) -> Floats | None:
    """A column as numbers, NaN where there is none or it is not finite; None for a column of something else."""
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    found = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def needed_numbers(path: Path, name: str, values: pa.ChunkedArray, option: str) -> Floats:
    """As numbers. Raises RequestError with the first row that holds something else."""
    found = numbers(values)
    if found is None:
        as_text = texts(values)
        held = pd.Series([] if as_text is None else as_text.to_pylist(), dtype=object)
        wrong = np.flatnonzero(pd.to_numeric(held, errors="coerce").isna() & held.notna())
        shown = f": row {wrong[0] + 1} has '{held[wrong[0]]}'" if len(wrong) else f", it is {values.type}"
        raise RequestError(f"'{path}': column '{name}' ({option}) is not of numbers{shown}")
    return found


def times(path: Path, name: str, values: pa.ChunkedArray) -> Floats:
    """A column of timestamps as seconds since 1970, NaN where there is none.

    They are ISO 8601 (without a zone: UTC), or s, ms, µs or ns since 1970. Raises RequestError with the first row that
    holds something else.
    """
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        moments = values.cast(pa.timestamp("us", tz=getattr(values.type, "tz", None)), safe=False).cast(pa.int64())
        return np.asarray(moments.cast(pa.float64()).to_numpy(), dtype=np.float64) / 1e6
    found = numbers(values)
    if found is None:
        return _parsed(path, name, values)
    if np.isnan(found).all():
        return found
    largest, least = np.nanmax(found), np.nanmin(found)
    per_second = next(each for limit, each in _UNITS if largest < limit)
    if least / per_second < _EARLIEST_SECONDS:
        row = int(np.nanargmin(found))
        raise RequestError(
            f"'{path}': column '{name}' has no timestamps: row {row + 1} has {least:g}; "
            "if they are seconds since the run's start, give --seconds"
        )
    return found / per_second


def _parsed(path: Path, name: str, values: pa.ChunkedArray) -> Floats:
    as_text = texts(values)
    held = pd.Series([None] * len(values) if as_text is None else as_text.to_pylist(), dtype=object)
    moments = pd.to_datetime(held, format="ISO8601", utc=True, errors="coerce")
    wrong = np.flatnonzero(moments.isna() & held.notna())
    if len(wrong) or as_text is None:
        shown = f": row {wrong[0] + 1} has '{held[wrong[0]]}'" if len(wrong) else ""
        raise RequestError(
            f"'{path}': column '{name}' has no timestamps{shown}; "
            "allowed: ISO 8601 such as 2026-05-01T12:00:00Z, or seconds or milliseconds since 1970"
        )
    seconds = moments.dt.as_unit("us").astype("int64").to_numpy(dtype=np.float64) / 1e6
    return np.where(moments.isna(), np.nan, seconds)
