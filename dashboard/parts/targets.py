"""A target and a budget to drag, each answered in a sentence with the command that trains the run again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import view
from dashboard.text import literal
from tracker.report.advice import Advice, advise
from tracker.report.advice_words import advice_sentences, grounds
from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints
from tracker.report.targets import budget_stops, target_stops
from tracker.report.wish import Wish


def target_of(found: AxisPoints) -> float | None:
    """The target of the view, of y; in the middle of the frontier where none is chosen, None where there is none."""
    return _chosen(view.TARGET, target_stops(found))


def budget_of(found: AxisPoints) -> float | None:
    """The budget of the view, in the unit of x that the tables have; None where there is no frontier."""
    value = _chosen(view.BUDGET, budget_stops(found))
    return value if value is None or value > 0 else None


def target_controls(found: AxisPoints) -> None:
    """Both questions side by side, with what answers them."""
    target, budget = target_of(found), budget_of(found)
    if target is None or budget is None:
        return
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        stops = sorted({*target_stops(found), target}, reverse=found.sign < 0)
        _slider(view.TARGET, f"At least this {found.metric}" if found.sign > 0 else f"At most this {found.metric}",
                stops, target, y_words, 1.0)  # fmt: skip
        _answer(advise(found, Wish(quality=target)), "target")
    with right.container(border=True, height="stretch"):
        stops = sorted({*budget_stops(found), budget})
        measure = found.x_measure
        _slider(
            view.BUDGET, f"At most this {measure.name}", stops, budget, measure.words, measure.divisor, measure.symbol
        )
        _answer(advise(found, Wish(cost=budget)), "budget")
    _more_money(found)


def _slider(
    value: view.Value,
    label: str,
    stops: Sequence[float],
    now: float,
    words: Callable[[float], str],
    divisor: float,
    symbol: str = "",
) -> None:
    """A slider over ``stops`` and a field for any other figure; what is chosen goes into the URL."""
    slider, field = f"{value.key}-slider", f"{value.key}-field"
    for key, shown in ((slider, now), (field, float(f"{now / divisor:.6g}"))):
        if st.session_state.get(key) != shown:  # setting it again would end a drag in progress
            st.session_state[key] = shown
    wide, narrow = st.columns([3, 1], vertical_alignment="bottom")
    with wide:
        st.select_slider(
            literal(label),
            stops if len(stops) > 1 else [now, now],
            key=slider,
            format_func=words,
            on_change=lambda: value.set(repr(float(st.session_state[slider]))),
        )
    with narrow:
        st.number_input(
            literal(f"exactly{f', {symbol.strip()}' if symbol else ''}"),
            key=field,
            format="%.6g",
            step=None,
            on_change=lambda: value.set(repr(float(st.session_state[field]) * divisor)),
        )


def _more_money(found: AxisPoints) -> None:
    """What each step up costs, where it stops paying, and what the search expects of more money."""
    with st.expander("What one more point costs, and what more money would bring", icon=":material/trending_up:"):
        st.markdown("\n".join(f"- {literal(sentence)}" for sentence in advice_sentences(advise(found, Wish()))))


def _answer(advice: Advice, key: str) -> None:
    answer = advice.answer
    if answer is None:
        return
    st.markdown(f"**{literal(answer.question)}**")
    st.markdown(literal(answer.sentence))
    for more in grounds(advice):
        st.caption(literal(more))
    if answer.run < 0:
        return
    with st.container(horizontal=True):
        if st.button("Show its details", key=f"{key}-select", icon=":material/search:"):
            view.SELECTION.set([answer.key])
            st.rerun()
    command = advice.train_again
    with st.expander("Train it again", icon=":material/terminal:"):
        if command.text:
            st.code(command.text, language="bash", wrap_lines=True)
        if command.remark:
            st.caption(literal(command.remark))


def _chosen(value: view.Value, stops: Sequence[float]) -> float | None:
    if not stops:
        return None
    try:
        given = float(value.get())
    except ValueError:
        given = math.nan
    return given if math.isfinite(given) else stops[len(stops) // 2]
