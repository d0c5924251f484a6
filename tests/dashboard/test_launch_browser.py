"""A study launched in the real browser: followed as it runs, its page as it was left, stopped from there."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.support.command import ROOT
from tests.support.dashboard import served_dashboard
from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker.errors import StudyNotFoundError
from tracker.report.status import standing
from tracker.runner.detached import stop_study
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home
from tracker.study.toml_text import to_toml

MOST_MS = 300_000
NAME = "from <b>the page</b>"


@pytest.fixture
def address(tmp_path):
    """The app of a home without a study, served in the repository's folder: that is where training code is found."""
    put_mlflow_database(tmp_path / "home")
    with served_dashboard(tmp_path / "home", cwd=ROOT) as address:
        yield address
    with contextlib.suppress(StudyNotFoundError):  # one that a failed test leaves would keep the cores of others
        stop_study(NAME, home=tmp_path / "home")


def zoomed_to(page):
    return page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].at(-1).layout.xaxis.range.map(Math.round)")


@pytest.mark.browser
def test_a_study_is_launched_followed_and_stopped(browser, address, tmp_path):
    home, errors = Home(tmp_path / "home"), []
    (tmp_path / "files").mkdir()
    long = digits(name=NAME, settings={"epochs": 5000, "epoch_seconds": 0.5}, budget={"trials": 1, "usd": 1.0})
    (tmp_path / "files" / "long.toml").write_text(to_toml(long))
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    page.set_default_timeout(MOST_MS)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/launch?file={tmp_path / 'files' / 'long.toml'}")
    page.get_by_role("button", name="Start the study").click()
    page.wait_for_url("**/study?study=from*")
    page.get_by_role("heading", name="Running", exact=True).wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    # What was zoomed stays so while new checkpoints come in.
    page.evaluate("Plotly.relayout([...document.querySelectorAll('.js-plotly-plot')].at(-1), {'xaxis.range': [3, 9]})")
    seen = len(table_of(home, NAME).checkpoints)
    deadline = time.monotonic() + MOST_MS / 1000
    while len(table_of(home, NAME).checkpoints) <= seen:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    page.wait_for_timeout(6_000)  # the page has read it by then, or has not: either way it is zoomed
    assert zoomed_to(page) == [3, 9]
    assert page.locator("b", has_text="the page").count() == 0  # a name is text
    page.get_by_role("button", name="Stop").first.click()
    page.get_by_role("button", name="Stop the study").click()
    page.get_by_text("stopped", exact=True).locator("visible=true").first.wait_for()
    assert standing(table_of(home, NAME), home) == "stopped"
    page.get_by_role("button", name="Resume").first.wait_for()
    assert errors == []
    page.close()
    assert stop_study(NAME, home=home.path) is False
