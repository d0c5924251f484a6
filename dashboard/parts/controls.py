"""Buttons that start and stop a study; each asks for confirmation and runs the same code as the command."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import studies
from dashboard.text import literal
from tracker.errors import TrackerError
from tracker.report.status import INTERRUPTED
from tracker.report.words import money
from tracker.runner.detached import Started, start_resume, stop_study
from tracker.runner.study_lookup import folder_of
from tracker.store.run_table import StudyTable

RUNNING = "running"
_SAID = "said"


def controls(table: StudyTable, state: str) -> None:
    """The buttons for a study's state, and the result of the last one."""
    try:
        budget = folder_of(studies.home(), table.study).document().content.get("budget", {})
    except TrackerError as error:
        st.caption(literal(f"It cannot be stopped or resumed from here. {error}"))
        return
    with st.container(horizontal=True):
        if state == RUNNING:
            _stop(table.study)
        elif state != "completed":  # it would end again at once
            _resume(table.study, state)
        _raise_budget(table, budget if isinstance(budget, dict) else {}, running=state == RUNNING)
    if said := st.session_state.pop(_SAID, None):
        kind, sentence = said
        (st.error if kind == "error" else st.success)(literal(sentence))


def _stop(name: str) -> None:
    with st.popover("Stop", icon=":material/stop_circle:", key="stop"):
        st.markdown("Its trials are paused where possible, else stopped. Their spend stays counted.")
        if st.button("Stop the study", type="primary", key="stop-now"):
            _act(lambda: _stopped(name), "Stopping the study")


def _stopped(name: str) -> str:
    asked = stop_study(name, home=studies.home().path)
    return "It was asked to stop; this page shows when it has." if asked else "It is not running."


def _resume(name: str, state: str) -> None:
    with st.popover("Resume", icon=":material/play_circle:", key="resume"):
        gone = "Its coordinator is gone: attempts that it left are closed as killed. " if state == INTERRUPTED else ""
        st.markdown(
            f"{gone}It continues within its budget in a separate process: you can close this page. "
            "Earlier spend stays counted."
        )
        if st.button("Resume the study", type="primary", key="resume-now"):
            _act(lambda: _resumed(start_resume(name, home=studies.home().path)), "Starting its coordinator")


def _raise_budget(table: StudyTable, budget: dict[str, object], *, running: bool) -> None:
    with st.popover("Raise the budget", icon=":material/savings:", key="raise"):
        st.markdown(
            "A study reads its budget when it starts: this one is stopped first and then resumed. Its trials are "
            "paused where possible."
            if running
            else "It continues until the new budget is spent. Earlier spend stays counted."
        )
        st.caption(literal(f"Spent so far: {money(table.spend_usd, table.unit)}. Empty fields stay unchanged."))
        given = {
            "budget_usd": _number("US dollars in total", budget.get("usd"), "raise-usd", "%.6g"),
            "trials": _whole(_number("Trials in total", budget.get("trials"), "raise-trials", "%d")),
            "wall_seconds": _number("Seconds of work in total", budget.get("wall_seconds"), "raise-seconds", "%.6g"),
        }
        if st.button("Resume with this budget", type="primary", key="raise-now"):
            _act(lambda: _raised(table.study, given, stop_first=running), "Resuming it with the new budget")


def _raised(name: str, given: dict[str, float | int | None], *, stop_first: bool) -> str:
    usd, trials, seconds = given["budget_usd"], given["trials"], given["wall_seconds"]
    return _resumed(
        start_resume(
            name,
            home=studies.home().path,
            budget_usd=usd,
            trials=None if trials is None else int(trials),
            wall_seconds=seconds,
            stop_first=stop_first,
        )
    )


def _number(label: str, now: object, key: str, shape: str) -> float | int | None:
    placeholder = f"now {now:g}" if isinstance(now, int | float) else "no limit now"
    step = 1 if shape == "%d" else None
    found: float | int | None = st.number_input(
        label, value=None, placeholder=placeholder, key=key, format=shape, step=step
    )
    return found


def _whole(number: float | int | None) -> int | None:
    return None if number is None else int(number)


def _resumed(started: Started) -> str:
    if started.exit_code is None:
        return f"It runs in process {started.launch.process}."
    last = next((line for line in reversed(started.launch.last_lines) if ": " in line), "")
    return f"It has ended already. {last}"


def _act(action: Callable[[], str], doing: str) -> None:
    """Run the action, then redraw the page with its result."""
    try:
        with st.spinner(doing):
            st.session_state[_SAID] = "done", action()
    except TrackerError as error:
        st.session_state[_SAID] = "error", str(error)
    st.rerun()
