"""The Markdown report, rendered by another library: short, and no name becomes markup."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from tracker.export.formats import write_report
from tracker.export.markdown import code, report_markdown, text
from tracker.pricing.currency import ExchangeRate
from tracker.report.tables import frontier_table

NASTY = "a|b `c` <b>d</b> *e* _f_ [g](h) ~~i~~ $j$ @k #1 \\ \n- l\n# m & n"


def rendered(markdown):
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


def words_of(page):
    return re.sub(r"<[^>]+>", "", page).replace("​", "")


def test_the_answer_comes_first_and_the_report_is_short(small, realistic):
    for study in (small, realistic):
        lines = report_markdown(study).splitlines()
        assert len(lines) <= 85
        assert lines[4].startswith("- **Cheapest at the target: accuracy")
    page = rendered(report_markdown(small))
    assert [
        word for word in ("Frontier: 3 points", "Spend:", "Assumptions", "How to reproduce") if word not in page
    ] == []
    assert page.count("<table>") == 3


def test_every_point_of_a_small_frontier_is_a_row(small):
    body = rendered(report_markdown(small)).split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr>") == len(frontier_table(small))


def test_a_large_frontier_is_listed_from_its_first_to_its_last_point(by_hand):
    qualities = [0.01 * at for at in range(1, 60)]
    table = by_hand.build([by_hand.trial(0, qualities, [float(at) for at in range(1, 60)])])
    page = rendered(report_markdown(table))
    assert "Frontier: 59 points, 12 of them here" in page
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr>") == 12
    assert ">0.01000<" in body
    assert ">0.5900<" in body


LINES = ("# {}", "> {}", "- {}")
CELLS = "| a | b |\n| --- | --- |\n| {} | c |"


@pytest.mark.parametrize(
    ("write", "frame"), [*((text, frame) for frame in (*LINES, CELLS)), *((code, frame) for frame in LINES)]
)
def test_a_name_stays_a_text(write, frame):
    page = rendered(frame.format(write(NASTY)))
    assert " ".join(NASTY.split()) in html.unescape(words_of(page))
    blocks = {"h1", "p", "blockquote", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<(\w+)", page)) - blocks == (set() if write is text else {"code"})
    assert page.count("<td") in (0, 2)
    if write is text:
        assert "#1" not in page and "@k" not in page


def test_studies_without_anything_and_with_hostile_names_have_a_report(empty, hostile, tmp_path):
    assert "No trial has reached a checkpoint yet" in rendered(report_markdown(empty))
    write_report(hostile, tmp_path, ["md"])
    page = rendered((tmp_path / "report.md").read_text())
    assert "<script" not in page
    assert "<b>" not in page
    for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL):
        widths = {len(re.findall("<t[hd]", row)) for row in table.split("<tr>")[1:]}
        assert len(widths) == 1


def test_amounts_are_in_the_currency_that_is_asked_for(small):
    page = report_markdown(replace(small, currency=ExchangeRate("EUR", 2.0, None, "made up")))
    assert "€" in page
    assert page.count("\\$") == 2  # the exchange rate, and that of the machine as it is sold
