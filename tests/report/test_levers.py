from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tracker.export.formats import write_report
from tracker.report.levers import lever_sentences, levers_table
from tracker.report.tables import frontier_table, missed_limits, trial_checkpoints
from tracker.study.spec import Limit

HOUR = 3600 / 0.096  # seconds that cost one dollar


def paired(by_hand, seeds=3, **state):
    """Trials with and without compile and bf16: bf16 halves the price, compile changes the quality by chance."""
    rows, number = [], 0
    for seed in range(seeds):
        for precision, factor in (("fp32", 1.0), ("bf16", 0.5)):
            for compiled in (False, True):
                quality = 0.8 + 0.01 * seed + (0.005 if compiled and seed % 2 else 0.0) - 0.02 * (precision == "bf16")
                settings = {"precision": precision, "compile": compiled, "seed": seed, "device": "cpu"}
                rows.append(
                    by_hand.trial(number, [quality], [HOUR * factor * (1 + 0.1 * seed)], settings=settings, **state)
                )
                number += 1
    return by_hand.build(rows)


def test_pairs_are_the_trials_that_differ_in_one_lever_alone(by_hand):
    table = levers_table(paired(by_hand)).set_index("lever")
    assert set(table.index) == {"precision", "compile"}, "a seed is no lever"
    precision = table.loc["precision"]
    assert (precision["without"], precision["with"], precision["pairs"]) == ("fp32", "bf16", 6)
    assert precision["usd_ratio"] == pytest.approx(0.5)
    assert precision["usd_difference"] == pytest.approx(-0.55)
    assert precision["quality_difference"] == pytest.approx(-0.02)
    assert table.loc["compile", "without"] is np.False_ or table.loc["compile", "without"] is False
    assert table.loc["compile", "usd_difference"] == pytest.approx(0.0)


def test_the_interval_is_students_and_one_pair_has_none(by_hand):
    differences = np.array([0.3, -0.1, 0.25, 0.9])
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    rows = []
    for pair, difference in enumerate(differences):
        for name, dollars in (("fp32", 2.0), ("bf16", 2.0 + difference)):
            settings = {"precision": name, "seed": pair}
            rows.append(by_hand.trial(len(rows), [0.5], [HOUR * dollars], settings=settings))
    row = levers_table(by_hand.build(rows)).iloc[0]
    assert (row["usd_low"], row["usd_high"]) == pytest.approx(tuple(expected))
    assert row["usd_difference"] == pytest.approx(differences.mean())
    single = levers_table(paired(by_hand, seeds=1)).set_index("lever").loc["precision"]
    assert single["pairs"] == 2
    alone = by_hand.build(
        [
            by_hand.trial(number, [0.5], [HOUR], settings={"precision": name})
            for number, name in enumerate(("fp32", "bf16"))
        ]
    )
    row = levers_table(alone).iloc[0]
    assert row["pairs"] == 1 and math.isnan(row["usd_low"])
    assert "uncertain from one pair" in lever_sentences(alone)[0]


def test_only_a_difference_that_leaves_zero_out_is_called_one(by_hand):
    sentences = {sentence.split(" ")[0]: sentence for sentence in lever_sentences(paired(by_hand))}
    assert sentences["precision"].startswith("precision = bf16 instead of fp32 (6 pairs): price 50% cheaper")
    assert sentences["precision"].endswith("lower")
    assert (
        sentences["compile"]
        == "compile = true instead of false (6 pairs): price no certain difference; quality no certain difference"
    )


def test_trials_that_did_not_complete_or_differ_in_two_things_make_no_pair(by_hand):
    assert levers_table(paired(by_hand, state="stopped")).empty
    rows = [
        by_hand.trial(0, [0.5], [HOUR], settings={"precision": "fp32", "size": 1}),
        by_hand.trial(1, [0.6], [HOUR], settings={"precision": "bf16", "size": 2}),
    ]
    assert levers_table(by_hand.build(rows)).empty


def test_a_checkpoint_outside_the_limits_is_seen_and_never_on_the_frontier(by_hand):
    rows = [by_hand.trial(0, [0.5, 0.7], [HOUR, 2 * HOUR]), by_hand.trial(1, [0.6, 0.9], [HOUR, 3 * HOUR])]
    table = by_hand.build(rows, limits=(Limit("validation_loss", high=0.35),))
    frontier = frontier_table(table)
    assert list(frontier["quality"]) == [0.7, 0.9], "losses of 0.5 and 0.4 are above the limit"
    points = trial_checkpoints(table).set_index(["trial", "epoch"])
    missed = pd.Series(missed_limits(points["at"].to_numpy(), table), points.index)
    assert missed[0, 1] == "validation_loss 0.5 is above 0.35"
    assert missed[0, 2] == ""
    assert points["kept"].tolist() == (missed == "").tolist()


def test_a_limit_that_nothing_keeps_leaves_an_empty_frontier_and_a_page(by_hand, tmp_path):

    table = by_hand.build([by_hand.trial(0, [0.5], [HOUR])], limits=(Limit("recall", low=0.5),))
    assert frontier_table(table).empty
    assert not trial_checkpoints(table)["kept"].any()
    page = write_report(table, tmp_path)[0].read_text()
    assert "recall of at least 0.5" in page and "outside the limits: no recall" in page
