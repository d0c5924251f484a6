"""What ``streamlit run`` serves: the app, and beside it plotly.js as it came with the plotly package.

The charts' own component loads it from there, so that nothing comes from a network.
"""

from __future__ import annotations

from http import HTTPStatus
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
_EARLY = f"""<link rel="preload" as="script" href="{PLOTLY_JS_PATH}"><script>
addEventListener("load", () => window.requestIdleCallback?.(() => {{
  if (document.querySelector('script[src="{PLOTLY_JS_PATH}"]')) return;
  const script = document.createElement("script");
  script.src = "{PLOTLY_JS_PATH}";
  document.head.append(script);
}}));
</script>""".encode()


async def plotly_js(request: Request) -> FileResponse:  # noqa: ARG001 - starlette's signature
    """The library that draws the charts; its address has the version, so a browser may keep it."""
    return FileResponse(
        _PLOTLY_JS, media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


class PlotlyEarly:
    """Has a browser fetch plotly.js with the page, and run it once it waits for the study: not after all else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        start: Message | None = None
        page = b""

        async def send_with_script(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start" and _is_page(scope, message):
                start = message
            elif start is None:
                await send(message)
            else:
                page += message.get("body", b"")
                if not message.get("more_body"):
                    page = page.replace(b"</head>", _EARLY + b"</head>", 1)
                    MutableHeaders(scope=start)["content-length"] = str(len(page))
                    await send(start)
                    await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, send_with_script)


def _is_page(scope: Scope, start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    is_html = headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers
    return is_html and scope["method"] == "GET" and start["status"] == HTTPStatus.OK


app = st.App(
    Path(__file__).parent / "served" / "script.py",
    routes=[Route(PLOTLY_JS_PATH, plotly_js)],
    middleware=[Middleware(PlotlyEarly)],
)
