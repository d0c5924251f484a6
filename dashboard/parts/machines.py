"""The machines of a cluster that a study has had: what each cost, and for what."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.parts.trials import spend_column
from dashboard.text import literal
from tracker.report.machines import LINES, machines_by_sku, machines_table
from tracker.report.words import NOTHING, money, several
from tracker.store.run_table import StudyTable

BY_MACHINE, BY_SKU = "each machine", "by SKU"


def machines(table: StudyTable) -> None:
    """What whole machines cost; nothing of a study on one machine."""
    rows = machines_table(table)
    if rows.empty:
        return
    st.header("Machines")
    view = st.segmented_control(
        "Machines shown", [BY_MACHINE, BY_SKU], default=BY_MACHINE, key="machines-by", label_visibility="collapsed"
    )
    shown = machines_by_sku(rows) if view == BY_SKU else rows
    has_gpus = bool((rows["accelerators"] > 0).any())
    shown = shown.assign(**{name: table.unit.of(shown[name].to_numpy()) for name in (*LINES, "usd")})
    columns: dict[str, Any] = {
        **({"machines": "machines"} if view == BY_SKU else {"address": "machine", "cores": "cores"}),
        **({"accelerators": "GPUs", "accelerator_model": "model"} if view != BY_SKU and has_gpus else {}),
        "sku": st.column_config.TextColumn("billed as", help="Empty where nobody knows what it costs"),
        "market": "market",
        "running": st.column_config.NumberColumn("running", help="Attempts there now"),
        "usd_per_hour": st.column_config.NumberColumn("$ an hour", format="%.4g", help="The whole machine"),
        "hours": st.column_config.NumberColumn("hours", format="%.3f", help="For which the study had it"),
        **{name: _line(table, name) for name in LINES},
        "usd": spend_column(table.unit, "together"),
    }
    st.dataframe(
        shown, hide_index=True, key="machines", column_order=list(columns), column_config=columns, placeholder=NOTHING
    )
    usd, idle = (money(float(rows[name].sum()), table.unit) for name in ("usd", "idle_usd"))
    there = f"{several(len(rows), 'machine')}, {usd} in all, of which {idle} idle"
    st.caption(literal(f"{there}. Whole machines, for as long as the study had them; trials are billed their share."))


def _line(table: StudyTable, name: str) -> Any:
    return st.column_config.NumberColumn(
        f"{name.removesuffix('_usd')}, {table.unit.symbol.strip()}", format="%.4g", help=LINES[name].capitalize()
    )
