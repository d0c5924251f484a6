"""The frame of all pages: menu, choice of the study, active scenario, and errors as sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import studies, view
from dashboard.login import may_look
from dashboard.text import literal
from dashboard.theme import STYLE
from tracker.errors import ScenarioError, StudyNotFoundError, TrackerError

WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the menu. ``show`` draws it, given the name of the chosen study; without ``of_study``, alone."""

    title: str
    icon: str
    show: Callable[..., None]
    of_study: bool = True

    @property
    def path(self) -> str:
        """Its part of the address."""
        return self.title.lower()


def serve(entries: Sequence[Entry]) -> None:
    """Draw the page that is asked for."""
    st.set_page_config(page_title="Quality against price", page_icon="📈", layout="wide")
    st.html(STYLE)
    if not may_look():
        return
    pages = [
        st.Page(_page(entry), title=entry.title, icon=entry.icon, url_path=entry.path, default=at == 0)
        for at, entry in enumerate(entries)
    ]
    st.session_state["pages"] = {entry.title: page for entry, page in zip(entries, pages, strict=True)}
    st.navigation(pages).run()


def go_to(title: str, study: str | None = None) -> None:
    """Go to another page, with another study where one is given."""
    if study is not None:
        view.STUDY.set(study)
        st.session_state.pop(f"view-{view.STUDY.key}", None)
    st.switch_page(st.session_state["pages"][title])


def _page(entry: Entry) -> Callable[[], None]:
    def show() -> None:
        if st.session_state.get("page") != entry.title:
            st.session_state["page"] = entry.title
            view.forget_widgets()
        try:
            if not entry.of_study:
                entry.show()
            elif (study := _chosen_study()) is not None and _scenario_line():
                _notice_line(study)
                entry.show(study)
        except StudyNotFoundError as error:
            st.warning(literal(str(error)), icon=":material/search_off:")
        except TrackerError as error:
            st.error(literal(str(error)), icon=":material/error:")

    show.__name__ = entry.path
    return show


def _chosen_study() -> str | None:
    """The study of the view; None, with instructions, where there is none yet."""
    found = studies.listed()
    if not found.studies:
        st.fragment(_wait_for_a_study, run_every=WAIT_SECONDS)()
        return None
    names = found.names
    if found.notice:
        st.warning(literal(found.notice), icon=":material/cloud_off:")
    asked = view.STUDY.get()
    if asked and asked not in names:
        st.warning(literal(f"There is no study '{asked}' here; the newest one is shown."), icon=":material/search_off:")
    with st.sidebar:
        study: str | None = view.STUDY.widget(
            st.selectbox, "Study", options=names, on_change=view.forget_selection, help="The newest first"
        )
    return study


def _wait_for_a_study() -> None:
    if studies.listed().studies:
        st.rerun()
    st.info(literal(f"There is no study yet in {studies.home().path}. Start one, and it appears here:"))
    st.code("tracker run experiments/studies/docstrings.toml", language="bash")


def _scenario_line() -> bool:
    """Show on every page that prices are not the billed ones; False where they cannot be computed."""
    try:
        scenario = studies.scenario()
    except ScenarioError as error:
        st.error(literal(str(error)), icon=":material/error:")
        _back_to_billed()
        return False
    if not scenario.is_empty:
        name = f"scenario {scenario.name}" if scenario.name else "a scenario"
        st.info(literal(f"Prices of {name}: {'; '.join(scenario.sentences)}"), icon=":material/price_change:")
        _back_to_billed()
    return True


def _notice_line(study: str) -> None:
    """Say on every page where MLflow is behind, or away."""
    if notice := studies.billed_table(study).notice:
        st.warning(literal(notice), icon=":material/cloud_off:")


def _back_to_billed() -> None:
    if st.button("Back to the billed prices", key="billed", type="tertiary"):
        view.SCENARIO.set("")
        st.rerun()
