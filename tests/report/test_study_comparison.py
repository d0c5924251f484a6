"""Studies at equal dollars and at equal quality."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.tables import build, realistic_rows, run_row, trial
from tracker.errors import RequestError
from tracker.frontier.pareto import hypervolume
from tracker.pricing.currency import ExchangeRate
from tracker.records import Direction, QualityMetric
from tracker.report.progress import hypervolume_over_spend
from tracker.report.same_quality import few_qualities
from tracker.report.sides import Side
from tracker.report.study_comparison import compare_sides
from tracker.report.study_comparison_charts import equal_dollars_figure, overlaid_frontiers_figure

DOLLAR = 3600 / 0.096
"""Seconds that cost one dollar."""


def side(name, *tables, said=None):
    return Side(name, tables, tuple(said or [{}] * len(tables)))


def study(name, *trials, **given):
    """A study of trials, each given by its qualities and the dollars at each; one after another."""
    rows = [
        trial(number, qualities, [usd * DOLLAR for usd in dollars], started_at=1.7e9 + 1e6 * number)
        for number, (qualities, dollars) in enumerate(trials)
    ]
    return build(rows, study=name, **{"budget_usd": None, **given})


@pytest.fixture
def two():
    first = study("first", ([0.5, 0.6], [1, 2]), ([0.4, 0.8], [1, 4]))
    second = study("second", ([0.7], [1]), ([0.8], [3]), ([0.9], [6]))
    return side("first", first), side("second", second)


@pytest.fixture
def groups():
    """Three studies that are the same but for the seed, and three that spend more."""
    base = [build(realistic_rows(seed, 12)[2:], study=f"base-{seed}") for seed in (1, 2, 3)]  # its trials alone
    new = [build(realistic_rows(seed, 16), study=f"new-{seed}") for seed in (4, 5, 6)]
    return side("base", *base), side("new", *new)


def test_each_side_is_judged_by_what_it_had_when_all_had_spent_the_same(two):
    comparison = compare_sides(two, at_usd=[2.0, 4.0])
    assert (comparison.corner.quality, comparison.corner.price_usd) == (0.4, 6.0)
    rows = comparison.equal_dollars.set_index(["at_usd", "side"])["hypervolume"]
    area = [
        hypervolume(quality, price, Direction.MAXIMIZE, 0.4, 6.0)
        for quality, price in (([0.5, 0.6], [1, 2]), ([0.7], [1]), ([0.7, 0.8], [1, 3]))
    ]
    assert rows[2.0, "first"] == pytest.approx(area[0])
    assert rows[2.0, "second"] == pytest.approx(area[1])
    assert rows[4.0, "second"] == pytest.approx(area[2])
    differences = comparison.equal_dollars.set_index(["at_usd", "side"])["difference"]
    assert differences[2.0, "second"] == pytest.approx(area[1] - area[0])
    assert math.isnan(differences[2.0, "first"])


def test_levels_are_shares_of_the_smallest_spend_and_end_at_all_of_it(two):
    rows = compare_sides(two).equal_dollars
    assert sorted(set(rows["at_usd"])) == pytest.approx([0.6, 1.5, 3.0, 6.0])
    last = rows[(rows["side"] == "first")]["hypervolume"].iloc[-1]
    corner = compare_sides(two).corner
    whole = hypervolume_over_spend(two[0].tables[0], corner)
    assert last == pytest.approx(whole["hypervolume"].iloc[-1])


def test_what_is_no_trial_costs_nothing_here(two):
    rows = [trial(0, [0.7], [DOLLAR]), (run_row("run-prepared", role="preparation", price_usd=5.0, started_at=1.0), [])]
    prepared = compare_sides([two[0], side("prepared", build(rows, study="prepared"))], at_usd=[1.0])
    assert prepared.equal_dollars["hypervolume"].iloc[1] > 0
    shown = prepared.document()["sides"][1]["studies"][0]
    assert (shown["trials_usd"], shown["spend_usd"]) == (pytest.approx(1.0), pytest.approx(6.0))


def test_what_was_not_spent_is_marked_and_said(two):
    comparison = compare_sides(two, at_usd=[1.0, 8.0])
    beyond = comparison.equal_dollars.set_index(["at_usd", "side"])["beyond_spend"]
    assert not beyond[1.0].any()
    assert (beyond[8.0, "first"], beyond[8.0, "second"]) == (True, False)
    assert any("less than $8.00 was spent on trials by 'first' ($6.00)" in remark for remark in comparison.remarks)


def test_the_same_quality_has_its_price_ratio_and_how_soon_it_was_found(two):
    rows = compare_sides(two).same_quality.set_index(["quality", "side"])
    assert rows.loc[(0.8, "first"), "price_usd"] == pytest.approx(4.0)
    assert rows.loc[(0.8, "second"), "price_ratio"] == pytest.approx(0.75)
    assert rows.loc[(0.8, "second"), "found_after_usd"] == pytest.approx(4.0)
    assert rows.loc[(0.9, "first"), "reached_by"] == 0
    assert math.isnan(rows.loc[(0.9, "first"), "price_usd"])
    assert list(few_qualities(compare_sides(two).same_quality)["quality"])[-1] == 0.9


def test_a_quality_that_falls_is_compared_the_same_way(two):
    loss = QualityMetric("loss", Direction.MINIMIZE)
    first = study("a", ([2.0, 1.0], [1, 2]), quality=loss, direction=Direction.MINIMIZE)
    second = study("b", ([1.5], [1]), quality=loss, direction=Direction.MINIMIZE)
    rows = compare_sides([side("a", first), side("b", second)]).same_quality
    assert list(rows["quality"].unique()) == [2.0, 1.5, 1.0]
    assert rows.set_index(["quality", "side"]).loc[(1.5, "b"), "price_ratio"] == pytest.approx(0.5)


def test_groups_have_student_s_interval_over_their_studies(groups):
    rows = compare_sides(groups).equal_dollars
    assert set(rows["interval_by"]) == {"seeds"}
    corner = compare_sides(groups).corner
    last = rows[rows["side"] == "base"].iloc[-1]
    values = []
    for table in groups[0].tables:
        progress = hypervolume_over_spend(table, corner)
        values.append(progress[progress["spend_usd"] <= last["at_usd"] * (1 + 1e-9)]["hypervolume"].iloc[-1])
    assert last["hypervolume"] == pytest.approx(np.mean(values))
    half = 4.3026527 * np.std(values, ddof=1) / math.sqrt(3)  # Student's t of two degrees of freedom
    assert last["hypervolume_high"] == pytest.approx(np.mean(values) + half, rel=1e-5)
    assert rows.loc[rows["side"] == "new", "difference_low"].notna().any()


def test_one_study_has_an_interval_between_its_halves_and_few_trials_none(two):
    single = compare_sides(
        [side(name, build(realistic_rows(seed, 14), study=name)) for name, seed in (("a", 1), ("b", 2))]
    )
    assert "halves" in set(single.equal_dollars["interval_by"])
    assert set(compare_sides(two).equal_dollars["interval_by"]) == {""}
    assert "too few trials" in compare_sides(two).verdicts[0]
    assert any("stuck as a whole" in sentence for sentence in single.method)


def test_the_verdict_comes_first_and_follows_the_interval(groups):
    same = compare_sides(groups).verdicts[0]
    assert same.startswith(("new cannot be distinguished from base at ", "new is "))
    ahead = [
        side(name, *(study(f"{name}{at}", ([good + 0.001 * at], [1]), ([0.1], [5])) for at in range(3)))
        for name, good in (("low", 0.3), ("high", 0.9))
    ]
    assert compare_sides(ahead).verdicts[0].startswith("high is ahead of low at $6.00: +")


def test_what_changed_is_what_the_files_say_and_what_was_tried(groups):
    said = {"name": "x", "seed": 1, "space": {"size": [1, 2], "lr": {"low": 0.1, "high": 1.0, "log": True}}}
    other = {**said, "name": "y", "seed": 2, "space": {"size": [1, 4], "lr": said["space"]["lr"]}, "budget": {"usd": 3}}
    first, second = (build(realistic_rows(seed, 8), study=name) for seed, name in ((1, "x"), (2, "y")))
    comparison = compare_sides([side("x", first, said=[said]), side("y", second, said=[other])])
    assert comparison.changes.loc["space.size"].tolist() == ["1, 2", "1, 4"]
    assert comparison.changes.loc["budget.usd"].tolist() == ["—", "3"]
    assert "space.lr" not in comparison.changes.index
    assert "name" not in comparison.changes.index
    assert "size" in comparison.tried.index
    mixed = compare_sides([side("both", first, second, said=[said, other]), groups[0]])
    assert any("differ in more than the seed (space.size, budget.usd)" in remark for remark in mixed.remarks)


def test_what_files_say_is_not_compared_with_nothing(two):
    first, second = two
    comparison = compare_sides([replace(first, descriptions=({"space": {"width": [4, 16]}},)), second])
    assert "space.width" not in comparison.changes.index
    assert "without the study file of second, what the files say is not compared" in comparison.remarks


def test_the_document_has_units_in_its_names_and_nothing_that_json_lacks(groups):
    document = compare_sides(groups).document()
    json.dumps(document, allow_nan=False)
    assert document.keys() == {
        *("quality", "sides", "scenario", "currency", "reference", "confidence", "verdicts", "method", "remarks"),
        *("changes", "settings_tried", "equal_dollars", "same_quality", "frontiers"),
    }
    assert document["sides"][0]["studies"][0].keys() >= {"study", "spend_usd", "budget_usd", "trials"}
    assert document["equal_dollars"][0].keys() >= {"at_usd", "side", "hypervolume", "difference_low", "beyond_spend"}


def test_people_are_shown_the_currency_that_they_asked_for(two):
    euros = ExchangeRate("EUR", 2.0, None, "a bank")
    changed = [side(each.name, replace(each.tables[0], currency=euros)) for each in two]
    comparison = compare_sides(changed, at_usd=[8.0])
    assert any("€4.00" in remark for remark in comparison.remarks)
    assert comparison.equal_dollars["at_usd"].iloc[0] == 8.0


def test_charts_have_a_line_a_study_and_names_literally(hostile, small, by_hand):
    hostile = by_hand.replaced(hostile, quality=small.quality)
    comparison = compare_sides([side(hostile.study, hostile), side("small", small)])
    for figure in (equal_dollars_figure(comparison), overlaid_frontiers_figure(comparison)):
        assert "<script" not in figure.to_json().replace("\\u003c", "<")
        assert len([trace for trace in figure.data if trace.showlegend is not False]) == 2
    assert len({trace.line.dash for trace in overlaid_frontiers_figure(comparison).data}) == 2


@pytest.mark.parametrize(
    ("at_usd", "reference", "said"),
    [
        ([0.0], None, "--at-usd 0"),
        ([math.nan], None, "--at-usd nan"),
        ([1.0, -2.0], None, "--at-usd -2"),
        ([math.inf], None, "--at-usd inf"),
        ([], (0.5, 0.0), "reference 0.5,0"),
        ([], (math.inf, 1.0), "reference inf,1"),
    ],
)
def test_amounts_and_references_that_cannot_be_are_refused(two, at_usd, reference, said):
    with pytest.raises(RequestError, match=f"^{said}: "):
        compare_sides(two, at_usd, reference)


def test_sides_that_cannot_be_compared_are_refused(two, small, empty, by_hand):
    with pytest.raises(RequestError, match="1 side given: 2 to 8"):
        compare_sides(two[:1])
    with pytest.raises(RequestError, match="'first' is given twice"):
        compare_sides([two[0], two[0]])
    with pytest.raises(RequestError, match="'just started' has spent nothing on trials yet"):
        compare_sides([two[0], side("just started", empty)])
    failed = build([trial(0, [], [], price_usd=1.0, state="failed")], study="failed")
    with pytest.raises(RequestError, match="no trial of study 'failed' has reached a checkpoint yet"):
        compare_sides([two[0], side("failed", failed)])
    loss = by_hand.replaced(small, quality=QualityMetric("loss", Direction.MINIMIZE))
    with pytest.raises(RequestError, match=r"'first' has accuracy \(maximize\); 'docstrings' has loss \(minimize\)"):
        compare_sides([two[0], side("docstrings", loss)])
