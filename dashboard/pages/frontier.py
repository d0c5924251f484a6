"""Frontier: the best quality for the money in one study."""

from __future__ import annotations

import streamlit as st

from dashboard import studies
from dashboard.parts.chart import chart
from dashboard.text import literal
from tracker.report.frontier_chart import frontier_caption, frontier_figure
from tracker.report.tables import confirmed_frontier_table, searched_settings, spread_settings


def show(study: str) -> None:
    """The page of a study."""
    table = studies.study_table(study)
    twin = spread_settings(confirmed_frontier_table(table), searched_settings(table))
    selected = chart(
        frontier_figure(table),
        "frontier",
        alt="Quality against price",
        twin=twin,
        file_name=f"{study}-frontier",
        select=True,
    )
    st.caption(literal(frontier_caption(table)))
    st.text(str(selected))
