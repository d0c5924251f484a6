"""A comparison of two scenarios as a chart, a table and sentences; the price book as a table and a chart."""

from __future__ import annotations

from datetime import date

import pytest

from tracker.pricing.price_book import load_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.report.price_tables import first_sku, history_figure, rates_table, rates_with
from tracker.report.repricing import reprice
from tracker.report.scenario_chart import compared_frontiers_figure, comparison_sentences, levels_table
from tracker.report.scenarios import compare_scenarios

BOOK = load_price_book()


def compared(table, *changes):
    after = reprice(table, Scenario(changes=changes), BOOK) if changes else table
    return compare_scenarios(table, after, ("billed", "after"))


def test_both_frontiers_are_lines_with_those_that_changed_marked(small):
    document = compared(small, RateChange(factor=0.5))
    figure = compared_frontiers_figure(document, small, small.unit)
    before, after = figure.data
    assert [trace.line.shape for trace in figure.data] == ["hv", "hv"] and figure.layout.xaxis.type == "log"
    assert list(before.x) == pytest.approx([2 * price for price in after.x])
    document["left"] = [document["scenarios"][0]["points"][0]["trial"]]
    assert [trace.name for trace in compared_frontiers_figure(document, small, small.unit).data] == [
        "before",
        "after",
        "left the frontier",
    ]


def test_the_table_has_the_best_first_with_what_it_costs(small):
    rows = levels_table(compared(small, RateChange(factor=0.5)), small.unit)
    assert rows["quality"].tolist() == [0.7, 0.6, 0.5]
    assert rows["price before"].tolist() == pytest.approx([4.0, 2.0, 1.0])
    assert rows["after ÷ before"].tolist() == pytest.approx([0.5] * 3)
    assert rows["by"].tolist() == ["#2 e1", "#0 e2", "#0 e1"]


def test_the_sentences_tell_what_changed(small):
    shown = comparison_sentences(compared(small, RateChange(factor=0.5)), small.unit)
    assert shown[:2] == ["The same trials are on the frontier.", "The same quality costs 0.5 times as much."]
    document = {**compared(small), "entered": list(range(10)), "left": [3]}
    assert comparison_sentences(document, small.unit)[:2] == [
        "10 trials entered the frontier: #0, #1, #2, #3, #4, #5, #6, #7 ….",
        "1 trial left the frontier: #3.",
    ]


def test_without_a_scenario_there_is_one_line_and_without_points_a_sentence(small, empty):
    assert len(compared_frontiers_figure(compared(small), small, small.unit).data) == 1
    nothing = compared_frontiers_figure(compared(empty), empty, empty.unit)
    assert "No checkpoint that counts" in nothing.layout.annotations[0].text


def test_the_book_is_a_table_that_can_be_searched():
    rates = rates_table(BOOK.offers(date(2026, 8, 3)))
    assert rates["source"].str.len().min() > 0 and len(rates) == len(BOOK.offers(date(2026, 8, 3)))
    found = rates_with(rates, "H100 us-EAST-1")
    assert len(found) and found["accelerators"].str.contains("H100").all() and (found["region"] == "us-east-1").all()
    assert len(rates_with(rates, " ")) == len(rates) and rates_with(rates, "(").shape[1] == rates.shape[1]
    assert rates_with(rates_table([]), "x").empty


def test_the_history_is_a_step_line_that_goes_on_until_today(small, empty):
    sku = "aws/p5.48xlarge"
    figure = history_figure(sku, BOOK.history(sku))
    line = next(trace for trace in figure.data if "us-east-1" in trace.name)
    assert line.line.shape == "hv" and list(line.y)[:2] == [98.32, 55.04]
    assert line.x[-1] == date.today() and line.marker.size[-1] == 0
    assert first_sku(BOOK, small) == "aws/m5.large"
    assert first_sku(BOOK, empty) in BOOK.skus
