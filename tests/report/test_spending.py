"""Where the money went, how fast it goes, and how trials stand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tracker.report.progress import hypervolume_over_spend, hypervolume_steps, payments
from tracker.report.spending import burn_rate, spend_by_purpose
from tracker.report.trials import latest_trials, reasons_table, running_table, trial_counts
from tracker.runner.decisions import DecisionColumns, Decisions

BEGAN = 1.7e9
USD_AN_HOUR = 0.096


def decided(*rows):
    return pd.DataFrame(rows, columns=["time", "trial", "action", "price_usd"])


def usd_of(spend):
    return dict(zip(spend["purpose"], spend["spend_usd"], strict=True))


def test_without_decisions_trials_are_one_part_and_failures_another(small):
    spend = spend_by_purpose(small)
    assert usd_of(spend) == pytest.approx({"trials": 8.0, "failures": 7.25, "baselines": 1.5, "preparation": 0.5})
    assert spend["share"].sum() == pytest.approx(1.0)
    assert spend["spend_usd"].is_monotonic_decreasing


def test_money_is_split_where_a_trial_was_first_resumed(by_hand):
    hour = 3600.0
    table = by_hand.build(
        [
            by_hand.trial(0, [0.5, 0.6, 0.7], [1 * hour, 2 * hour, 3 * hour]),
            by_hand.trial(1, [0.5, 0.6], [1 * hour, 2 * hour], attempts=2, state="failed"),
            by_hand.trial(2, [0.5], [1 * hour]),
        ]
    )
    decisions = decided(
        (BEGAN, 0, "begin", math.nan),
        (BEGAN + hour + 1, 0, "continue", math.nan),
        (BEGAN + hour + 1, 1, "pause", 1.5 * USD_AN_HOUR),
        (BEGAN + hour + 2, 1, "resume", math.nan),
        (BEGAN + 2 * hour, 2, "end", USD_AN_HOUR),
    )
    spend = usd_of(spend_by_purpose(table, decisions))
    assert spend["new trials"] == pytest.approx((1 + 1.5 + 1) * USD_AN_HOUR)
    assert spend["continuing"] == pytest.approx(2 * USD_AN_HOUR)
    assert spend["failures"] == pytest.approx(0.5 * USD_AN_HOUR)
    assert sum(spend.values()) == pytest.approx(table.spend_usd)


def test_decisions_are_read_on_from_where_they_were_read_to(tmp_path):
    path = tmp_path / "decisions.jsonl"
    columns, written = DecisionColumns(path), Decisions(path)
    assert columns.latest() is None
    written.write(0, "begin", "why", {"price_usd": None})
    written.write(0, "end", "why", {"price_usd": 0.25})
    with path.open("a") as file:
        file.write('{"torn": ')
    found = columns.latest()
    assert found["action"].tolist() == ["begin", "end"]
    assert found["price_usd"].iloc[1] == 0.25
    with path.open("a") as file:
        file.write("1}\n" + json.dumps({"time": 1.0, "trial": 3, "action": "begin", "why": "", "numbers": {}}) + "\n")
    assert columns.latest()["trial"].tolist() == [0, 0, 3]
    path.write_text("")
    assert columns.latest().empty


def test_the_burn_rate_is_that_of_the_last_minutes_of_work(by_hand):
    slow = by_hand.trial(0, [0.5, 0.6], [1800.0, 3600.0])
    fast = by_hand.trial(1, [0.5], [600.0], started_at=BEGAN + 3600, usd_per_hour=10 * USD_AN_HOUR)
    rate = burn_rate(by_hand.build([slow, fast]))
    assert rate.usd_per_hour == pytest.approx(10 * USD_AN_HOUR)
    assert rate.seconds == 600.0
    assert rate.until == BEGAN + 4200
    assert rate.seconds_to(10 * USD_AN_HOUR) == pytest.approx(3600.0)
    both = burn_rate(by_hand.build([slow, fast]), window_seconds=1200.0)
    assert both.usd_per_hour == pytest.approx(5.5 * USD_AN_HOUR)


def test_two_at_once_burn_twice_and_a_gap_burns_nothing(by_hand):
    together = by_hand.build([by_hand.trial(n, [0.5], [300.0]) for n in (0, 1)])
    assert burn_rate(together).usd_per_hour == pytest.approx(2 * USD_AN_HOUR)
    apart = by_hand.build([by_hand.trial(n, [0.5], [100.0], started_at=BEGAN + 400 * n) for n in (0, 1)])
    assert burn_rate(apart).usd_per_hour == pytest.approx(USD_AN_HOUR)
    assert burn_rate(apart).seconds == 200.0


def test_a_study_that_spent_nothing_has_no_burn_rate(empty):
    assert burn_rate(empty) is None
    assert spend_by_purpose(empty).empty


def test_payments_since_a_time_are_those_of_all_time(realistic):
    since = float(realistic.checkpoints["timestamp"].median())
    every = payments(realistic)
    late = payments(realistic, since)
    expected = every[every["ended"] >= since].reset_index(drop=True)
    pd.testing.assert_frame_equal(late[late["ended"] >= since].reset_index(drop=True), expected)


def test_the_steps_of_the_hypervolume_are_the_same_line(realistic):
    whole, steps = hypervolume_over_spend(realistic), hypervolume_steps(realistic)
    assert len(steps) < len(whole)
    at = np.searchsorted(steps["spend_usd"], whole["spend_usd"], side="right") - 1
    assert steps["hypervolume"].to_numpy()[at].tolist() == whole["hypervolume"].tolist()


def test_a_reason_that_trials_share_is_reported_once(by_hand):
    lost = {"state": "failed", "reason": "not_finite", "message": "the loss was not a number"}
    rows = [by_hand.trial(n, [0.5], [10.0], **lost) for n in range(12)]
    rows.append(by_hand.trial(12, [0.5], [10.0], state="paused", reason="paused", message="paused after epoch 1"))
    rows.append(by_hand.trial(13, [0.5], [10.0]))
    reasons = reasons_table(by_hand.build(rows))
    assert reasons["runs"].tolist() == [12, 1]
    assert reasons["labels"].tolist() == ["#0, #1, #2, #3, #4, #5, #6, #7 and 4 more", "#12"]
    assert reasons["price_usd"].iloc[0] == pytest.approx(120 * USD_AN_HOUR / 3600)


def test_trials_under_way_tell_their_age_and_how_far_they_are(by_hand):
    rows = [
        by_hand.trial(0, [0.5, 0.6], [10.0, 20.0], state="running"),
        by_hand.trial(1, [], [], state="running", started_at=BEGAN + 50),
        by_hand.trial(2, [0.5], [10.0]),
    ]
    table = by_hand.build(rows)
    under_way = running_table(table, BEGAN + 60)
    assert under_way["label"].tolist() == ["#0", "#1"]
    assert under_way["age_seconds"].tolist() == [60.0, 10.0]
    assert under_way["epoch"].tolist() == [2, 0]
    assert under_way["quiet_seconds"].tolist() == [40.0, 10.0]
    assert under_way["quality"].iloc[0] == 0.6
    assert math.isnan(under_way["quality"].iloc[1])
    assert {state: count for state, count in trial_counts(table).items() if count} == {"running": 2, "completed": 1}
    assert latest_trials(table, ["running"], most=1)["label"].tolist() == ["#1"]


def test_a_failed_study_without_checkpoints_is_all_failures(small):
    failed = replace(small, runs=small.runs.tail(1).reset_index(drop=True), checkpoints=small.checkpoints.head(0))
    assert usd_of(spend_by_purpose(failed, decided())) == {"failures": 0.25}
