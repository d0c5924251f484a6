"""A draft study as a form and as text: both edit the same text, which is authoritative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.parts.draft import Draft, draft, put
from dashboard.text import literal
from tracker.errors import RequestError
from tracker.report.study_form import (
    HOW_TO_SEARCH,
    Field,
    budget_fields,
    head_fields,
    knob_fields,
    moved,
    other_knobs,
    with_field,
)
from tracker.study.document import StudyDocument
from tracker.study.knobs import Knob
from tracker.study.spec import STRATEGIES
from tracker.study.toml_text import edited

_TEXT = "launch-text"
_COLUMNS = 4
_STRATEGIES = {
    "frontier": "each dollar where it moves the frontier most: trials are paused and resumed",
    "optuna": "full runs of settings that Optuna's sampler suggests",
    "grid": "a full run of every combination",
}


def form(chosen: Draft, document: StudyDocument | None, knobs: Mapping[str, Knob]) -> None:
    """The draft to be changed; ``document`` is None where its text is not TOML, and then there is the text alone."""
    fields, text = st.tabs(["Form", "Text"], default="Form" if document else "Text", key="launch-tabs")
    with fields:
        if document is None:
            st.info("The text is not TOML, so there is no form; fix the text first.")
        else:
            _fields(chosen, document, knobs)
    with text:
        st.session_state[_TEXT] = chosen.text
        st.text_area("The study file", key=_TEXT, height=420, on_change=_take_text, help="Ctrl-Enter applies it")


def _take_text() -> None:
    if (known := draft()) is not None:
        put(replace(known, text=st.session_state[_TEXT], errors=()))


def _fields(chosen: Draft, document: StudyDocument, knobs: Mapping[str, Knob]) -> None:
    content = document.content
    (name, seed), columns = head_fields(content), st.columns([2, 1, 4])
    _field(chosen, name, columns[0])
    _field(chosen, seed, columns[1])
    with columns[2]:
        _strategy(str(content.get("strategy", STRATEGIES[0])))
    st.markdown("## Budget")
    _grid(chosen, budget_fields(content))
    for table, title, verb in (("space", "Searched", "Search another knob"), ("settings", "Fixed", "Fix another knob")):
        st.markdown(f"## {title}")
        if table == "space":
            st.caption(literal(f"Enter {HOW_TO_SEARCH}. An empty field removes the knob from the file."))
        _grid(chosen, knob_fields(content, knobs, table))
        _another(other_knobs(content, knobs, table), knobs, table, verb)
    for _, given, problem in chosen.errors:
        st.error(literal(f"'{given}': {problem}"), icon=":material/error:")


def _grid(chosen: Draft, fields: Sequence[Field]) -> None:
    for begin in range(0, len(fields), _COLUMNS):
        for column, field in zip(st.columns(_COLUMNS), fields[begin : begin + _COLUMNS], strict=False):
            _field(chosen, field, column)


def _field(chosen: Draft, field: Field, column: DeltaGenerator) -> None:
    key = f"launch-field-{field.place}"
    refused = {place: given for place, given, _ in chosen.errors}
    st.session_state[key] = refused.get(field.place, field.text)
    column.text_input(literal(field.label), key=key, help=literal(field.help), on_change=_take, args=(field, key))


def _take(field: Field, key: str) -> None:
    """Put a field's input into the text, or keep it with its problem."""
    given = str(st.session_state[key])
    _change(lambda text: with_field(text, field, given), field.place, given)


def _change(change: Callable[[str], str], place: str = "", given: str = "") -> None:
    if (known := draft()) is None:
        return
    errors = tuple(error for error in known.errors if error[0] != place)
    try:
        put(replace(known, text=change(known.text), errors=errors))
    except RequestError as error:
        put(replace(known, errors=(*errors, (place, given, str(error)))))


def _strategy(now: str) -> None:
    key = "launch-strategy"
    options = [*STRATEGIES, *([] if now in STRATEGIES else [now])]
    st.session_state[key] = now
    st.selectbox(
        "Strategy",
        options,
        key=key,
        format_func=lambda name: f"{name}: {_STRATEGIES.get(name, 'unknown')}",
        on_change=lambda: _change(lambda text: edited(text, ("strategy",), st.session_state[key])),
    )


def _another(names: Sequence[str], knobs: Mapping[str, Knob], table: str, verb: str) -> None:
    if not names:
        return
    key = f"launch-another-{table}"

    def take() -> None:
        name = st.session_state.pop(key)
        if name is not None:
            _change(lambda text: moved(text, name, knobs[name], table))

    st.selectbox(
        verb, names, index=None, key=key, placeholder=verb, label_visibility="collapsed", on_change=take, width=320
    )
