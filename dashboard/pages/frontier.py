"""Frontier: the best quality for the money in one study, on any axes, live while it runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import streamlit as st

from dashboard import studies, view
from dashboard.frame import go_to
from dashboard.parts.axes import axes_controls
from dashboard.parts.cards import cards
from dashboard.parts.chart import chart
from dashboard.parts.detail import detail_panel
from dashboard.parts.points import answers, points_on, twin_of
from dashboard.parts.predictions import predictions
from dashboard.parts.selection import selection
from dashboard.parts.targets import budget_of, target_controls, target_of
from dashboard.text import literal
from tracker.export.formats import report_files
from tracker.report.axis_points import AxisPoints, parse_key
from tracker.report.confirmation import confirmation_sentences
from tracker.report.frontier_chart import plane_figure
from tracker.report.frontier_twin import FrontierTwin
from tracker.report.plane import plane_of
from tracker.report.plane_caption import plane_caption
from tracker.report.scenarios import price_remarks
from tracker.report.tables import frontier_json
from tracker.store.run_table import StudyTable

REFRESH_SECONDS = 3.0
RUNNING = "running"
BADGES = {RUNNING: "blue", "completed": "green", "stopped": "orange", "paused": "violet"}
CHART, ROWS = "frontier", "frontier-rows"
MOST_COMPARED = 4


def show(study: str) -> None:
    """The page of a study."""
    st.title("What does a dollar buy?")
    live = studies.study_table(study).state == RUNNING
    st.fragment(_study, run_every=REFRESH_SECONDS if live else None)(study, live=live)


def _study(study: str, *, live: bool) -> None:
    table = studies.study_table(study)
    if live and table.state != RUNNING:
        st.rerun()  # the last refresh: the rest needs no clock
    _state_line(table, live=live)
    cards(answers(table))
    if table.checkpoints.empty:
        st.info("No run of this study has reached a checkpoint yet, so there is no frontier to show.")
        return
    axes, curves = axes_controls(table)
    _frontier(points_on(table, axes), curves=curves)
    predictions(table)
    _downloads(table)


def _state_line(table: StudyTable, *, live: bool) -> None:
    clock = f"updated {datetime.now().astimezone():%H:%M:%S %Z}, every {REFRESH_SECONDS:g} s" if live else ""
    notes = [f"price book {table.price_book}" if table.price_book else "", clock]
    colour = BADGES.get(table.state, "gray")
    st.markdown(f":{colour}-badge[{literal(table.state)}] {literal(' · '.join(filter(None, notes)))}")
    for remark in price_remarks(table):
        st.caption(literal(remark))


def _frontier(found: AxisPoints, *, curves: bool) -> None:
    """The chart, its sentences, the questions, the table, and what is selected."""
    twin = twin_of(found)
    chosen = selection(CHART, ROWS, twin.keys)
    plane = plane_of(found, selected=chosen, curves=curves, target=target_of(found), budget=budget_of(found))
    figure = plane_figure(plane)
    figure.update_layout(uirevision=f"{found.table.study} {found.axes}")
    chart(
        figure,
        CHART,
        alt=f"{found.metric} against {found.x_measure.title}, study {found.table.study}; the table has the frontier",
        twin=twin.rows,
        file_name=f"{found.table.study}-frontier",
        select=True,
        selected=chosen,
        columns=_columns(twin),
    )
    st.caption(literal(plane_caption(plane)))
    target_controls(found)
    _repeats(found.table)
    with st.expander(f"The frontier in rows: {len(twin.rows):,} points", expanded=len(twin.rows) <= 12):
        st.dataframe(
            twin.rows,
            hide_index=True,
            key=ROWS,
            column_config=_columns(twin),
            on_select="rerun",
            selection_mode="multi-row",
            placeholder="—",
        )
    _selected(found, chosen)


def _repeats(table: StudyTable) -> None:
    """The results of repeats; nothing where there are none."""
    sentences = confirmation_sentences(table)
    if sentences:
        with st.expander(f"How sure the frontier is: {literal(sentences[0])}", icon=":material/rule:"):
            st.markdown("\n".join(f"- {literal(sentence)}" for sentence in sentences[1:]))


def _selected(found: AxisPoints, chosen: list[str]) -> None:
    """The details of the selected point, or of the one chosen among several."""
    st.header("Selected")
    if not chosen:
        st.caption("Click a point of the chart, draw a box around some, or tick a row of the table to see its details.")
        return
    key: str | None = chosen[0]
    if len(chosen) > 1:
        names = {each: _name(found, each) for each in chosen}
        key = st.pills(
            "Points", chosen, format_func=names.__getitem__, default=chosen[0], key=f"which-{hash(tuple(chosen))}"
        )
        runs = list(dict.fromkeys(parse_key(each)[0] for each in chosen))[:MOST_COMPARED]
        if len(runs) > 1 and st.button("Compare their runs", icon=":material/compare_arrows:"):
            view.COMPARED_RUNS.set(runs)
            view.COMPARED_STUDIES.set([])
            go_to("Compare")
    detail_panel(found, key or chosen[0])


def _name(found: AxisPoints, key: str) -> str:
    run_id, epoch = parse_key(key)
    labels = found.table.runs.loc[found.table.runs["run_id"] == run_id, "label"]
    name = labels.iloc[0] if len(labels) else "a deleted run"
    return f"{literal(str(name))} e{epoch}" if epoch is not None else literal(str(name))


def _columns(twin: FrontierTwin) -> dict[str, Any]:
    """Labels with units, and number formats, for the table."""
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {}
    for column, label in twin.labels.items():
        if column == "probability_on_frontier":
            config[column] = number(label, format="percent")
        elif column in twin.formats:
            config[column] = number(label, format=twin.formats[column])
        else:
            config[column] = st.column_config.Column(label)
    return config


def _downloads(table: StudyTable) -> None:
    written = {file.name: file for file in report_files(["csv"])}
    files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        name: ("text/csv", partial(written[name].content, table)) for name in ("frontier.csv", "runs.csv")
    }
    files["frontier.json"] = ("application/json", partial(frontier_json, table))
    with st.container(horizontal=True):
        for name, (mime, data) in files.items():
            st.download_button(
                name, data, file_name=name, mime=mime, on_click="ignore", icon=":material/download:", key=name
            )
