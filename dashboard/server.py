"""What ``streamlit run`` serves: the app, and beside it plotly.js as it came with the plotly package.

The charts' own component loads it from there, so that nothing comes from a network.
"""

from __future__ import annotations

from pathlib import Path

import plotly
import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from dashboard.parts.chart import PLOTLY_JS_PATH

_PLOTLY_JS = Path(plotly.__file__).with_name("package_data") / "plotly.min.js"


async def plotly_js(request: Request) -> FileResponse:  # noqa: ARG001 - starlette's signature
    """The library that draws the charts; its address has the version, so a browser may keep it."""
    return FileResponse(
        _PLOTLY_JS, media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


app = st.App(Path(__file__).parent / "served" / "script.py", routes=[Route(PLOTLY_JS_PATH, plotly_js)])
