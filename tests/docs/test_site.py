"""The documentation as a site: whole, and read without a network."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it; a link that leads nowhere is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_page_fetches_nothing(site):
    for page in site.rglob("*.html"):
        fetched = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="(https?:[^"]*)"', page.read_text())
        assert not fetched, page


def test_every_reference_is_filled_in(site):
    text = (site / "reference" / "commands.html").read_text()
    assert "--compare-scenarios" in text
    assert not any("generated:" in page.read_text() for page in site.rglob("*.html"))


@pytest.mark.browser
def test_the_search_works_on_pages_that_are_opened_as_files(site, browser):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").first.fill("increment_seconds")
    page.locator(".md-search-result__item a").first.wait_for()
    found = [link.get_attribute("href") for link in page.locator(".md-search-result__item a").all()]
    assert any("study-file.html" in each for each in found)
    page.close()


@pytest.mark.browser
def test_a_console_block_is_copied_without_prompts_and_output(site, browser):
    page = browser.new_page()
    page.goto((site / "tutorial.html").as_uri())
    block = page.locator("pre > code", has_text="tracker runs digits").first
    block.evaluate("block => block.setAttribute('data-md-copying', '')")
    assert block.inner_text().strip() == "tracker runs digits"
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_follow_light_and_dark(site, browser, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto((site / "index.html").as_uri())
    shown = page.locator("article img[src*=dashboard]:visible")
    assert shown.count() == 1
    assert ("-dark" in shown.get_attribute("src")) == (scheme == "dark")
    page.close()
