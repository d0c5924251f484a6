"""Every page in a real browser: no error, nothing asked of others, nothing too wide, and accessible to everybody."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from dashboard.app import PAGES
from tests.support.dashboard import wait_until_drawn, watched_page

WIDE, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
NAME = "just <started> $1 🦊"
NOT_OURS = ()
"""Rules of axe that Streamlit's own markup breaks, each with the reason."""


def violations(page):
    """What axe-core finds: the rule, and where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found
        if rule["id"] not in NOT_OURS
        for node in rule["nodes"]
    ]


def check(page):
    """One page, as it is now."""
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.locator("h1").count() == 1
    assert violations(page) == []
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth")
    assert page.faults == []


def follow(page, entry):
    """Click a page's link in the menu; the first page is there already."""
    wait_until_drawn(page)
    if entry is PAGES[0]:
        return
    before = page.locator("h1").inner_text()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=entry.title).click()
    page.wait_for_url(f"**/{entry.path}*")
    page.wait_for_function("(before) => document.querySelector('h1')?.innerText !== before", arg=before, polling=100)
    wait_until_drawn(page)


@pytest.mark.browser
def test_every_page_of_the_menu_is_whole_on_a_wide_light_screen(browser, served):
    with watched_page(browser, served, viewport=WIDE, color_scheme="light") as page:
        page.goto(f"{served}/?study=docstrings")
        for entry in PAGES:
            follow(page, entry)
            check(page)


@pytest.mark.browser
def test_every_page_is_whole_on_a_dark_phone_and_opens_by_its_link(browser, served, run_ids):
    with watched_page(browser, served, viewport=PHONE, color_scheme="dark") as page:
        link = urlencode({"study": "docstrings", "point": f"{run_ids['#5']}@2", "curves": "1"})
        for entry in PAGES:
            page.goto(f"{served}/{'' if entry is PAGES[0] else entry.path}?{link}")
            wait_until_drawn(page)
            check(page)


@pytest.mark.browser
def test_a_name_stays_text_on_every_page_and_the_keyboard_s_place_is_seen(browser, served):
    with watched_page(browser, served, viewport=WIDE) as page:
        page.goto(f"{served}/?{urlencode({'study': NAME})}")
        for entry in PAGES:
            follow(page, entry)
            assert page.locator("started").count() == 0
            assert page.locator("[data-testid=stException]").count() == 0
            if entry.of_study:
                assert page.get_by_test_id("stSidebar").locator("input").input_value() == NAME
        page.goto(f"{served}/study?study=docstrings")
        wait_until_drawn(page)
        page.get_by_role("button", name="PNG").first.focus()
        outlines = []
        for key in ("Tab", "Shift+Tab"):
            page.keyboard.press(key)
            outlines.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        assert outlines == ["solid", "solid"]
        assert page.faults == []
