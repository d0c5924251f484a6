"""Reports: what ``tracker report`` writes, to look at and to take along."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import streamlit as st

from dashboard import studies
from dashboard.text import literal
from tracker.export.formats import FORMATS, ReportFile, report_files
from tracker.report.scenarios import price_remarks
from tracker.store.home import folder_name
from tracker.store.run_table import StudyTable

HEIGHT = 900
_MIMES = {
    ".html": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".zip": "application/zip",
}


def show(study: str) -> None:
    """The page of a study."""
    table = studies.study_table(study)
    st.title("Report")
    made = _made(table)
    page_file = report_files(["html"])[0]
    _download(study, "html", page_file.name, page_file.help, partial(made.of, page_file))
    with st.expander("All formats", icon=":material/folder_zip:"):
        for name, each in FORMATS.items():
            if name != "html":
                _offer(study, made, name, each.help, each.files)
    for remark in price_remarks(table):
        st.caption(literal(remark))
    with st.spinner("Writing the report …"):
        page = made.of(page_file).decode("utf-8")
    st.iframe(page, height=HEIGHT, alt=f"Preview of the report of {study}")


def _offer(study: str, made: _Made, name: str, help_: str, files: Sequence[ReportFile]) -> None:
    """A format: what it is, its files, and where there are several, all of them as one."""
    st.markdown(f"**{name}** — {literal(help_)}")
    with st.container(horizontal=True):
        for file in files:
            _download(study, name, file.name, file.help, partial(made.of, file))
        if len(files) > 1:
            help_all = "all files of this format under their own names"
            _download(study, name, f"{name}.zip", help_all, partial(made.zipped, files))


@dataclass(frozen=True)
class _Made:
    """The files of a study's report, each made when it is first asked for."""

    table: StudyTable
    contents: dict[str, bytes] = field(default_factory=dict)

    def of(self, file: ReportFile) -> bytes:
        if file.name not in self.contents:
            self.contents[file.name] = file.content(self.table)
        return self.contents[file.name]

    def zipped(self, files: Sequence[ReportFile]) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as whole:
            for file in files:
                whole.writestr(file.name, self.of(file))
        return packed.getvalue()


def _made(table: StudyTable) -> _Made:
    """Those that this session has made already, for as long as the study is as it was."""
    kept: _Made | None = st.session_state.get("report")
    if kept is None or kept.table is not table:
        kept = st.session_state["report"] = _Made(table)
    return kept


def _download(study: str, group: str, name: str, help_: str, content: Callable[[], bytes]) -> None:
    st.download_button(
        name,
        content,
        file_name=f"{folder_name(study)}-{name}",
        mime=_MIMES.get(name[name.rindex(".") :], "text/plain"),
        on_click="ignore",
        icon=":material/download:",
        help=help_,
        key=f"report-{group}-{name}",
    )
