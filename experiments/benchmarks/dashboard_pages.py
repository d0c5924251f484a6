"""How fast the dashboard answers in a real browser, on a store with one large study."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from experiments.benchmarks.large_store import STUDY
from experiments.benchmarks.read_by_others import VISITS, browser_of, free_port, wait_until_answered
from tracker.store.home import Home

WAIT_MS = 600_000
OTHER_SKU = "gcp/e2-standard-2"
"""Another machine of the kind that the study was run on."""
REFRESHES = 6
"""How many refreshes of a live page are waited for; the mean of their CPU time counts."""
_DRAWN = ".plot[data-drawn]"


@dataclass(frozen=True, slots=True)
class Place:
    """A dashboard that is served, and a browser."""

    address: str
    server: psutil.Process
    browser: Any  # a context of one: what it loaded once it keeps

    def opened(self, page_name: str = "") -> tuple[Any, float]:
        """A new session at a page of the study, and the seconds until its first chart is drawn."""
        page = self.browser.new_page()
        began = time.perf_counter()
        page.goto(f"{self.address}/{page_name}?study={STUDY}")
        page.wait_for_selector(_DRAWN, timeout=WAIT_MS)
        return page, time.perf_counter() - began


@contextlib.contextmanager
def browsing(home: Home) -> Iterator[Place]:
    """A dashboard of ``home``, just started, and a browser with an empty cache."""
    from playwright.sync_api import sync_playwright  # only the tests and this benchmark have it

    port = free_port()
    words = ["dashboard", "--headless", "--home", str(home.path), "--port", str(port)]
    command = [sys.executable, "-m", "tracker.cli.main", *words]
    with (
        tempfile.TemporaryDirectory(prefix="tracker-browser-") as profile,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server,
    ):
        try:
            wait_until_answered(f"http://127.0.0.1:{port}/_stcore/health", server)
            with sync_playwright() as playwright:
                context = browser_of(playwright, profile)
                yield Place(f"http://127.0.0.1:{port}", psutil.Process(server.pid), context)
                context.close()
        finally:
            server.terminate()


def measure_page(place: Place) -> dict[str, float]:
    """Seconds of the first page, of later ones (the median), and of answers to a slider, a selection and a scenario."""
    page, cold = place.opened()
    warm = []
    for _ in range(VISITS):
        page.close()
        page, seconds = place.opened()
        warm.append(seconds)
    page.wait_for_timeout(3000)
    found = {
        "page, cold": cold,
        "page, warm": statistics.median(warm),
        "a slider answers": _slide(page),
        "a selection answers": _click(page),
    }
    page.close()
    prices, _ = place.opened("prices")
    prices.wait_for_timeout(3000)
    found["a scenario answers"] = _choose_sku(prices)
    prices.close()
    return found


def measure_refresh(place: Place, home: Home) -> float:
    """Seconds of the server's CPU for each refresh of a live page while one run gets a checkpoint every second."""
    with contextlib.closing(sqlite3.connect(home.mlflow_database, timeout=60)) as database, _running(database) as run:
        page, _ = place.opened()
        page.wait_for_timeout(5000)
        clock = page.get_by_text(re.compile(r"updated \d\d:\d\d:\d\d"))
        shown, used = {clock.inner_text()}, _cpu_seconds(place.server)
        step, deadline = 1000, time.monotonic() + 300
        while len(shown) <= REFRESHES and time.monotonic() < deadline:
            step += 1
            _add_checkpoint(database, run, step)
            page.wait_for_timeout(1000)
            shown.add(clock.inner_text())
        refreshes = len(shown) - 1
        seconds = _cpu_seconds(place.server) - used
        page.close()
    return seconds / refreshes if refreshes else float("inf")


def _slide(page: Any) -> float:
    """From a key on the target's slider until its sentence is another one."""
    slider = page.get_by_role("slider").first
    slider.scroll_into_view_if_needed()
    question = page.get_by_text("heapest reaching").first
    before = question.inner_text()
    slider.focus()
    began = time.perf_counter()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([text]) => ![...document.querySelectorAll('p')].some((each) => each.innerText === text)",
        arg=[before],
        timeout=WAIT_MS,
    )
    return time.perf_counter() - began


def _click(page: Any) -> float:
    """From a click on a point of the frontier until its details are there."""
    points = page.locator(".plot .scatterlayer .points path")
    for at in range(points.count() // 2, points.count()):
        box = points.nth(at).bounding_box()
        if box is None:
            continue
        points.nth(at).scroll_into_view_if_needed()
        box = points.nth(at).bounding_box()
        before = page.url
        began = time.perf_counter()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        with contextlib.suppress(Exception):
            page.wait_for_url(lambda url, before=before: url != before and "point=" in url, timeout=5000)
            page.get_by_text("Click a point of the chart").wait_for(state="detached", timeout=WAIT_MS)
            return time.perf_counter() - began
    return float("inf")


def _choose_sku(page: Any) -> float:
    """From the choice of another machine's rate until both frontiers are drawn."""
    page.get_by_role("combobox", name="Billed as").first.click()
    page.keyboard.type(OTHER_SKU)
    began = time.perf_counter()
    page.keyboard.press("Enter")
    page.get_by_text("Back to the billed prices").wait_for(timeout=WAIT_MS)
    page.wait_for_function("document.querySelector('.plot')?._fullData?.length > 1", timeout=WAIT_MS)
    return time.perf_counter() - began


@contextlib.contextmanager
def _running(database: sqlite3.Connection) -> Iterator[str]:
    """The study as if it ran, with one run under way; as it was afterwards."""
    (run,) = database.execute(
        "select run_uuid from runs where status = 'FINISHED' order by start_time limit 1"
    ).fetchone()
    study = "select run_uuid from tags where key = 'tracker.role' and value = 'study'"
    _, ended = database.execute("select status, end_time from runs where run_uuid = ?", [run]).fetchone()
    state = "update tags set value = ? where key = 'tracker.state' and run_uuid"
    with database:
        database.execute(f"{state} in ({study})", ["running"])
        database.execute(f"{state} = ?", ["running", run])
        database.execute("update runs set status = 'RUNNING' where run_uuid = ?", [run])
    try:
        yield run
    finally:
        with database:
            database.execute(f"{state} in ({study})", ["completed"])
            database.execute(f"{state} = ?", ["completed", run])
            database.execute("update runs set status = 'FINISHED', end_time = ? where run_uuid = ?", [ended, run])
            database.execute("delete from metrics where run_uuid = ? and step > 1000", [run])


def _add_checkpoint(database: sqlite3.Connection, run: str, step: int) -> None:
    now = int(time.time() * 1000)
    values = {"accuracy": 0.5, "price_usd": 0.01 * step, "wall_seconds": float(step)}
    with database:
        database.executemany(
            "insert into metrics (run_uuid, key, step, timestamp, value, is_nan) values (?, ?, ?, ?, ?, 0)",
            [(run, name, step, now, value) for name, value in values.items()],
        )


def _cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)
