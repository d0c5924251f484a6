"""What the tables and documents of a study say."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import pandas as pd
import pytest

from tracker.records import Direction, QualityMetric
from tracker.report.plain import plain
from tracker.report.progress import ReferencePoint, hypervolume_over_spend, reference_point
from tracker.report.tables import (
    frontier_document,
    frontier_table,
    references_table,
    runs_document,
    spend_by_state,
)


def test_the_frontier_is_taken_over_all_checkpoints_of_trials_only(small):
    frontier = frontier_table(small)
    # The baseline (0.65 for $1.50) is none of them; trial 2 failed later, but did reach 0.7 for $4.
    assert list(zip(frontier["trial"], frontier["epoch"], strict=True)) == [(0, 1), (0, 2), (2, 1)]
    assert frontier["price_usd"].tolist() == pytest.approx([1.0, 2.0, 4.0])
    assert frontier["quality"].tolist() == [0.5, 0.6, 0.7]


def test_one_more_point_is_priced_between_neighbours(small):
    slopes = frontier_table(small)["usd_per_point"]
    assert math.isnan(slopes[0])
    assert slopes[1:].tolist() == pytest.approx([0.1, 0.2])


def test_test_accuracy_stands_only_at_a_runs_last_checkpoint(small):
    tested = frontier_table(small)["test_accuracy"]
    assert math.isnan(tested[0])
    assert tested[1] == 0.58
    assert math.isnan(tested[2])


def test_a_loss_is_better_when_it_is_lower(small):
    lower = replace(small, quality=QualityMetric("loss", Direction.MINIMIZE))
    assert frontier_table(lower)["quality"].tolist() == [0.5, 0.4]
    assert references_table(lower)["dominates"].tolist() == [0]


def test_the_frontier_document_has_the_promised_keys_and_is_json(small):
    document = json.loads(json.dumps(frontier_document(small), allow_nan=False))
    assert list(document) == [
        "study",
        "quality",
        "spend_usd",
        "currency",
        "limits",
        "scenario",
        "price_book",
        "points",
        "references",
    ]
    assert document["quality"] == {"name": "accuracy", "direction": "maximize"}
    assert document["spend_usd"] == pytest.approx(0.5 + 1.5 + 2 + 6 + 7 + 0.25)
    assert list(document["points"][0]) == [
        *("trial", "epoch", "quality", "price_usd", "wall_seconds", "sku", "price_basis", "settings")
    ]
    assert document["points"][0]["settings"] == {"precision": "fp32", "device": "cpu", "threads": 1}
    assert document["references"] == [
        {"name": "tf-idf + logistic regression", "quality": 0.65, "price_usd": pytest.approx(1.5), "dominates": 1}
    ]


def test_the_runs_document_writes_what_is_missing_as_null(small):
    runs = json.loads(json.dumps(runs_document(small), allow_nan=False))["runs"]
    assert [run["label"] for run in runs] == ["preparation", "tf-idf + logistic regression", "#0", "#1", "#2", "#3"]
    assert runs[5]["quality"] is None
    assert runs[5]["price_usd"] == 0.25
    assert runs[2]["settings"]["threads"] == 1
    assert runs[2]["busy"] is False


def test_spend_by_state_adds_up_to_the_study(small):
    spend = spend_by_state(small)
    assert spend["state"].tolist() == ["failed", "stopped", "completed", "baseline", "preparation"]
    assert spend["runs"].tolist() == [2, 1, 1, 1, 1]
    assert spend["spend_usd"].sum() == pytest.approx(small.spend_usd)
    assert spend["share"].sum() == pytest.approx(1.0)


def test_hypervolume_never_falls_and_ends_at_the_whole_spend(small, realistic):
    for study in (small, realistic):
        progress = hypervolume_over_spend(study)
        assert progress["spend_usd"].is_monotonic_increasing
        assert progress["hypervolume"].is_monotonic_increasing
        assert progress["spend_usd"].iloc[-1] == pytest.approx(study.spend_usd)


def test_hypervolume_is_measured_from_a_corner_that_can_be_given(small):
    assert reference_point(small) == ReferencePoint(0.4, 20.0)
    last = hypervolume_over_spend(small, ReferencePoint(0.4, 10.0))["hypervolume"].iloc[-1]
    assert last == pytest.approx(0.1 * math.log10(2) + 0.2 * math.log10(2) + 0.3 * math.log10(2.5))


def test_a_study_without_checkpoints_has_empty_tables(empty):
    assert frontier_table(empty).empty
    assert references_table(empty).empty
    assert spend_by_state(empty).empty
    assert hypervolume_over_spend(empty).empty
    assert frontier_document(empty)["points"] == []
    assert frontier_document(empty)["spend_usd"] == 0.0


def test_runs_that_all_failed_leave_no_frontier_but_their_spend(small):
    failed = replace(small, runs=small.runs.tail(1), checkpoints=small.checkpoints.head(0))
    assert frontier_document(failed)["points"] == []
    assert frontier_document(failed)["spend_usd"] == 0.25
    assert spend_by_state(failed)["state"].tolist() == ["failed"]


def test_ten_thousand_checkpoints_take_seconds_not_minutes(build_large):
    study = build_large(runs=1000, epochs=10)
    began = time.perf_counter()
    frontier_document(study)
    hypervolume_over_spend(study)
    assert time.perf_counter() - began < 3.0  # about 0.1 s on two quiet cores


def test_plain_values_keep_their_kind_and_lose_numpy():
    series = pd.Series([1, 2]).to_numpy()
    assert plain({1: series[0], "b": [True, float("inf"), None, "x"], "c": series}) == {
        "1": 1,
        "b": [True, None, None, "x"],
        "c": [1, 2],
    }
    assert plain(pd.NA) is None
