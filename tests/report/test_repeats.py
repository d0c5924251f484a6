"""What tables, chart and page say of a study whose frontier was trained again."""

from __future__ import annotations

import json
import math
import re

import pytest

from tracker.export.markdown import report_markdown
from tracker.export.page import report_page
from tracker.report.confirmation import confirmation_sentences
from tracker.report.figures import spend_figure
from tracker.report.frontier_chart import frontier_caption, frontier_figure
from tracker.report.headlines import headlines
from tracker.report.levers import levers_table
from tracker.report.repeats import CERTAINTY_COLUMNS
from tracker.report.tables import (
    confirmed_frontier_table,
    frontier_document,
    frontier_table,
    searched_settings,
    spend_by_state,
)


def repeat(by_hand, trial, number, qualities, seconds, **given):
    run, steps = by_hand.trial(trial, qualities, seconds, **given)
    changed = {"role": "repeat", "run_id": f"run-{trial}-{number}", "label": f"#{trial} repeat {number}"}
    return {**run, **changed}, [{**step, **changed} for step in steps]


@pytest.fixture
def original(by_hand):
    """Three trials of one epoch: 0.50 for 10 s, 0.70 for 20 s, and 0.72 for 30 s, which was luck; and a loser."""
    return [
        by_hand.trial(0, [0.50], [10.0], settings={"width": 1}),
        by_hand.trial(1, [0.70], [20.0], settings={"width": 2}),
        by_hand.trial(2, [0.72], [30.0], settings={"width": 3}),
        by_hand.trial(3, [0.60], [40.0], settings={"width": 4}),
    ]


@pytest.fixture
def confirmed(by_hand, original):
    qualities = {0: (0.49, 0.50, 0.51), 1: (0.69, 0.70, 0.71), 2: (0.70, 0.69, 0.71)}
    rows = [
        repeat(by_hand, trial, number, [quality], [10.0 * (trial + 1)])
        for trial, each in qualities.items()
        for number, quality in enumerate(each, 1)
    ]
    failed = repeat(by_hand, 2, 4, [0.1], [5.0], state="failed", reason="error")
    stopped = repeat(by_hand, 2, 5, [0.99], [5.0], state="stopped", reason="budget")
    return by_hand.build([*original, *rows, failed, stopped])


def test_repeats_are_no_points_and_change_none(by_hand, original, confirmed):
    before = by_hand.build(original)
    assert frontier_table(confirmed).equals(frontier_table(before))
    assert searched_settings(confirmed) == ["width"]
    assert len(levers_table(confirmed)) == len(levers_table(before))
    assert confirmed_frontier_table(before).equals(frontier_table(before))
    assert "confirmation" not in frontier_document(before)
    assert confirmation_sentences(before) == []
    assert "repeats" not in {trace.name for trace in frontier_figure(before).data}


def test_each_point_has_the_mean_of_its_completed_repeats_with_interval_and_probability(confirmed):
    points = confirmed_frontier_table(confirmed)
    assert points["repeats"].tolist() == [3, 3, 3]
    assert points["quality_mean"].tolist() == pytest.approx([0.50, 0.70, 0.70])
    half = 2.4469 * 0.01 / math.sqrt(3)  # Student's t with six degrees of freedom
    assert (points["quality_high"] - points["quality_mean"]).tolist() == pytest.approx([half] * 3, rel=1e-4)
    assert points["probability_on_frontier"].tolist() == pytest.approx([1.0, 1.0, 0.5], abs=0.03)
    assert points["tied_with"].tolist() == [None, None, "#1 e1"]


def test_the_document_keeps_its_keys_and_adds_the_certain_ones(confirmed):
    document = json.loads(json.dumps(frontier_document(confirmed), allow_nan=False))
    assert list(document["points"][0])[-7:] == CERTAINTY_COLUMNS
    assert document["points"][0]["tied_with"] is None
    reported = document["confirmation"]
    assert (reported["repeats"], reported["completed"], reported["confidence"]) == (11, 9, 0.95)
    assert reported["contenders"] == []


def test_a_point_that_the_frontier_missed_is_named(by_hand, original):
    lucky = by_hand.trial(4, [0.80], [25.0], settings={"width": 5})
    repeats = [repeat(by_hand, 4, number, [quality], [25.0]) for number, quality in ((1, 0.65), (2, 0.66))]
    reported = confirmation_sentences(by_hand.build([*original, lucky, *repeats]))
    assert re.search(
        r"^#2 e1 is off the frontier as measured, and on it .* of 9\d %: 0.7200 for 0.800 m\$", reported[-1]
    )
    assert "measured once" in reported[-1]


def test_what_repeats_cost_is_a_line_of_its_own(confirmed):
    spend = spend_by_state(confirmed).set_index("state")
    assert spend.loc["repeats", "runs"] == 11
    assert spend["spend_usd"].sum() == pytest.approx(confirmed.spend_usd)
    (bar,) = spend_figure(confirmed).data
    assert "repeats " in bar.y
    spent = next(each for each in headlines(confirmed) if each.title == "Spent")
    assert "of it by repeats" in spent.sentence
    assert "4 trials" in spent.sentence


def test_the_chart_has_whiskers_around_the_means(confirmed):
    shown = {trace.name: trace for trace in frontier_figure(confirmed).data}
    whiskers = shown["mean of repeats, 95 %"]
    assert list(whiskers.y) == pytest.approx([0.50, 0.70, 0.70])
    assert list(whiskers.error_y.array) == pytest.approx(list(whiskers.error_y.arrayminus))
    assert "3 repeats" in whiskers.hovertext[2]
    assert "cannot be distinguished from the cheaper #1 e1" in whiskers.hovertext[2]
    assert list(shown["fp32" if "fp32" in shown else "not stated"].y) == [0.50, 0.70, 0.72], "the points stay"
    assert "Whiskers" in frontier_caption(confirmed)


def test_the_page_says_it_in_its_table_and_in_words(by_hand, original, confirmed):
    page = report_page(confirmed)
    assert page.count("95 % interval</th>") == 1
    assert "tied with a cheaper one cannot be distinguished from it: buy the cheaper" in page
    assert "11 repeats of 3 trials cost" in page
    assert "2 of them no evidence" in page
    assert "95 % interval</th>" not in report_page(by_hand.build(original))


def test_markdown_names_what_a_point_is_tied_with(by_hand, original, confirmed):
    row = next(line for line in report_markdown(confirmed).splitlines() if line.startswith("| 2 | 1 |"))
    assert row.replace("&#8203;", "").endswith(r" #1 e1 |")
    assert "tied with |" in report_markdown(confirmed)
    assert "tied with |" not in report_markdown(by_hand.build(original))
