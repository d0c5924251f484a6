"""The map of two knobs, the lines of every trial, and the levels that both go by."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tracker.records import Direction
from tracker.report.knob_levels import OTHERS, knob_levels
from tracker.report.knob_map import default_pair, knob_map, knob_map_figure
from tracker.report.parallel_coordinates import NO_VALUE, parallel_figure, parallel_trials
from tracker.study.spec import Limit


def levels(values, most=8):
    found = knob_levels(pd.Series(values, dtype=object), most)
    return [found.names[code] if code >= 0 else None for code in found.codes], found.names


def test_levels_are_in_order_and_in_words():
    assert levels([4, 1.5, None, 16])[1] == ["1.5", "4", "16"]
    assert levels([True, None, False]) == (["True", None, "False"], ["False", "True"])
    assert levels(["b", "a", 3])[1] == ["3", "a", "b"]
    shown, names = levels(list("aaabbc"), most=2)
    assert names == ["a", OTHERS] and shown == ["a", "a", "a", OTHERS, OTHERS, OTHERS]


def test_many_numbers_are_parted_evenly():
    shown, names = levels([float(number) for number in range(1, 41)], most=4)
    assert names == ["1 to 10.75", "10.75 to 20.5", "20.5 to 30.25", "30.25 to 40"]
    assert [shown.count(name) for name in names] == [10, 10, 10, 10]
    assert levels([1.0] * 30 + [float(number) for number in range(20)], most=4)[0][0] is not None
    assert levels([None, None])[1] == []


def study(by_hand, **given):
    rows = [
        by_hand.trial(0, [0.5, 0.6], [1.0, 2.0], settings={"size": 1, "precision": "fp32"}),
        by_hand.trial(1, [0.7], [8.0], settings={"size": 2, "precision": "fp32"}),
        by_hand.trial(2, [0.4, 0.65], [0.5, 1.5], settings={"size": 1, "precision": "bf16"}),
        by_hand.trial(3, [0.62], [1.8], settings={"size": 1, "precision": "bf16"}),
        by_hand.trial(4, [], [], settings={"size": 2, "precision": "bf16"}, state="failed"),
    ]
    return by_hand.build(rows, **given)


def cells(found):
    return found.table.set_index(["precision", "size"]).iloc[:, 0].to_dict()


def test_a_cell_has_the_best_quality_of_its_trials(by_hand):
    table = study(by_hand)
    found = knob_map(table, "size", "precision")
    assert cells(found) == {("bf16", "1"): 0.65, ("fp32", "1"): 0.6, ("fp32", "2"): 0.7}
    assert found.cells.set_index(["across", "down"])["trials"].to_dict() == {(0, 0): 2, (0, 1): 1, (1, 1): 1}
    grid = knob_map_figure(table, found).data[0]
    assert list(grid.x) == ["1", "2"] and list(grid.y) == ["bf16", "fp32"]
    assert grid.text[0][0] == "0.6500" and math.isnan(grid.z[0][1])
    worse = knob_map(study(by_hand, direction=Direction.MINIMIZE), "size", "precision")
    assert cells(worse)["bf16", "1"] == 0.4


def test_a_cell_has_the_cheapest_way_to_a_target(by_hand):
    table = study(by_hand)
    found = knob_map(table, "size", "precision", target=0.6)
    dollars = 0.096 / 3600
    assert cells(found) == pytest.approx(
        {("bf16", "1"): 1.5 * dollars, ("fp32", "1"): 2 * dollars, ("fp32", "2"): 8 * dollars}
    )
    grid = knob_map_figure(table, found).data[0]
    assert grid.text[0][0].endswith(table.unit.symbol)
    unreached = knob_map(table, "size", "precision", target=0.69)
    assert math.isnan(cells(unreached)["bf16", "1"])
    assert "not reached" in knob_map_figure(table, unreached).data[0].hovertext[0][0]


def test_what_misses_a_limit_is_in_no_cell(by_hand):
    table = study(by_hand, limits=(Limit("validation_loss", high=0.36),))
    assert cells(knob_map(table, "size", "precision")) == {("bf16", "1"): 0.65, ("fp32", "2"): 0.7}


def test_the_map_opens_with_size_and_precision():
    assert default_pair(["dropout", "precision", "size"]) == ("size", "precision")
    assert default_pair(["dropout", "size", "threads"]) == ("size", "dropout")
    assert default_pair(["dropout"]) is None


def test_each_trial_is_a_line_at_its_last_checkpoint(by_hand):
    table = study(by_hand)
    trials = parallel_trials(table, ["size", "precision"])
    assert trials.rows["trial"].tolist() == [0, 1, 2, 3] and trials.rows["epoch"].tolist() == [2, 1, 2, 1]
    assert trials.rows["on_frontier"].tolist() == [True, True, True, False]
    assert trials.sentence == "4 trials at the last checkpoint of each."
    lines = parallel_figure(table, trials).data[0]
    labels = [axis.label for axis in lines.dimensions]
    assert labels[:2] == ["size", "precision"] and labels[2].startswith("price, ") and labels[3] == "accuracy"
    assert list(lines.line.color) == [0.6, 0.62, 0.65, 0.7], "the best is drawn last, above the others"
    assert list(lines.dimensions[1].ticktext) == ["bf16", "fp32"]


def test_a_sample_keeps_the_frontier_and_says_so(build_large):
    table = build_large(60, 2)
    whole = parallel_trials(table, [])
    some = parallel_trials(table, [], most=20)
    assert len(some.rows) == 20 and some.known == 60
    assert some.rows["on_frontier"].sum() == whole.rows["on_frontier"].sum()
    assert some.sentence.startswith("20 of 60 trials: all that are on the frontier")


def test_wide_knobs_are_logarithmic_and_missing_values_lie_below(by_hand):
    rates = [None, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    rows = [by_hand.trial(at, [0.5], [1.0 + at], settings={"rate": rate}) for at, rate in enumerate(rates)]
    table = by_hand.build(rows)
    axis = parallel_figure(table, parallel_trials(table, ["rate"])).data[0].dimensions[0]
    values = np.sort(np.asarray(axis["values"], dtype=float))
    assert values[1:] == pytest.approx([-5, -4, -3, -2, -1]) and values[0] < -5
    assert list(axis.ticktext) == ["1e-05", "0.0001", "0.001", "0.01", "0.1", NO_VALUE]


def test_edges(empty, hostile, by_hand):
    assert parallel_figure(empty, parallel_trials(empty, [])).layout.annotations[0].text.startswith("No trial")
    names = [
        axis.label for axis in parallel_figure(hostile, parallel_trials(hostile, ["precision"])).data[0].dimensions
    ]
    assert "<" not in "".join(names)
    one = by_hand.build([by_hand.trial(0, [0.5], [1.0])])
    assert len(parallel_figure(one, parallel_trials(one, ["precision", "threads"])).data[0].dimensions) == 4
    nothing = by_hand.build([by_hand.trial(0, [], [])])
    assert knob_map_figure(nothing, knob_map(nothing, "threads", "precision")).layout.annotations
