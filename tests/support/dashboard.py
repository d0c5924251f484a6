"""The dashboard as the command serves it, and its pages in a real browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tests.support.command import ROOT

MOST_SECONDS = 300.0
MOST_MS = MOST_SECONDS * 1000
PROBES = ("/_stcore/health", "/_stcore/host-config")
"""Streamlit looks for its server below the page's own address first: a 404 that it expects."""
DRAWN = """
    document.querySelector('[data-test-script-state=notRunning]') && document.querySelector('[data-testid=stMain] h1')
    && !document.querySelector('.stSpinner') && !document.querySelector('[data-testid=stSkeleton]')
    && [...document.querySelectorAll('.stBidiComponent')].every((each) => each.querySelector('.plot')?.dataset.drawn)
"""


@contextlib.contextmanager
def served_dashboard(home, cwd=None):
    """The address of ``tracker dashboard --home HOME``; its process ends with the context."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from dashboard.command import dashboard; dashboard()"
    command = [sys.executable, "-c", code, "--home", str(home), "--port", str(port), "--headless"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, cwd=cwd, **quiet) as app:
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            app.terminate()


def _wait_until_healthy(address):
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health"):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError(f"the dashboard at {address} did not come up in {MOST_SECONDS} s")


@contextlib.contextmanager
def watched_page(browser, address, **context):
    """A page of the browser; ``page.faults``: errors in it and its console, and what it asked of others."""
    with contextlib.closing(browser.new_context(**context)) as opened:
        page = opened.new_page()
        page.set_default_timeout(MOST_MS)
        page.faults = []

        def console(message):
            if message.type == "error" and not message.location.get("url", "").endswith(PROBES):
                page.faults.append(f"console: {message.text} ({message.location})")

        def request(asked):
            if not asked.url.startswith((f"{address}/", "data:", "blob:", "about:")):
                page.faults.append(f"request: {asked.url}")

        page.on("pageerror", lambda error: page.faults.append(f"error: {error}"))
        page.on("console", console)
        page.on("request", request)
        yield page


def wait_until_drawn(page):
    """Until its script has run and every chart is there."""
    page.wait_for_function(DRAWN, polling=100)  # else it looks, and the page is drawn, 60 times a second
