"""Scenarios as files: opening one, saving the one of the view, and the command that takes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import streamlit as st

from dashboard import studies, view
from dashboard.parts.scenario_builder import PREFIX
from dashboard.text import literal
from tracker.errors import RequestError
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario
from tracker.pricing.scenario_writing import compact_scenario_toml, scenario_toml, write_scenario
from tracker.store.home import folder_name

EXAMPLES = "experiments/scenarios/"
_FILE, _PATH, _NAME = f"{PREFIX}-open-file", f"{PREFIX}-open-path", f"{PREFIX}-save-name"
_REPLACE, _SAID = f"{PREFIX}-save-replace", f"{PREFIX}-said"


def scenario_files(study: str, scenario: Scenario) -> None:
    """Draw the buttons that open and save, and their outcome; ``scenario`` is that of the view."""
    with st.container(horizontal=True):
        with st.popover("Open", icon=":material/folder_open:", key=f"{PREFIX}-open"):
            _open_fields()
        with st.popover("Save", icon=":material/save:", key=f"{PREFIX}-save", disabled=scenario.is_empty):
            _save_fields(scenario)
        if not scenario.is_empty:
            st.download_button(
                "Download",
                scenario_toml(scenario),
                file_name=f"{folder_name(scenario.name or 'scenario')}.toml",
                mime="application/toml",
                on_click="ignore",
                icon=":material/download:",
                key=f"{PREFIX}-download",
            )
    _say(study)


def saved_scenarios() -> dict[str, Path]:
    """The files of the home's scenarios by their names, sorted."""
    folder = studies.home().scenarios
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder.is_dir() else {}


def command_with(study: str, path: Path) -> str:
    """What lists the frontier of a study under a scenario file, as a person types it."""
    home = studies.home().path
    given = [] if home == Path("results").resolve() else ["--home", str(home)]
    return shlex.join(["tracker", "frontier", study, "--scenario", str(path), *given])


def _open_fields() -> None:
    saved = saved_scenarios()
    if saved:
        st.selectbox("A scenario of this home", list(saved), index=None, key=_FILE, placeholder="choose")
    else:
        st.caption("No scenario was saved in this home yet.")
    st.text_input("Or the path of a file", key=_PATH, placeholder=f"{EXAMPLES}hardware.toml")
    st.button("Open", key=f"{PREFIX}-open-now", on_click=_open, type="primary")


def _open() -> None:
    path, saved = st.session_state.get(_PATH, "").strip(), saved_scenarios().get(st.session_state.get(_FILE) or "")
    if not path and saved is None:
        st.session_state[_SAID] = ("error", "Choose a scenario, or give the path of its file.", None)
        return
    try:
        scenario = read_scenario(path or saved or "")
    except RequestError as error:
        st.session_state[_SAID] = ("error", str(error), None)
        return
    view.SCENARIO.set(compact_scenario_toml(scenario))
    st.session_state[_SAID] = ("success", f"Opened {scenario.name or path}.", None)


def _save_fields(scenario: Scenario) -> None:
    st.session_state.setdefault(_NAME, scenario.name or "what-if")
    st.text_input("Name", key=_NAME)
    st.toggle("Replace the one that has this name", key=_REPLACE)
    st.button("Save", key=f"{PREFIX}-save-now", on_click=_save, args=(scenario,), type="primary")


def _save(scenario: Scenario) -> None:
    name = folder_name(st.session_state[_NAME].strip() or "what-if")
    path = studies.home().scenarios / f"{name}.toml"
    try:
        write_scenario(scenario, path, replace=st.session_state[_REPLACE])
    except RequestError as error:
        st.session_state[_SAID] = ("error", str(error), None)
        return
    st.session_state[_SAID] = ("success", "Saved. The command line takes it:", path)


def _say(study: str) -> None:
    """The outcome of the last button, once."""
    kind, words, path = st.session_state.pop(_SAID, (None, "", None))
    if kind == "error":
        st.error(literal(words), icon=":material/error:")
    elif kind == "success":
        st.success(literal(words), icon=":material/check:")
    if path is not None:
        st.code(command_with(study, path), language="bash", wrap_lines=True)
