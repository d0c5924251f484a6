"""Launch: edit a study file, check it as the command does, start it detached and follow it on the Study page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import studies
from dashboard.frame import go_to
from dashboard.parts.draft import Draft, choose, draft
from dashboard.parts.kept import forget, kept
from dashboard.parts.likely_cost import likely_cost
from dashboard.parts.study_form import form
from dashboard.text import literal
from tracker.errors import StudyFileError, TrackerError
from tracker.pricing.money_unit import money_unit
from tracker.report.study_form import relative_paths
from tracker.report.words import money, several, usd, visible
from tracker.runner.checked import Checked, check, warm_up
from tracker.runner.consent import allow, code_to_allow, is_allowed
from tracker.runner.detached import start_study
from tracker.runner.launches import Launch, latest_launch, launches
from tracker.study.document import StudyDocument

POLL_SECONDS = 1.0
_MACHINE, _FOLLOWED, _CHECKED = "launch-machine", "launch-followed", "launch-checked"


def show() -> None:
    """The page: launches in progress, the source of a draft, its problems, its form and its cost."""
    st.title("Launch a study")
    _follow()
    choose()
    chosen = draft()
    if chosen is None:
        st.info("Choose a study file: it is checked here, and you can edit it before you start it.")
        return
    warm_up()
    try:
        document = chosen.document()
    except StudyFileError as error:
        form(chosen, None, {})
        _problems(error.problems)
        return
    if not _may_load(document):
        return
    found = _checked(chosen, document)
    _say_paths(chosen)
    form(chosen, document, found.knobs)
    if found.problems or chosen.errors:
        _problems(found.problems)
        return
    _costs(found)
    likely = st.container()
    _start(document)
    with likely:  # it takes a second or two, which the button does not wait for
        likely_cost(document)


def _follow() -> None:
    """Open the study that was started here once it can be shown; list others that are starting."""
    known = set(studies.listed().names)
    followed = st.session_state.get(_FOLLOWED)
    if followed in known:
        del st.session_state[_FOLLOWED]
        go_to("Study", study=followed)
    under_way = [launch for launch in launches(studies.home()) if launch.study not in known]
    under_way = [launch for launch in under_way if launch.runs(studies.home())]
    if followed is not None and followed not in [launch.study for launch in under_way]:
        del st.session_state[_FOLLOWED]
        launch = latest_launch(studies.home(), followed)
        st.error(literal(f"{followed} could not start: {launch.error if launch else 'its log is gone'}"))
    if under_way:
        st.fragment(_under_way, run_every=POLL_SECONDS)(under_way)


def _under_way(waiting: list[Launch]) -> None:
    known = set(studies.listed().names)
    for launch in waiting:
        if launch.study in known or not launch.runs(studies.home()):
            st.rerun()
        said = launch.last_lines[-1:] or ["starting"]
        st.info(literal(f"{launch.study} is preparing its data: {said[0]}"), icon=":material/hourglass_top:")


def _may_load(document: StudyDocument) -> bool:
    """Whether the study runs installed code only, or a person allowed what else it runs; asks where nobody did.

    A link opens this page, so that code beside the study file is asked about too: to check it is to import it.
    """
    code = code_to_allow(document, None)
    if is_allowed(studies.home(), code):
        return True
    st.warning("This study runs code of its own. Read what it is before you allow it.", icon=":material/gpp_maybe:")
    st.code(visible(code), language=None, wrap_lines=True)
    if st.button("Allow it", key="launch-allow", icon=":material/check:", help="You are asked once for each"):
        allow(studies.home(), code)
        st.rerun()
    return False


def _checked(chosen: Draft, document: StudyDocument) -> Checked:
    """The result of the checks of a draft; repeated when it has changed."""
    draft = (chosen.text, chosen.folder, str(studies.home().path))
    checking = "Checking it against its training code, this machine and the price book"
    return kept(_CHECKED, draft, lambda: _check(document), checking)


def _check(document: StudyDocument) -> Checked:
    try:
        found = check(document, str(studies.home().path), st.session_state.get(_MACHINE))
    except TrackerError as error:
        return Checked((f"the training code cannot be inspected: {error}",))
    if found.machine is not None:
        st.session_state[_MACHINE] = found.machine
    return found


def _say_paths(chosen: Draft) -> None:
    paths = relative_paths(StudyDocument.parse(chosen.source, chosen.text).content)
    if paths and chosen.folder is None:
        listed = ", ".join(f"'{path}'" for path in paths)
        st.warning(
            literal(f"An upload has no folder: {listed} is looked up below '{Path.cwd()}'."),
            icon=":material/folder_off:",
        )


def _problems(problems: tuple[str, ...]) -> None:
    if not problems:
        return
    st.error(f"**{several(len(problems), 'problem')}**, so you cannot start it yet", icon=":material/error:")
    st.markdown("\n".join(f"- {literal(problem)}" for problem in problems))
    if st.button("Check again", key="launch-again", icon=":material/refresh:", help="After a change of the code"):
        forget(_CHECKED)
        st.rerun()


def _costs(found: Checked) -> None:
    """The most that it costs, with the bounds, and what it is billed as."""
    st.header("The most that it costs")
    amounts = [bound.usd for bound in found.bounds if bound.usd is not None]
    unit = money_unit(amounts)
    most = found.most_usd
    st.markdown(f"### {'No limit' if most is None else literal(money(most, unit))}")
    lines = [
        bound.sentence if bound.usd is None else f"{money(bound.usd, unit)} by {bound.sentence}"
        for bound in found.bounds
    ]
    lines += [
        f"{rate.device} is billed as {rate.sku} ({rate.market}), {usd(rate.usd_per_hour)} an hour for the whole "
        f"machine, the rate since {rate.since}"
        for rate in found.rates
    ]
    st.markdown("\n".join(f"- {literal(line)}" for line in lines))
    for note in found.notes:
        st.caption(literal(note))


def _start(document: StudyDocument) -> None:
    if not st.button("Start the study", type="primary", icon=":material/rocket_launch:", key="launch-start"):
        return
    try:
        with st.spinner("Starting it in a separate process: you can close this page"):
            started = start_study(document, home=studies.home().path)
    except TrackerError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    st.session_state[_FOLLOWED] = started.launch.study
    forget(_CHECKED)
    st.rerun()
