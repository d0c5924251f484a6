"""Prices, Reports and Knobs in a real browser."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario, read_scenario_text

LONG = 300_000


@pytest.fixture
def page(browser):
    """A page that keeps its faults, and every address that was asked for."""
    page = browser.new_page(viewport={"width": 1400, "height": 1400})
    page.faults, page.asked = [], []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    page.close()


@pytest.mark.browser
def test_a_built_scenario_re_prices_the_page_and_is_downloaded(page, served, tmp_path):
    page.goto(f"{served}/prices?study=docstrings")
    page.get_by_role("button", name="Add a change of prices").click(timeout=LONG)
    factor = page.get_by_label("Factor")
    factor.fill("0.5")
    factor.press("Enter")
    page.get_by_text("The same quality costs 0.5 times as much.").wait_for(timeout=LONG)
    wanted = Scenario(changes=(RateChange(factor=0.5),))
    assert read_scenario_text(parse_qs(urlsplit(page.url).query)["scenario"][0]) == wanted
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=False).first.click()
    path = tmp_path / "scenario.toml"
    path.write_bytes(Path(download.value.path()).read_bytes())
    assert read_scenario(path) == wanted
    assert page.faults == []


@pytest.mark.browser
def test_the_report_is_previewed_without_a_network(page, served):
    page.goto(f"{served}/reports?study=docstrings")
    report = page.frame_locator("iframe[data-testid=stIFrame]")
    report.get_by_role("heading", name="docstrings").wait_for(timeout=LONG)
    report.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=LONG)
    assert page.faults == []
    assert [url for url in page.asked if not url.startswith((served, "data:", "blob:", "about:"))] == []


@pytest.mark.browser
def test_every_chart_of_the_knobs_is_drawn(page, served):
    page.goto(f"{served}/knobs?study=docstrings")
    page.locator(".js-plotly-plot .parcoords-line-layers, .js-plotly-plot canvas").first.wait_for(timeout=LONG)
    page.locator(".js-plotly-plot .heatmaplayer image").first.wait_for(state="attached", timeout=LONG)
    assert page.faults == []
