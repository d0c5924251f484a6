"""The frontier on hardware that nobody has rented, chosen by name."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import studies, view
from dashboard.parts.chart import chart
from dashboard.text import literal
from tracker.errors import RequestError, TrackerError
from tracker.report.prediction_chart import prediction_figure
from tracker.report.prediction_targets import ALL, targets_of
from tracker.report.prediction_words import prediction_sentences
from tracker.report.predictions import frontier_predictions
from tracker.store.run_table import StudyTable

_COLUMNS: dict[str, Any] = {
    "trial": "trial",
    "epoch": "epoch",
    "quality": st.column_config.NumberColumn("quality", format="%.4g"),
    "on": "on",
    "sku": "SKU",
    "market": "market",
    "rests_on": "rests on",
    "refused": "not predicted because",
}
_PRICES = {"price_usd": "price", "price_usd_low": "from", "price_usd_high": "to"}
_TIMES = {"wall_seconds": "time, s", "wall_seconds_low": "from, s", "wall_seconds_high": "to, s"}


def predictions(table: StudyTable) -> None:
    """A choice of hardware, and what the frontier's runs would take and cost there."""
    st.header("On hardware that you have not rented")
    try:
        names = [target.name for target in targets_of(table, studies.home(), [ALL])]
    except RequestError as error:
        st.caption(literal(str(error)))
        return
    chosen = [name for name in view.HARDWARE.all() if name in names]
    found = st.multiselect(
        "Hardware", names, default=chosen, key="hardware", placeholder="Choose accelerators to predict for"
    )
    view.HARDWARE.set(found)
    if not found:
        return
    try:
        targets = targets_of(table, studies.home(), found)
        rows = frontier_predictions(table, targets)
    except TrackerError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    unit = table.unit
    shown = rows.assign(**{name: unit.of(rows[name].to_numpy()) for name in _PRICES})
    shown = shown[[*_COLUMNS, *_PRICES, *_TIMES]]
    prices = {
        name: st.column_config.NumberColumn(f"{label}, {unit.symbol.strip()}", format="%.4g")
        for name, label in _PRICES.items()
    }
    times = {name: st.column_config.NumberColumn(label, format="%.4g") for name, label in _TIMES.items()}
    chart(
        prediction_figure(table, rows),
        "predictions",
        alt=f"Predicted prices of the frontier of {table.study} on {', '.join(found)}; the table has the ranges",
        twin=shown,
        file_name=f"{table.study}-predictions",
        columns={**_COLUMNS, **prices, **times},
    )
    for sentence in prediction_sentences(table, rows, targets):
        st.caption(literal(sentence))
