"""What ``streamlit run`` serves: the app, and beside it plotly.js as it came with the plotly package.

The charts' own component loads it from there, so that nothing comes from a network.
"""

from __future__ import annotations

from pathlib import Path

import plotly
import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.parts.chart import PLOTLY_JS_PATH

_PLOTLY_JS = Path(plotly.__file__).with_name("package_data") / "plotly.min.js"


async def plotly_js(request: Request) -> FileResponse:  # noqa: ARG001 - starlette's signature
    """The library that draws the charts; its address has the version, so a browser may keep it."""
    return FileResponse(
        _PLOTLY_JS, media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


class PlotlyEarly:
    """Tells a browser with the page that it will need plotly.js, so that both come at the same time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""

        async def send_with_link(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("Link", f"<{PLOTLY_JS_PATH}>; rel=preload; as=script")
            await send(message)

        await self._app(scope, receive, send_with_link)


app = st.App(
    Path(__file__).parent / "served" / "script.py",
    routes=[Route(PLOTLY_JS_PATH, plotly_js)],
    middleware=[Middleware(PlotlyEarly)],
)
