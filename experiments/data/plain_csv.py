"""The fast way through csv files in which every line is a row, as PyArrow reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import csv

BLOCK_BYTES = 1 << 20
QUOTE, NEWLINE, RETURN = b'"\n\r'


def read_plain(
    path: Path, delimiter: str, width: int, header_lines: int, positions: list[int]
) -> list[list[str]] | None:
    """The columns at ``positions``, of a UTF-8 file with ``width`` columns, or None where it is not that simple.

    None where a row spans several lines, a line has another number of fields, a quote stands in an unquoted value or
    beside it, or a column that is read holds bytes that are not UTF-8. Other files read the same here as by Python's
    csv module.
    """
    lines = _lines(path, delimiter, header_lines)
    if lines is None:
        return None
    names = [str(position) for position in range(width)]
    chosen = [names[position] for position in positions]
    columns: list[list[str]] = [[] for _ in chosen]
    try:
        with csv.open_csv(
            path,
            csv.ReadOptions(column_names=names, skip_rows=header_lines, block_size=BLOCK_BYTES),
            csv.ParseOptions(delimiter=delimiter),
            csv.ConvertOptions(column_types=dict.fromkeys(chosen, pa.string()), include_columns=chosen),
        ) as batches:
            for batch in batches:
                for texts, column in zip(columns, batch.columns, strict=True):
                    texts += column.to_pylist()
    except pa.ArrowInvalid:
        return None
    return columns if len(columns[0]) == lines else None


def _lines(path: Path, delimiter: str, header_lines: int) -> int | None:
    """The lines after the header that are not blank; None where a line is not a row by itself, beyond doubt."""
    edge = np.zeros(256, dtype=np.bool_)
    edge[[ord(delimiter), NEWLINE, RETURN]] = True
    found = 0
    with path.open("rb") as file:
        for _ in range(header_lines):
            file.readline()
        while block := file.read(BLOCK_BYTES):
            signs = np.frombuffer(b"\n%b%b\n" % (block, file.readline()), dtype=np.uint8)
            ends, returns = np.flatnonzero(signs == NEWLINE), np.flatnonzero(signs == RETURN)
            if (signs[returns + 1] != NEWLINE).any() or not _quotes_are_plain(signs, ends, edge):
                return None
            lengths = np.diff(ends) - 1
            blank = (lengths == 0) | ((lengths == 1) & (signs[ends[1:] - 1] == RETURN))
            found += int(len(lengths) - blank.sum())
    return found


def _quotes_are_plain(signs: np.ndarray, ends: np.ndarray, edge: np.ndarray) -> bool:
    """Whether quotes open at the edge of a field, close at one on the same line, and are doubled in between.

    ``signs`` are whole lines, which end at ``ends``; ``edge`` says which of the 256 bytes are the edge of a field.
    """
    quotes = np.flatnonzero(signs == QUOTE)
    if not len(quotes):
        return True
    apart = np.diff(quotes) != 1
    begins, stops = np.flatnonzero(np.append(True, apart)), np.flatnonzero(np.append(apart, True))
    inside, single = begins % 2 == 1, (stops - begins) % 2 == 0  # of each stretch of quotes side by side
    text_before, text_after = ~edge[signs[quotes[begins] - 1]], ~edge[signs[quotes[stops] + 1]]
    doubtful = np.where(inside, single & text_after, text_before | (~single & text_after))
    open_at_end = np.searchsorted(quotes, ends) % 2 == 1
    return not (doubtful.any() or open_at_end.any())
