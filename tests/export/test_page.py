"""The report's page: what it says, and how it looks in a real browser."""

from __future__ import annotations

import gzip
import html
import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs_version

from tracker.export.embedding import LIBRARY
from tracker.export.formats import DEFAULT, report_files, write_report
from tracker.export.page import report_page
from tracker.records import Direction


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


def test_the_page_is_small_and_asks_for_nothing(realistic):
    page = report_page(realistic)
    assert len(page.encode()) < 1_500_000
    # The library knows map servers and the like, which these charts never ask; the page itself links to nothing.
    assert not re.search(r"""(?:src|href)=["']?(?!data:)\w+:""", page)


def test_the_library_of_the_page_is_that_of_the_package_that_makes_the_figures():
    library = gzip.decompress(LIBRARY.read_bytes()).decode()
    assert re.search(r"v(\d+\.\d+\.\d+)", library[:200]).group(1) == get_plotlyjs_version()


def test_why_runs_ended_is_said_once_a_reason(by_hand):
    rows = [by_hand.trial(0, [0.5, 0.6], [2.0, 4.0])]
    rows += [
        by_hand.trial(number, [], [], state="failed", reason="error", message=f"at 0x{number}", price_usd=0.01)
        for number in range(1, 31)
    ]
    reported = text_of(report_page(by_hand.build(rows)))
    assert reported.count("failed: error") == 1
    assert "failed: error 30 300 m$ #1, #2" in reported
    assert "there are 30 different ones" in reported
    assert "and 22 more" in reported


def test_the_answer_says_how_sure_it_is(by_hand):
    reported = text_of(report_page(by_hand.build([by_hand.trial(0, [0.5, 0.6], [2.0, 4.0])])))
    assert "How sure: It was measured once" in reported


def test_prices_that_the_price_book_does_not_have_are_said_in_their_row(small):
    point = json.loads(small.runs["price_point"].iloc[0])
    home = {**point, "sku": "home/desk", "provider": "home", "market": "on_prem", "region": ""}
    table = replace(small, runs=small.runs.assign(price_point=json.dumps(home), sku="home/desk", market="on_prem"))
    reported = text_of(report_page(table))
    assert "compute 20 % dearer $4.80 +20 % #2 e1" in reported
    assert re.search(r"spot machines no figures: [^|]*home/desk", reported)


def test_a_page_says_how_to_reproduce_it(small):
    known = {"commit": "0c596dd", "data": "92d476", "versions": "Python 3.11.2, torch 2.13.0"}
    reported = text_of(report_page(replace(small, provenance=known)))
    for part in ("commit of the code 0c596dd", "fingerprint of the data 92d476", "torch 2.13.0", "seed not recorded"):
        assert part in reported
    assert f"Write this report: tracker report {small.study}" in reported


def test_studies_at_the_edges_have_a_page(empty, by_hand):
    one = by_hand.build([by_hand.trial(0, [0.5], [2.0])])
    constant = by_hand.build([by_hand.trial(number, [0.5, 0.5], [2.0, 4.0]) for number in range(3)])
    unmeasured = by_hand.build([by_hand.trial(0, [math.nan], [2.0])])
    less = by_hand.build([by_hand.trial(0, [0.5, 0.4], [2.0, 900.0])], direction=Direction.MINIMIZE)
    reported = [text_of(report_page(table)) for table in (empty, one, constant, unmeasured, less)]
    assert "Nothing has been spent yet" in reported[0]
    assert "Cheapest at the target: accuracy 0.4950, 1 % below the best (0.5000)" in reported[1]
    assert "Best under" not in reported[1]
    assert "#0 e1" in reported[2]
    assert "within its limits yet" in reported[3] or "has reached a checkpoint yet" in reported[3]
    assert "accuracy 0.4040, 1 % above the best (0.4000)" in reported[4]


@pytest.mark.browser
def test_without_scripts_the_charts_are_pictures(browser, realistic, tmp_path):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(write_report(realistic, tmp_path)[0].as_uri())
    assert page.locator("img.picture:visible").count() == 3
    assert page.locator(".drawn:visible").count() == 0
    assert page.locator("#frontier tbody tr").count() >= 3
    page.context.close()


@pytest.mark.browser
def test_on_paper_the_charts_are_pictures_too(browser, realistic, tmp_path):
    page = browser.new_page(color_scheme="dark")
    page.goto(write_report(realistic, tmp_path)[0].as_uri())
    page.wait_for_selector("#chart-hypervolume .main-svg")
    assert page.locator("img.picture:visible").count() == 0
    page.emulate_media(media="print")
    assert page.locator("img.picture:visible").count() == 3
    assert page.locator(".drawn:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_the_page(browser, realistic, tmp_path, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.goto(write_report(realistic, tmp_path)[0].as_uri())
    page.wait_for_selector("#chart-hypervolume .main-svg")
    found = axe.run(page).response["violations"]
    assert [(each["id"], [node["html"][:150] for node in each["nodes"][:2]]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
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
