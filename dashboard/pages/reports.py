"""Reports: what ``tracker report`` writes, to look at and to take along."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from dashboard import studies
from dashboard.text import literal
from tracker.report.html import REPORT_FILES
from tracker.report.scenarios import price_remarks
from tracker.store.home import folder_name
from tracker.store.run_table import StudyTable

PREVIEWED = "report.html"
HEIGHT = 900
_MEANINGS = {
    "report.html": "the page, with everything inside: opens anywhere, without a network",
    "runs.csv": "every run, one row each",
    "frontier.csv": "the points of the frontier",
    "levers.csv": "what each lever saved",
}
_MIMES = {".html": "text/html", ".csv": "text/csv", ".json": "application/json", ".md": "text/markdown"}


def show(study: str) -> None:
    """The page of a study."""
    table = studies.study_table(study)
    st.title("Report")
    texts = _texts(table)
    with st.container(horizontal=True):
        for name in REPORT_FILES:
            _download(study, texts, name)
    for remark in price_remarks(table):
        st.caption(literal(remark))
    with st.spinner("Writing the report …"):
        page = texts.of(PREVIEWED).decode("utf-8")
    st.iframe(page, height=HEIGHT, alt=f"Preview of the report of {study}")


@dataclass(frozen=True)
class _Texts:
    """The files of a study's report, each made when it is first asked for."""

    table: StudyTable
    made: dict[str, bytes] = field(default_factory=dict)

    def of(self, name: str) -> bytes:
        if name not in self.made:
            self.made[name] = REPORT_FILES[name](self.table).encode("utf-8", "backslashreplace")
        return self.made[name]


def _texts(table: StudyTable) -> _Texts:
    """Those that this session has made already, for as long as the study is as it was."""
    kept: _Texts | None = st.session_state.get("report")
    if kept is None or kept.table is not table:
        kept = st.session_state["report"] = _Texts(table)
    return kept


def _download(study: str, texts: _Texts, name: str) -> None:
    st.download_button(
        name,
        lambda: texts.of(name),
        file_name=f"{folder_name(study)}-{name}",
        mime=_MIMES.get(name[name.rindex(".") :], "text/plain"),
        on_click="ignore",
        icon=":material/download:",
        help=_MEANINGS.get(name),
        key=f"report-{name}",
    )
