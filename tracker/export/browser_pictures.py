"""Plotly figures as pictures by kaleido, which has a browser draw them; the browser gets a process and a time limit.

Nothing is downloaded: kaleido takes plotly.js from the plotly package. A browser that does not start or hangs costs
LIMIT_SECONDS once, and then the caller draws without one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import psutil

LIMIT_SECONDS = 40.0
SCALE = {"png": 2, "svg": 1}
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "brave",
)


def browser_pictures(figures: Sequence[go.Figure], kind: str, width: int) -> list[bytes] | None:
    """Figures as images of ``kind`` "png" or "svg", ``width`` pixels wide; None where no browser draws them in time."""
    if importlib.util.find_spec("kaleido") is None or _browser() is None:
        return None
    asked = [
        {"figure": json.loads(_on_paper(figure, kind).to_json()), "opts": _options(figure, kind, width)}
        for figure in figures
    ]
    answer = _ask(json.dumps(asked).encode())
    try:
        return [base64.b64decode(each) for each in json.loads(answer)]
    except ValueError:
        return None


def _browser() -> str | None:
    given = os.environ.get("BROWSER_PATH")
    return given or next(filter(None, map(shutil.which, BROWSERS)), None)


def _on_paper(figure: go.Figure, kind: str) -> go.Figure:
    return go.Figure(figure).update_layout(paper_bgcolor="white") if kind == "png" else figure


def _options(figure: go.Figure, kind: str, width: int) -> dict[str, Any]:
    return {"format": kind, "width": width, "height": int(figure.layout.height or 450), "scale": SCALE[kind]}


def _ask(asked: bytes) -> bytes:
    """What a process of its own answers; nothing where it fails or takes too long. All that it started ends with it."""
    command = [sys.executable, "-m", __name__]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:
        try:
            answer: bytes = process.communicate(asked, timeout=LIMIT_SECONDS)[0]
            return answer
        except subprocess.TimeoutExpired:
            return b""
        finally:
            _end(process.pid)


def _end(process: int) -> None:
    """Kill a process and all that it started, browsers with a session of their own too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process)
        family = [*parent.children(recursive=True), parent]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=5)


async def _draw_all(asked: list[dict[str, Any]]) -> list[str]:
    import kaleido  # only here: the process that asks can do without

    async with kaleido.Kaleido(timeout=LIMIT_SECONDS) as browser:
        drawn = [await browser.calc_fig(each["figure"], opts=each["opts"]) for each in asked]
    return [base64.b64encode(picture).decode() for picture in drawn]


def main() -> None:
    """Draw what stands on standard input; the process that ``browser_pictures`` starts."""
    print(json.dumps(asyncio.run(_draw_all(json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
