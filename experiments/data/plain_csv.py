"""The fast way through csv files in which every line is a row, as PyArrow reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import csv

BLOCK_BYTES = 1 << 22
QUOTE, NEWLINE, RETURN = b'"\n\r'


def read_plain(
    path: Path, delimiter: str, width: int, header_lines: int, positions: list[int]
) -> list[list[str]] | None:
    """The columns at ``positions``, of a UTF-8 file with ``width`` columns, or None where it is not that simple.

    None where a row spans several lines, lines have other numbers of fields, quotes stand where they may be meant in
    two ways, or a column that is read holds bytes that are not UTF-8. In all other files this and Python's csv module
    read the same.
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
            # A quote that is not closed on its line then shows in the number of rows.
            csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(chosen, pa.string()), include_columns=chosen),
        ) as batches:
            for batch in batches:
                for texts, column in zip(columns, batch.columns, strict=True):
                    texts += column.to_pylist()
    except pa.ArrowInvalid:
        return None
    return columns if len(columns[0]) == lines else None


def _lines(path: Path, delimiter: str, header_lines: int) -> int | None:
    """The lines after the header that are not blank; None where a quote or a line end is no plain one.

    Quotes side by side are plain between a text and a text where they are an even number (each two stand for one), and
    between the edge of a field and a text where they are an odd one (the first of them opens the field).
    """
    edge = np.zeros(256, dtype=np.bool_)
    edge[[ord(delimiter), NEWLINE, RETURN]] = True
    found = 0
    with path.open("rb") as file:
        for _ in range(header_lines):
            file.readline()
        while block := file.read(BLOCK_BYTES):
            block += file.readline()
            if block.count(b"\r") != block.count(b"\r\n"):
                return None
            signs = np.frombuffer(b"\n" + block + b"\n", dtype=np.uint8)
            ends = np.flatnonzero(signs == NEWLINE)
            lengths = np.diff(ends) - 1
            blank = (lengths == 0) | ((lengths == 1) & (signs[ends[1:] - 1] == RETURN))
            found += int(len(lengths) - blank.sum())
            quotes = np.flatnonzero(signs == QUOTE)
            if len(quotes):
                apart = np.diff(quotes) != 1
                first, last = quotes[np.append(True, apart)], quotes[np.append(apart, True)]
                text_before, text_after = ~edge[signs[first - 1]], ~edge[signs[last + 1]]
                odd = (last - first) % 2 == 0
                if (text_after & (text_before == odd)).any():
                    return None
    return found
