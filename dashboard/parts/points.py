"""What pages work out of a study's table, kept for as long as the table is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from tracker.report.axes import Axes
from tracker.report.axis_points import AxisPoints, axis_points
from tracker.report.frontier_twin import FrontierTwin, frontier_twin
from tracker.report.headlines import Headline, headlines
from tracker.store.run_table import StudyTable

# A table is known by its identity: what is kept holds the table too, so that no other can come to have the same.
_BY_IDENTITY: dict[str | type[Any], Callable[[Any], Any]] = {StudyTable: id, AxisPoints: id}


def points_on(table: StudyTable, axes: Axes) -> AxisPoints:
    """The checkpoints of a study on axes. Raises RequestError for axes that it has nothing of."""
    return _points_on(table, axes)


def answers(table: StudyTable) -> list[Headline]:
    """The study's answers in words."""
    return _answers(table)[1]


def twin_of(found: AxisPoints) -> FrontierTwin:
    """The frontier as a table."""
    return _twin_of(found)[1]


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=_BY_IDENTITY)
def _points_on(table: StudyTable, axes: Axes) -> AxisPoints:
    return axis_points(table, axes)


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=_BY_IDENTITY)
def _answers(table: StudyTable) -> tuple[StudyTable, list[Headline]]:
    return table, headlines(table)


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=_BY_IDENTITY)
def _twin_of(found: AxisPoints) -> tuple[AxisPoints, FrontierTwin]:
    return found, frontier_twin(found)
