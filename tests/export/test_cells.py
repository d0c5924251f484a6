"""Texts that a spreadsheet would run: harmless in a file, and as they were when it is read back."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.export.cells import harmless, harmless_table, original, original_table

TEXTS = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''", "plain", "", "🦊"]
texts = st.text(alphabet="'=+-@\t\r\nax＝", max_size=6)


@pytest.mark.parametrize("text", TEXTS[:8])
def test_what_would_be_a_formula_gets_an_apostrophe(text):
    assert harmless(text) == f"'{text}"


@given(texts)
def test_every_text_comes_back_and_none_begins_as_a_formula(text):
    assert original(harmless(text)) == text
    assert not harmless(text).startswith(tuple("=+-@\t\r\n＝＋－＠"))


@given(st.lists(st.none() | texts, max_size=5))
def test_a_table_is_its_cells(values):
    column = pa.array(values, pa.string())
    table = pa.table({"text": column, "coded": column.dictionary_encode(), "=x": pa.nulls(len(values), pa.int64())})
    safe = harmless_table(table)
    expected = [None if value is None else harmless(value) for value in values]
    assert safe.column("text").to_pylist() == safe.column("coded").to_pylist() == expected
    assert safe.column_names[2] == "'=x"
    assert original_table(safe).to_pydict() == table.to_pydict()


def test_numbers_stay_numbers():
    table = pa.table({"usd_difference": [-0.5], "pairs": [-1], "busy": [True]})
    assert harmless_table(table).equals(table)
