"""A small read-only table of texts: its cells wrap and show their content literally."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.text import literal

LONG_WORD = 24


def facts(rows: pd.DataFrame, *, header: bool = True) -> None:
    """Draw ``rows``, all of whose cells are texts; without ``header`` its columns have no names."""
    shown = rows.rename(columns=lambda name: literal(str(name))).map(lambda cell: _breakable(literal(str(cell))))
    st.table(shown, border="horizontal", hide_index=True, hide_header=not header)


def _breakable(text: str) -> str:
    """``text`` with places where a long word, such as a path or a web address, may break."""
    return " ".join(word.replace("/", "/\u200b") if len(word) > LONG_WORD else word for word in text.split(" "))
