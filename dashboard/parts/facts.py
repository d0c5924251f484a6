"""A small table of texts that is read, not worked with: its cells wrap, and show what they hold literally."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.text import literal


def facts(rows: pd.DataFrame, *, header: bool = True) -> None:
    """Draw ``rows``, all of whose cells are texts; without ``header`` its columns have no names."""
    shown = rows.rename(columns=lambda name: literal(str(name))).map(lambda cell: literal(str(cell)))
    st.table(shown, border="horizontal", hide_index=True, hide_header=not header)
