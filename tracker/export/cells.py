"""Texts that a spreadsheet would take for a formula, made harmless in csv and xlsx, and brought back as they were.

The rule is OWASP's (CSV Injection, owasp.org/www-community/attacks/CSV_Injection): a text that begins with one of
these characters gets an apostrophe before it. Numbers are no texts: -0.5 stays -0.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

_FORMULA = "[=+\\-@\t\r\n＝＋－＠]"
_UNSAFE = f"\\A'*{_FORMULA}"
"""With the apostrophes that stand before such a character already: so that none is taken away that was its own."""
_SAFE = f"\\A'+{_FORMULA}"


def harmless(text: str) -> str:
    """The text as a cell of a spreadsheet may have it.

    >>> harmless("=1+1"), harmless("tf-idf"), harmless("'=1+1")
    ("'=1+1", 'tf-idf', "''=1+1")
    """
    return f"'{text}" if re.match(_UNSAFE, text) else text


def original(cell: str) -> str:
    """What ``harmless`` made the text of a cell of.

    >>> original("'=1+1"), original("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if re.match(_SAFE, cell) else cell


def harmless_table(table: pa.Table) -> pa.Table:
    """A table whose texts and column names are ``harmless``; columns of other types are as they were."""
    columns = [_harmless_column(column) for column in table.columns]
    return pa.table(columns, names=[harmless(name) for name in table.column_names])


def original_table(table: pa.Table) -> pa.Table:
    """What ``harmless_table`` made a table of."""
    columns = [_changed(column, _SAFE, _without_first) for column in table.columns]
    return pa.table(columns, names=[original(name) for name in table.column_names])


def _harmless_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return _changed(column, _UNSAFE, _with_apostrophe)


def _with_apostrophe(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    mark, nothing = pa.scalar("'", texts.type), pa.scalar("", texts.type)
    return pc.binary_join_element_wise(mark, texts, nothing)


def _without_first(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_slice_codeunits(texts, 1)


def _changed(
    column: pa.ChunkedArray, pattern: str, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]
) -> pa.ChunkedArray:
    """The column with its texts of a pattern changed; without copying one that has none."""
    if pa.types.is_dictionary(column.type):
        chunks = [
            pa.DictionaryArray.from_arrays(each.indices, _changed(each.dictionary, pattern, change))
            for each in column.chunks
        ]
        return pa.chunked_array(chunks, column.type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    found = pc.match_substring_regex(column, pattern)
    return pc.if_else(found, change(column), column) if pc.any(found).as_py() else column
