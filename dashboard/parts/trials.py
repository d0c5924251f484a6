"""The trials of a study as tables: running ones, reasons of the others, and the latest ones."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.text import literal
from tracker.pricing.money_unit import MoneyUnit
from tracker.report.trials import MOST_ROWS, STATES, latest_trials, reasons_table, running_table, trial_counts
from tracker.report.words import NOTHING, duration, money, several
from tracker.store.run_table import StudyTable

MOST_REASONS = 12


def running(table: StudyTable) -> None:
    """The running attempts; nothing where there are none."""
    rows = running_table(table, time.time())
    if rows.empty:
        return
    st.header("Running")
    rows["age_seconds"] = rows["age_seconds"].map(duration)
    rows["quiet_seconds"] = rows["quiet_seconds"].map(lambda seconds: f"{duration(seconds)} ago")
    rows["price_usd"] = table.unit.of(rows["price_usd"].to_numpy())
    columns: dict[str, Any] = {
        "label": "run",
        "age_seconds": st.column_config.TextColumn("age", help="Since its first attempt was requested"),
        "epoch": st.column_config.NumberColumn("epoch", help="Of its last checkpoint; 0 before one"),
        "quality": st.column_config.NumberColumn(table.quality.name, format="%.4f", help="At its last checkpoint"),
        "price_usd": spend_column(table.unit, "until its last checkpoint"),
        "quiet_seconds": st.column_config.TextColumn("last sign", help="Its last checkpoint, or its start"),
        "attempts": st.column_config.NumberColumn("attempts", help="Those that ended, until this one does"),
    }
    st.dataframe(
        rows, hide_index=True, key="running", column_order=list(columns), column_config=columns, placeholder=NOTHING
    )


def reasons(table: StudyTable) -> None:
    """Why runs are paused, stopped, failed or killed, each reason once; nothing where there is none."""
    rows = reasons_table(table)
    if rows.empty:
        return
    st.header("Why trials are paused or ended early")
    messages = rows["message"].where(rows["message"] != "", rows["reason"])
    shown = pd.DataFrame(
        {
            "state": rows["state"],
            "reason": messages.map(literal),
            "which": rows["labels"].map(literal),
            "spent in total": [literal(money(usd, table.unit)) for usd in rows["price_usd"]],
        }
    )
    st.table(shown.head(MOST_REASONS), hide_index=True, border="horizontal")
    if len(rows) > MOST_REASONS:
        left = rows.iloc[MOST_REASONS:]
        usd = money(float(left["price_usd"].sum()), table.unit)
        st.caption(
            literal(f"{len(left):,} more reasons, of {several(int(left['runs'].sum()), 'run')} for {usd} in all.")
        )


def trials(table: StudyTable) -> None:
    """The latest trials in the chosen states."""
    counts = {state: count for state, count in trial_counts(table).items() if count}
    if not counts:
        return
    st.header("Trials")
    options = [state for state in STATES if state in counts]
    chosen = st.pills(
        "States",
        options,
        selection_mode="multi",
        key="trial-states",
        label_visibility="collapsed",
        format_func=lambda state: f"{state} {counts.get(state, 0):,}",
    )
    states = [state for state in chosen if state in options] or options
    rows = latest_trials(table, states)
    total = sum(counts[state] for state in states)
    if total > len(rows):
        st.caption(literal(f"The latest {MOST_ROWS} of {several(total, 'trial')}; `tracker runs` lists all."))
    st.dataframe(
        _shown(rows, table.unit),
        hide_index=True,
        key="trials",
        column_config=_trial_columns(table),
        height="auto",
        placeholder=NOTHING,
    )


def _shown(rows: pd.DataFrame, unit: MoneyUnit) -> pd.DataFrame:
    shown = rows.drop(columns=["run", "run_id"])
    shown["price_usd"] = unit.of(shown["price_usd"].to_numpy(dtype=float))
    return shown


def _trial_columns(table: StudyTable) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "label": "trial",
        "state": "state",
        "reason": st.column_config.TextColumn("reason", help="One word; the sentences are in the table above"),
        "epoch": number("epoch", help="Of its last checkpoint; 0 without one"),
        "quality": number(table.quality.name, format="%.4f"),
        "price_usd": spend_column(table.unit, "all its attempts"),
        "wall_seconds": number("seconds", format="%.1f", help="Of work, over all its attempts"),
        "attempts": number("attempts"),
    }


def spend_column(unit: MoneyUnit, of_what: str) -> Any:
    """A column of amounts in the unit of its study."""
    return st.column_config.NumberColumn(
        f"spent, {unit.symbol.strip()}", format="%.4g", help=f"In {unit.name}: {of_what}"
    )
