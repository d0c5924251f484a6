"""Runs and studies side by side."""

from __future__ import annotations

import pytest

from tracker.errors import RequestError
from tracker.records import Direction, QualityMetric
from tracker.report.comparison import compare_runs, compare_studies
from tracker.report.comparison_chart import curves_figure, frontiers_figure, parts_figure

HOUR = 3600 / 0.096


def test_runs_are_compared_by_what_differs(realistic):
    comparison = compare_runs(realistic, ["run-0", "run-1", "run-2"])
    assert comparison.names == ("#0", "#1", "#2")
    assert list(comparison.settings.columns) == ["#0", "#1", "#2"]
    assert {"size", "learning_rate"} <= set(comparison.settings.index)
    assert "dropout" not in comparison.settings.index
    assert comparison.alike >= 2
    assert comparison.figures.loc["state", "#0"] == "completed"
    assert "m$" in comparison.figures.loc["price", "#0"]
    assert set(comparison.curves["name"]) == {"#0", "#1", "#2"}
    whole = comparison.parts.groupby("name")["usd"].sum()
    assert whole["#1"] == pytest.approx(realistic.runs.set_index("run_id")["price_usd"]["run-1"])


def test_curves_and_parts_are_drawn_in_the_study_s_unit(realistic):
    comparison = compare_runs(realistic, ["run-0", "run-1"])
    curves = curves_figure(comparison)
    assert [trace.name for trace in curves.data] == ["#0", "#1"]
    assert len({trace.line.dash for trace in curves.data}) == 2  # distinguished without colours
    assert "m$" in curves.layout.xaxis.title.text
    (bars,) = parts_figure(comparison).data
    assert bars.name == "compute"
    assert bars.x[0] == pytest.approx(1000 * realistic.runs.set_index("run_id")["price_usd"]["run-0"])


def test_studies_of_one_quality_are_laid_over_each_other(small, realistic):
    comparison = compare_studies([small, realistic])
    assert comparison.names == ("docstrings", "docstrings (2)")
    assert comparison.apart == ""
    assert [trace.name for trace in frontiers_figure(comparison).data] == ["docstrings", "docstrings (2)"]
    assert frontiers_figure(comparison).data[0].line.shape == "hv"
    assert comparison.settings.loc["size", "docstrings"] == "—"
    assert " to " in comparison.settings.loc["size", "docstrings (2)"]
    assert comparison.settings.loc["precision", "docstrings (2)"] == "bf16, fp32"
    assert comparison.figures.loc["best of it", "docstrings"] == "0.7000 for 4,000 m$"  # one unit for the whole table


def test_the_best_so_far_is_reported_against_all_that_was_spent_until_then(by_hand):
    rows = [
        by_hand.trial(0, [0.5, 0.6], [HOUR, 2 * HOUR]),
        by_hand.trial(1, [0.4, 0.7], [HOUR, 3 * HOUR], started_at=1.8e9),
    ]
    comparison = compare_studies([by_hand.build(rows), by_hand.build(rows, study="b")])
    mine = comparison.curves[comparison.curves["name"] == "b"]
    assert list(mine["price_usd"]) == pytest.approx([1.0, 2.0, 5.0])
    assert list(mine["quality"]) == [0.5, 0.6, 0.7]


def test_studies_of_different_qualities_are_compared_but_not_laid_over(small, by_hand):
    other = by_hand.replaced(small, study="losses", quality=QualityMetric("loss", Direction.MINIMIZE))
    comparison = compare_studies([small, other])
    assert comparison.frontiers is None
    assert "docstrings has accuracy (maximize); losses has loss (minimize)" in comparison.apart
    assert "cannot be laid over" in frontiers_figure(comparison).layout.annotations[0].text
    assert len(parts_figure(comparison).data) == 1


def test_a_wrong_number_and_a_run_that_is_gone_are_reported(small):
    with pytest.raises(RequestError, match="1 runs were chosen: 2 to 4"):
        compare_runs(small, ["run-0"])
    with pytest.raises(RequestError, match="5 studies were chosen: 2 to 4"):
        compare_studies([small] * 5)
    with pytest.raises(RequestError, match="no run 'gone'"):
        compare_runs(small, ["run-0", "gone"])


def test_a_study_of_nothing_can_be_compared(small, empty):
    comparison = compare_studies([small, empty])
    assert comparison.figures.loc["best of it", "just started"] == "—"
    assert len(curves_figure(comparison).data) == 2


def test_names_are_shown_literally(hostile, by_hand):
    comparison = compare_studies([hostile, by_hand.replaced(hostile, study="<i>x</i>")])
    for figure in (curves_figure(comparison), frontiers_figure(comparison), parts_figure(comparison)):
        assert "<script" not in figure.to_json().replace("\\u003c", "<")
