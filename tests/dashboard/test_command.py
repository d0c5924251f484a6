"""The command ``tracker dashboard``, and the app that it opens in a real browser."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from dashboard.command import dashboard, streamlit_command


def test_the_app_is_served_to_this_machine_only_and_counts_nobody():
    command = " ".join(streamlit_command(8600, headless=True))
    for option in (
        "--server.address 127.0.0.1",
        "--server.port 8600",
        "--server.headless true",
        "--browser.gatherUsageStats false",
    ):
        assert option in command
    assert "--server.port" not in streamlit_command(None, headless=False)


def test_an_impossible_port_is_refused():
    result = CliRunner().invoke(dashboard, ["--port", "70000"])
    assert result.exit_code == 2
    assert "70000" in result.output


@pytest.fixture(scope="module")
def address(home):
    """The app, started by the command on a free port; its process is the one that was started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from dashboard.command import dashboard; dashboard()"
    command = [sys.executable, "-c", code, "--home", str(home), "--port", str(port), "--headless"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as app:
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            app.terminate()


def wait_until_healthy(address, seconds=300.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health") as answer:
                assert answer.status == 200
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError(f"the dashboard at {address} did not come up in {seconds} s")


@pytest.mark.browser
def test_a_person_sees_the_frontier_and_takes_its_numbers_along(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 1800})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/?study=docstrings")
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=300_000)
    page.get_by_text("dominates 6 of 22 frontier points").wait_for()
    ticks = page.locator(".js-plotly-plot").first.locator(".xtick text")
    assert ticks.count() >= 4
    assert all(re.fullmatch(r"\$[\d,.]+", text) for text in ticks.all_text_contents())
    with page.expect_download() as download:
        page.get_by_role("button", name="frontier.json").click()
    document = json.loads(Path(download.value.path()).read_text())
    assert len(document["points"]) == 22
    assert document["references"][0]["dominates"] == 6
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    page.close()
