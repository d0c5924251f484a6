"""The script that Streamlit runs for every visitor, from the top at every change."""

from __future__ import annotations

from dashboard.app import PAGES
from dashboard.frame import serve

serve(PAGES)
