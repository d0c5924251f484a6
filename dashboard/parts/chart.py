"""A chart: drawn in place, without a flicker, with what was zoomed and selected kept while its data change.

Below it are its files (PNG, SVG, CSV) and its twin, the same as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.io.json import to_json_plotly

from tracker.export.cells import harmless
from tracker.report.style import PLOTLY_CONFIG
from tracker.report.words import NOTHING

PLOTLY_JS_PATH = f"/plotly-{version('plotly')}.min.js"
_FILES = Path(__file__).parent


@st.cache_resource
def _component() -> Any:
    return st.components.v2.component(
        "tracker_chart",
        html='<figure class="chart" tabindex="0"><div class="plot"></div></figure><div class="files"></div>',
        css=(_FILES / "chart.css").read_text("utf-8"),
        js=(_FILES / "chart.js").read_text("utf-8"),
        isolate_styles=False,
    )


def chart(
    figure: go.Figure,
    key: str,
    *,
    alt: str,
    twin: pd.DataFrame,
    file_name: str,
    select: bool = False,
    selected: Sequence[str] = (),
    columns: Mapping[str, Any] | None = None,
) -> list[str]:
    """Draw a figure; what of it is selected now, as the texts in ``customdata`` of the points.

    ``alt`` says what it shows to who cannot see it, ``twin`` is the same as a table, which is what its CSV file has;
    ``columns`` as st.dataframe's column_config. With ``select``, a click or a box selects points; ``selected`` are
    those that are selected now, which the figure shows as it likes.
    """
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in file_name)[:80]
    spec = figure.to_dict()
    result = _component()(
        key=key,
        data={
            "traces": to_json_plotly(spec["data"]),
            "layout": to_json_plotly(spec["layout"]),
            "config": PLOTLY_CONFIG,
            "alt": alt,
            "file": name,
            "select": select,
            "selected": list(selected),
            "plotly": PLOTLY_JS_PATH,
        },
        default={"selected": list(selected)},
        on_selected_change=_nothing,
        height="content",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Table", icon=":material/table:", key=f"{key}-twin-popover", width="content"):
            st.dataframe(twin, hide_index=True, column_config=columns, key=f"{key}-twin", placeholder=NOTHING)
        st.download_button(
            "CSV",
            lambda: _csv(twin),
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key=f"{key}-csv",
            type="tertiary",
        )
    chosen = getattr(result, "selected", None) if select else None
    return list(selected) if chosen is None else [str(each) for each in chosen]


def _csv(twin: pd.DataFrame) -> str:
    """The table as csv, in which a spreadsheet finds no formula that someone wrote as a name."""
    texts = twin.rename(columns=lambda name: harmless(str(name)))
    texts = texts.map(lambda cell: harmless(cell) if isinstance(cell, str) else cell)
    return texts.to_csv(index=False, lineterminator="\n")


def _nothing() -> None:
    """Streamlit keeps a state of a component where something listens to it."""
