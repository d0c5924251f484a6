"""The report's files, and the page in a real browser."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tracker.export.formats import DEFAULT, report_files, write_report
from tracker.export.page import report_page


def text_of(page):
    """The page's words: no scripts, no styles, no tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def test_a_report_is_a_page_and_tables(small, tmp_path):
    written = write_report(small, tmp_path / "new" / "report")
    assert [path.name for path in written] == [file.name for file in report_files(DEFAULT)]
    assert {path.name for path in written[0].parent.iterdir()} == {path.name for path in written}


def test_the_page_says_what_matters(small):
    words = text_of(report_page(small))
    for part in (
        "Cheapest at the target: accuracy 0.6930, 1 % below the best (0.7000) $4.00 Trial #2 after epoch 1",
        "It was measured once",
        "Best under $2.00, half of what the best costs 0.6000 Trial #0 after epoch 2",
        "Best accuracy 0.7000 for $4.00, by trial #2 after epoch 1",
        "dominates 1 of 3 frontier points",
        "failed: not_finite 1 $7.00 #2",
        "together 6",
        "compute 20 % cheaper",
        "performance per dollar of GPUs doubled every 2.46 years",
        "price book 3f9a1c",
        "aws/karpenter-provider-aws@1d92708 2026-07-20",
    ):
        assert part in words


def test_an_empty_study_gives_a_page_that_says_so(empty):
    assert "No run of this study has reached a checkpoint yet" in text_of(report_page(empty))


def test_names_cannot_become_markup(hostile):
    page = report_page(hostile)
    assert "alert(1)</script>" not in page
    assert hostile.study in text_of(page)


def test_what_was_made_of_the_data_is_on_the_page_as_text(small):
    shown = "texts.csv: 'text' to 'label'; 2 classes: '<script>alert(1)</script>', '1.10'"
    page = report_page(replace(small, data=shown))
    assert f"Data: {shown}." in text_of(page)
    assert "alert(1)</script>" not in page
    assert 'id="data"' not in report_page(small), "nothing where a workload does not tell"


def test_a_report_that_cannot_be_finished_leaves_the_old_one(small, tmp_path, monkeypatch):
    write_report(small, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_report(small, tmp_path, force=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_draws_its_charts_without_a_network(browser, realistic, tmp_path, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(write_report(realistic, tmp_path)[0].as_uri())
    page.wait_for_selector("#chart-frontier .main-svg")
    ticks = page.locator("#chart-frontier .xtick text")
    boxes = [ticks.nth(at).bounding_box() for at in range(ticks.count())]
    assert len(boxes) >= 4
    assert all(re.fullmatch(r"[\d,.]+", text) for text in ticks.all_text_contents())
    assert "m$ (thousandths of a US dollar)" in page.locator("#chart-frontier .xtitle").text_content()
    assert all(left["x"] + left["width"] < right["x"] for left, right in itertools.pairwise(boxes))
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert complaints == []
    assert page.locator('[data-title*="loud"]').count() == 0  # no button that sends the data away
    page.close()


@pytest.mark.browser
def test_hostile_names_stay_text_in_a_browser(browser, hostile, tmp_path):
    page = browser.new_page()
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(write_report(hostile, tmp_path)[0].as_uri())
    page.wait_for_selector("#chart-frontier .main-svg")
    assert page.locator("h1").inner_text() == hostile.study
    assert '<b>"tf-idf" &' in page.locator("#chart-frontier .legend").first.text_content()
    assert dialogs == []
    page.close()
