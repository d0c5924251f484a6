"""Study: progress, spend and burn rate while it runs; stop it, resume it, raise its budget."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import studies
from dashboard.parts.chart import chart
from dashboard.parts.controls import RUNNING, controls
from dashboard.parts.machines import machines
from dashboard.parts.trials import reasons, running, trials
from dashboard.text import literal
from tracker.errors import TrackerError
from tracker.report.figures import hypervolume_figure, purpose_figure, spend_figure
from tracker.report.progress import hypervolume_steps
from tracker.report.spending import burn_rate, spend_by_purpose
from tracker.report.status import INTERRUPTED, standing
from tracker.report.tables import spend_by_state
from tracker.report.trials import trial_counts
from tracker.report.words import NOTHING, duration, money, percent
from tracker.runner.decisions import FILE_NAME, DecisionColumns
from tracker.runner.launches import latest_launch
from tracker.store.run_table import StudyTable

REFRESH_SECONDS = 2.0
SAID_LINES = 12
BADGES = {RUNNING: "blue", "completed": "green", "stopped": "orange", "failed": "red", INTERRUPTED: "red"}
GONE = (
    "It is logged as running and its coordinator is gone: it was killed, or the machine went down. Resume it: what "
    "its attempts spent is counted."
)


def show(study: str) -> None:
    """The page of a study: the buttons, and below them what changes while it runs."""
    table = studies.billed_table(study)
    state = standing(table, studies.home())
    _head(table, state)
    controls(table, state)
    st.fragment(_live, run_every=REFRESH_SECONDS if state == RUNNING else None)(study, state)


def _head(table: StudyTable, state: str) -> None:
    st.markdown(f"# {literal(table.study)} :{BADGES.get(state, 'gray')}-badge[{literal(state)}]")
    if state == INTERRUPTED:
        st.warning(literal(GONE), icon=":material/power_off:")
    if not studies.scenario().is_empty:
        st.caption("This page shows billed amounts: a scenario does not change a budget.")


def _live(study: str, state: str) -> None:
    table = studies.billed_table(study)
    if standing(table, studies.home()) != state:
        st.rerun()  # other buttons, and no clock where it has ended
    _figures(table, state)
    running(table)
    left, right = st.columns(2, gap="large")
    with left:
        _money(table)
    with right:
        _bought(table)
    machines(table)
    reasons(table)
    trials(table)
    _said(study)
    if state == RUNNING:
        st.caption(literal(f"Read {datetime.now():%H:%M:%S}, again every {REFRESH_SECONDS:g} s"))


def _figures(table: StudyTable, state: str) -> None:
    """Spend against budget, burn rate, and trials by state."""
    if table.budget_usd:
        share = table.spend_usd / table.budget_usd
        words = f"{money(table.spend_usd, table.unit)} of {money(table.budget_usd, table.unit)} spent, {percent(share)}"
        st.progress(min(share, 1.0), text=literal(words))
    with st.container(horizontal=True, gap="medium"):
        if not table.budget_usd:
            _metric("Spent", money(table.spend_usd, table.unit), "There is no limit in dollars")
        _burn(table, state)
    with st.container(horizontal=True, gap="large"):
        for name, count in trial_counts(table).items():
            if count or name in ("running", "completed", "failed"):
                _metric(name.capitalize(), f"{count:,}", f"Trials that are {name}")


def _burn(table: StudyTable, state: str) -> None:
    rate = burn_rate(table)
    if rate is None:
        _metric("Burn rate", NOTHING, "Nothing has been spent over a measurable time")
        return
    pace = f"{money(rate.usd_per_hour, table.unit)} an hour"
    _metric("Burn rate", pace, f"Over the last {duration(rate.seconds)} of work in which money was spent")
    if state == RUNNING and table.budget_usd:
        left = rate.seconds_to(table.budget_usd - table.spend_usd)
        _metric("Budget reached in", duration(left), "At this rate; the search may end the study earlier")


def _metric(label: str, figure: str, help_: str) -> None:
    st.metric(literal(label), literal(figure), help=literal(help_), width="content")


def _money(table: StudyTable) -> None:
    st.header("Where the money went")
    by_state = st.segmented_control(
        "Money by", ["purpose", "state"], default="purpose", key="money-by", label_visibility="collapsed"
    )
    if by_state == "state":
        spend, figure, what = spend_by_state(table), spend_figure(table, short=True), "state"
    else:
        spend = spend_by_purpose(table, _decisions(str(studies.home().study(table.study))))
        figure, what = purpose_figure(spend, table.unit), "purpose"
    twin = spend.assign(spend_usd=table.unit.of(spend["spend_usd"].to_numpy())).drop(columns="meaning", errors="ignore")
    chart(
        figure,
        f"spend-by-{what}",
        alt=f"What {table.study} spent its money on, by {what}; the same is in the table",
        twin=twin.rename(columns={"spend_usd": f"spent, {table.unit.name}"}),
        file_name=f"{table.study}-spend-by-{what}",
    )
    if what == "purpose" and len(spend):
        st.caption(literal("; ".join(f"{row.purpose}: {row.meaning}" for row in spend.itertuples()) + "."))


def _bought(table: StudyTable) -> None:
    st.header("What the money bought")
    steps = hypervolume_steps(table)
    chart(
        hypervolume_figure(table),
        "hypervolume",
        alt=f"The hypervolume of the frontier of {table.study} against the money spent; the same is in the table",
        twin=pd.DataFrame(
            {
                f"spent, {table.unit.name}": table.unit.of(steps["spend_usd"].to_numpy()),
                "hypervolume": steps["hypervolume"],
            }
        ),
        file_name=f"{table.study}-hypervolume",
    )
    st.caption("The area that the frontier dominates; where the line is flat, money bought no better frontier.")


def _said(study: str) -> None:
    """The last lines of the coordinator's log, if there is one."""
    st.header("The coordinator's last output")
    launch = latest_launch(studies.home(), study)
    lines = launch.last_lines[-SAID_LINES:] if launch else []
    if launch is None or not lines:
        st.caption(
            "It was started in a terminal, which has its output; started with `--detach`, or here, it writes a log."
        )
        return
    st.code("\n".join(lines), language=None, wrap_lines=True)
    st.caption(literal(f"The whole log: {launch.log}"))


@st.cache_resource
def _decision_readers() -> dict[str, DecisionColumns]:
    return {}


def _decisions(folder: str) -> pd.DataFrame | None:
    """The search's decisions, read incrementally; None where there are none or they cannot be read."""
    reader = _decision_readers().setdefault(folder, DecisionColumns(Path(folder) / FILE_NAME))
    try:
        return reader.latest()
    except TrackerError:
        return None
