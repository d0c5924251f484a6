"""The panel of one checkpoint: its run's settings, cost parts and curve, why it went as it did, and where it is."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import studies
from dashboard.parts.chart import chart
from dashboard.parts.facts import facts
from dashboard.text import literal
from tracker.errors import TrackerError
from tracker.records import Role
from tracker.report.axis_points import AxisPoints
from tracker.report.run_detail import RunDetail, decisions_about, mlflow_place, run_detail
from tracker.report.run_detail_chart import run_curve_figure
from tracker.report.training_command import training_command
from tracker.store.run_table import find_experiment


def detail_panel(found: AxisPoints, key: str) -> None:
    """The details of the point of a key; a sentence where it no longer exists."""
    try:
        detail = run_detail(found, key)
    except TrackerError as error:
        st.warning(literal(str(error)), icon=":material/search_off:")
        return
    st.markdown(f"### {literal(detail.title)}")
    if detail.standing:
        st.markdown(literal(detail.standing[0].upper() + detail.standing[1:] + "."))
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Cost parts**")
        facts(detail.parts[["part", "words"]], header=False)
        st.markdown("**Figures**")
        facts(pd.DataFrame(list(detail.figures.items())), header=False)
    with right:
        _curve(found, detail)
        settings = detail.settings.assign(searched=["searched" if each else "" for each in detail.settings["searched"]])
        st.markdown("**Settings**")
        facts(settings, header=False)
    _ways_on(found, detail)


def _curve(found: AxisPoints, detail: RunDetail) -> None:
    table = found.table
    st.markdown("**Its curve**")
    chart(
        run_curve_figure(detail, table.quality, table.unit),
        f"curve-{detail.key}",
        alt=f"{table.quality.name} against price of {detail.title}",
        twin=detail.curve,
        file_name=f"{table.study}-{detail.title}",
    )


def _ways_on(found: AxisPoints, detail: RunDetail) -> None:
    """Why the search did what it did, how to train it again, and its run in MLflow."""
    table, home = found.table, studies.home()
    with st.expander("Why the search started, paused, resumed or stopped it", icon=":material/psychology_alt:"):
        st.code("\n".join(decisions_about(home, table, detail.run)), language=None, wrap_lines=True)
    if table.runs["role"].iat[detail.run] == Role.TRIAL:
        command = training_command(home, table, detail.run)
        with st.expander("Train it again", icon=":material/terminal:"):
            if command.text:
                st.code(command.text, language="bash", wrap_lines=True)
            if command.remark:
                st.caption(literal(command.remark))
    if table.notice:
        st.caption("Its run in MLflow: once MLflow has everything of the study.")
        return
    try:
        place = mlflow_place(home.tracking_uri, _experiment(home.tracking_uri, table.study), table, detail.run)
    except TrackerError as error:
        st.caption(literal(str(error)))
        return
    if place.command:
        with st.expander("Its run in MLflow", icon=":material/open_in_new:"):
            st.markdown("Start MLflow's own pages, and it is at the address below:")
            st.code(place.command, language="bash", wrap_lines=True)
            st.markdown(f"[{literal(place.address)}]({place.address})")
    else:
        st.link_button("Its run in MLflow", place.address, icon=":material/open_in_new:")


@st.cache_data(max_entries=64, show_spinner=False)
def _experiment(tracking_uri: str, study: str) -> str:
    return find_experiment(tracking_uri, study)
