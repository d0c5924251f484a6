"""The selection on the chart or in its table, stored in the URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import view

MOST_SELECTED = 12


def selection(chart_key: str, table_key: str, keys: Sequence[str]) -> list[str]:
    """The keys of the selected points: as the chart or the table has just changed them, else as the URL says.

    ``keys`` are those of the table's rows. Call it before both are drawn.
    """
    seen: dict[str, list[str]] = st.session_state.setdefault(f"{chart_key}-seen", {})
    chosen = view.SELECTION.all()
    for source, now in ((chart_key, _of_chart(chart_key)), (table_key, _of_table(table_key, keys))):
        if now is not None and now != seen.get(source, []):
            seen[source] = now
            chosen = now
    chosen = list(dict.fromkeys(chosen))[:MOST_SELECTED]
    view.SELECTION.set(chosen)
    return chosen


def _of_chart(key: str) -> list[str] | None:
    state: Any = st.session_state.get(key)
    found = None if state is None else state.get("selected")
    return None if found is None else [str(each) for each in found]


def _of_table(key: str, keys: Sequence[str]) -> list[str] | None:
    state: Any = st.session_state.get(key)
    if state is None:
        return None
    rows = state.get("selection", {}).get("rows", [])
    return [keys[row] for row in rows if row < len(keys)]
