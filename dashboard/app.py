"""The app that Streamlit runs: one page a question.

It reads the home that TRACKER_HOME names (./results without) and the MLflow store that
MLFLOW_TRACKING_URI names (the home's own without).
"""

from __future__ import annotations

import streamlit as st

from dashboard import frontier_page

st.set_page_config(page_title="Quality against price", page_icon="📈", layout="wide")
st.navigation([st.Page(frontier_page.show, title="Frontier", icon="📈", default=True)]).run()
