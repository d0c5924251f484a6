"""The draft study on the Launch page: its origin and its current text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from dashboard import studies, view
from dashboard.text import literal
from tracker.errors import RequestError, TrackerError
from tracker.report.study_form import MOST_BYTES, free_name, read_study_text, study_files
from tracker.runner.study_lookup import folder_of, kept_studies
from tracker.study.document import StudyDocument
from tracker.study.toml_text import edited, to_toml

EXAMPLES = Path("experiments/studies")
FILE, UPLOAD, EARLIER = "A study file", "An upload", "An earlier study"
_DRAFT = "launch-draft"


@dataclass(frozen=True, slots=True)
class Draft:
    """A study file as it is now: ``origin`` says what it began with, ``folder`` where its relative paths begin."""

    origin: str
    source: str
    text: str
    folder: str | None = None
    errors: tuple[tuple[str, str, str], ...] = ()
    """Fields whose text is not in the file: the field's place, what was given, what is wrong with it."""

    def document(self) -> StudyDocument:
        """The study that it is now, its paths made absolute. Raises StudyFileError where it is not TOML."""
        return StudyDocument.parse(self.source, self.text).anchored(Path(self.folder or Path.cwd()))


def draft() -> Draft | None:
    """The draft of this session; None before one is chosen."""
    found: Draft | None = st.session_state.get(_DRAFT)
    return found


def put(changed: Draft) -> None:
    """Replace the draft."""
    st.session_state[_DRAFT] = changed


def choose() -> None:
    """The sources of a draft; a choice applies once, when it is made, and replaces the draft."""
    ways = [FILE, UPLOAD, *([EARLIER] if kept_studies(studies.home()) else [])]
    way = st.segmented_control("Start from", ways, default=FILE, key="launch-way", required=True)
    try:
        started = {FILE: _from_file, UPLOAD: _from_upload, EARLIER: _from_study}[str(way)]()
    except TrackerError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    known = draft()
    if started is not None and (known is None or known.origin != started.origin):
        put(started)


def _from_file() -> Draft | None:
    left, right = st.columns([2, 3])
    linked = Path(view.STUDY_FILE.get()) if view.STUDY_FILE.get() else None
    if "launch-folder" not in st.session_state:
        st.session_state["launch-folder"] = str(linked.parent if linked else _examples())
    folder = left.text_input("Folder", key="launch-folder", placeholder="/path/to/studies")
    if not folder.strip():
        left.caption("Give the folder that your study files are in.")
        return None
    found = study_files(Path(folder).expanduser())
    if not found:
        right.caption(literal(f"There is no TOML file in {folder}."))
        return None
    options, key = [str(path) for path in found], f"view-{view.STUDY_FILE.key}"
    if st.session_state.get(key, options[0]) not in options:
        st.session_state[key] = options[0]  # of another folder
    with right:
        path = view.STUDY_FILE.widget(
            st.selectbox, "Study file", options=options, format_func=lambda each: Path(each).name
        )
    return _read(Path(str(path)))


def _examples() -> str:
    return str(EXAMPLES.resolve()) if EXAMPLES.is_dir() else ""


def _read(path: Path) -> Draft:
    try:
        text = read_study_text(path.name, path.read_bytes())
    except OSError as error:
        raise RequestError(f"study file '{path}' cannot be read: {error.strerror}") from None
    return _named(Draft(f"file {path}", path.name, text, str(path.parent.resolve())))


def _from_upload() -> Draft | None:
    file = st.file_uploader(
        "Study file", key="launch-upload", max_upload_size=round(MOST_BYTES / 1e6), label_visibility="collapsed"
    )
    if file is None:
        return None
    return _named(Draft(f"upload {file.file_id}", file.name, read_study_text(file.name, file.getvalue())))


def _from_study() -> Draft | None:
    name = st.selectbox("Study", kept_studies(studies.home()), key="launch-study")
    if name is None:
        return None
    content = folder_of(studies.home(), name).document().content
    return _named(Draft(f"study {name}", f"{name}.toml", to_toml(content)))


def _named(started: Draft) -> Draft:
    """Give the draft a free name: that of the file, or with a number appended."""
    name = started.document().content.get("name")
    free = free_name(studies.home(), name) if isinstance(name, str) else name
    return started if free == name else replace(started, text=edited(started.text, ("name",), free))
