"""Reports: what ``tracker report`` writes, to look at and to take along."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import streamlit as st

from dashboard import studies
from dashboard.text import literal
from tracker.export.formats import DEFAULT, ReportFile, report_files
from tracker.report.scenarios import price_remarks
from tracker.store.home import folder_name
from tracker.store.run_table import StudyTable

HEIGHT = 900
_MIMES = {".html": "text/html", ".csv": "text/csv", ".json": "application/json", ".md": "text/markdown"}


def show(study: str) -> None:
    """The page of a study."""
    table = studies.study_table(study)
    st.title("Report")
    texts = _texts(table)
    with st.container(horizontal=True):
        for file in report_files(DEFAULT):
            _download(study, texts, file)
    for remark in price_remarks(table):
        st.caption(literal(remark))
    with st.spinner("Writing the report …"):
        page = texts.of(report_files(["html"])[0]).decode("utf-8")
    st.iframe(page, height=HEIGHT, alt=f"Preview of the report of {study}")


@dataclass(frozen=True)
class _Texts:
    """The files of a study's report, each made when it is first asked for."""

    table: StudyTable
    made: dict[str, bytes] = field(default_factory=dict)

    def of(self, file: ReportFile) -> bytes:
        if file.name not in self.made:
            written = io.BytesIO()
            file.write(self.table, written)
            self.made[file.name] = written.getvalue()
        return self.made[file.name]


def _texts(table: StudyTable) -> _Texts:
    """Those that this session has made already, for as long as the study is as it was."""
    kept: _Texts | None = st.session_state.get("report")
    if kept is None or kept.table is not table:
        kept = st.session_state["report"] = _Texts(table)
    return kept


def _download(study: str, texts: _Texts, file: ReportFile) -> None:
    st.download_button(
        file.name,
        lambda: texts.of(file),
        file_name=f"{folder_name(study)}-{file.name}",
        mime=_MIMES.get(file.name[file.name.rindex(".") :], "text/plain"),
        on_click="ignore",
        icon=":material/download:",
        help=file.help,
        key=f"report-{file.name}",
    )
