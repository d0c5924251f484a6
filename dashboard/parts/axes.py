"""The choice of what is on x and y, which lives in the URL."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import view
from dashboard.text import literal
from tracker.report.axes import PREDICTED, Axes, x_choices, y_choices
from tracker.store.run_table import StudyTable

_MOST_PREDICTIONS = 1e15


def axes_controls(table: StudyTable) -> tuple[Axes, bool]:
    """Draw the controls; the axes that are chosen, and whether runs are drawn as curves."""
    costs, metrics = x_choices(table), y_choices(table)
    left, right, middle, more = st.columns([4, 4, 3, 2], vertical_alignment="bottom")
    with left:
        x = view.X.widget(
            st.selectbox, "Cost (x)", options=list(costs), format_func=costs.__getitem__, on_change=_forget_budget
        )
    with right:
        y = view.Y.widget(
            st.selectbox,
            "Quality (y)",
            options=metrics,
            write=lambda name: "" if name == table.quality.name else str(name),
            on_change=_forget_target,
        )
    with middle:
        curves = view.CURVES.widget(st.toggle, "Runs as curves", read=_is("1"), write=_one_of("1", ""))
    with more, st.popover("Axes", icon=":material/tune:", width="stretch"):
        x_log = view.X_SCALE.widget(st.toggle, "x logarithmic", read=_is("log"), write=_one_of("log", "linear"))
        y_log = view.Y_SCALE.widget(st.toggle, "y logarithmic", read=_is("log"), write=_one_of("log", "linear"))
        turned = view.TURNED.widget(
            st.toggle,
            "Turn round which way y is better",
            read=_is("1"),
            write=_one_of("1", ""),
            on_change=_forget_target,
            help=literal("Less of what is called a loss, an error, a time or a size is better, more of anything else."),
        )
    predictions = Axes().predictions
    if x in PREDICTED:
        predictions = view.PREDICTIONS.widget(
            st.number_input,
            "How many predictions",
            read=_predictions,
            write=lambda value: f"{value:.0f}",
            min_value=1.0,
            max_value=_MOST_PREDICTIONS,
            format="%.0f",
            step=100_000.0,
        )
    own = str(y or table.quality.name) == table.quality.name
    axes = Axes(str(x), "" if own else str(y), bool(x_log), bool(y_log), bool(turned), float(predictions))
    return axes, bool(curves)


def _predictions(text: str) -> float:
    value = float(text)
    if not 1 <= value <= _MOST_PREDICTIONS:
        raise ValueError(text)
    return value


def _is(word: str) -> Callable[[str], bool]:
    return lambda text: text == word


def _one_of(yes: str, no: str) -> Callable[[bool], str]:
    return lambda value: yes if value else no


def _forget_target() -> None:
    view.TARGET.set("")


def _forget_budget() -> None:
    view.BUDGET.set("")
