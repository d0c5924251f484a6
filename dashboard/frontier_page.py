"""The first page: the best quality for the money in one study, live while it runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.text import literal
from tracker.errors import StudyNotFoundError, TrackerError
from tracker.report.confirmation import confirmation_sentences
from tracker.report.figures import hypervolume_figure, spend_figure
from tracker.report.frontier_chart import frontier_caption, frontier_figure
from tracker.report.headlines import Headline, headlines
from tracker.report.style import PLOTLY_CONFIG
from tracker.report.tables import (
    confirmed_frontier_table,
    frontier_csv,
    frontier_json,
    runs_csv,
    runs_table,
    searched_settings,
    spread_settings,
)
from tracker.report.words import decimals_for, percent, usd
from tracker.store.home import Home
from tracker.store.run_table import StudyTable, list_studies, read_study_table

REFRESH_SECONDS = 3.0
RUNNING = "running"
BADGES = {RUNNING: "blue", "completed": "green", "stopped": "orange", "paused": "violet"}


def show() -> None:
    """The page: choose a study, see it."""
    st.title("Quality against price")
    tracking_uri = Home.find().tracking_uri
    try:
        studies = list_studies(tracking_uri)
    except TrackerError as error:
        st.error(literal(str(error)))
        return
    if not studies:
        st.fragment(_wait_for_a_study, run_every=REFRESH_SECONDS)(tracking_uri)
        return
    states = {study.name: study.state for study in studies}
    name = st.selectbox("Study", list(states), key="study", bind="query-params")
    if name is None:
        return
    # Streamlit draws a chart anew when its data change, zoomed out: who looks closely can stop the clock.
    live = states[name] == RUNNING and st.toggle("Follow while it runs", value=True, key="follow")
    st.fragment(_show_study, run_every=REFRESH_SECONDS if live else None)(tracking_uri, name, live)


def _wait_for_a_study(tracking_uri: str) -> None:
    if list_studies(tracking_uri):
        st.rerun()
    st.info(f"There is no study yet in {literal(str(Home.find().path))}. Start one, and it appears here:")
    st.code("tracker run experiments/studies/docstrings.toml", language="bash")


def _show_study(tracking_uri: str, name: str, live: bool) -> None:
    try:
        table = read_study_table(tracking_uri, name)
    except StudyNotFoundError:
        st.rerun()  # it was deleted: choose anew from what there is
    except TrackerError as error:
        st.error(literal(str(error)))
        return
    if live and table.state != RUNNING:
        st.rerun()  # the last refresh: what follows needs no clock
    _state_line(table, live)
    _answers(headlines(table))
    if table.checkpoints.empty:
        st.info("No run of this study has reached a checkpoint yet, so there is no frontier to show.")
    else:
        _frontier(table)
    _spend(table)
    with st.expander("Every run"):
        st.dataframe(runs_table(table), hide_index=True, key="runs")
    _downloads(table)


def _state_line(table: StudyTable, live: bool) -> None:
    clock = f"Updated {datetime.now():%H:%M:%S}, every {REFRESH_SECONDS:g} s" if live else ""
    book = f"price book {literal(table.price_book)}"
    colour = BADGES.get(table.state, "gray")
    st.markdown(f":{colour}-badge[{literal(table.state)}] {' · '.join(filter(None, [book, literal(clock)]))}")


def _answers(answers: list[Headline]) -> None:
    """The short answers side by side, the comparisons with baselines below them."""
    cards = [answer for answer in answers if not answer.baseline]
    for column, answer in zip(st.columns(len(cards)), cards, strict=True):
        column.metric(literal(answer.title), answer.figure)
        column.caption(literal(answer.sentence))
    for answer in answers:
        if answer.baseline:
            st.markdown(f"**{literal(answer.title)}**: {literal(answer.figure)} {literal(answer.sentence)}")


def _frontier(table: StudyTable) -> None:
    """The chart, and its points as numbers with the settings that the search chose."""
    st.plotly_chart(
        frontier_figure(table),
        key="frontier",
        config=PLOTLY_CONFIG,
        alt=f"Quality against price of study {table.study}; the same points are in the table below",
    )
    st.caption(literal(frontier_caption(table)))
    frontier, searched = confirmed_frontier_table(table), searched_settings(table)
    number = st.column_config.NumberColumn
    named: dict[str, Any] = {
        "trial": number("trial", format="#%d"),
        "epoch": "epoch",
        "quality": number(table.quality.name, format="%.4f"),
        "price_usd": number("price", format=_dollars(frontier["price_usd"])),
        "usd_per_point": number(
            "one more point",
            format=_dollars(frontier["usd_per_point"]),
            help="What 0.01 of quality costs on the way from the row above",
        ),
        "wall_seconds": number("seconds", format="%.1f"),
        "test_accuracy": number("test accuracy", format="%.4f"),
        **{f"settings.{name}": name for name in searched},
        "sku": "billed as",
    }
    named |= {
        "repeats": "repeats",
        "quality_mean": number("mean of repeats", format="%.4f"),
        "quality_low": number("95 % from", format="%.4f"),
        "quality_high": number("to", format="%.4f"),
        "probability_on_frontier": number("on the frontier", format="percent", help="How probable, by the repeats"),
        "tied_with": "tied with",
    }
    rows = spread_settings(frontier, searched)
    for sentence in confirmation_sentences(table):
        st.caption(literal(sentence))
    st.dataframe(rows, hide_index=True, key="frontier_table", column_order=list(named), column_config=named)


def _dollars(column: pd.Series[float]) -> str:
    """A number format that shows the smallest amount of a column with three digits, in all its rows alike."""
    return f"$%.{decimals_for(float(column.min()))}f"


def _downloads(table: StudyTable) -> None:
    files = {
        "frontier.csv": ("text/csv", lambda: frontier_csv(table)),
        "runs.csv": ("text/csv", lambda: runs_csv(table)),
        "frontier.json": ("application/json", lambda: frontier_json(table)),
    }
    with st.container(horizontal=True):
        for name, (mime, data) in files.items():
            st.download_button(name, data, file_name=name, mime=mime, on_click="ignore", icon="⬇️", key=name)


def _spend(table: StudyTable) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("Where the money went")
        if table.budget_usd:
            share = table.spend_usd / table.budget_usd
            words = f"{usd(table.spend_usd)} of {usd(table.budget_usd)} ({percent(share)})"
            st.progress(min(share, 1.0), text=literal(words))
        st.plotly_chart(spend_figure(table), key="spend", config=PLOTLY_CONFIG, alt="Spend by state")
    with right:
        st.subheader("What the money bought")
        st.plotly_chart(hypervolume_figure(table), key="hypervolume", config=PLOTLY_CONFIG, alt="Hypervolume")
        st.caption("The area that the frontier dominates; where the line is flat, money bought no better frontier.")
