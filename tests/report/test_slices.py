"""The slices that the best point does worst on, and the values of knobs that fail or lose."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.records import Direction, QualityMetric
from tracker.report.slices import direction_of, slice_groups, value_outcomes, wilson_interval, worst_slices
from tracker.store.run_table import CheckpointMetrics


def with_metrics(table, **values):
    count = len(table.checkpoints)
    metrics = {
        name.replace("_at_", "@").replace("_of_", "/"): np.resize(given, count) for name, given in values.items()
    }
    object.__setattr__(table, "metrics", CheckpointMetrics.of(metrics))
    return table


def test_slices_at_the_best_frontier_point_come_worst_first(by_hand):
    table = with_metrics(
        by_hand.build([by_hand.trial(0, [0.5, 0.9, 0.8], [1.0, 2.0, 3.0])]),
        recall_of_cat=[0.1, 0.7, 0.2],
        recall_of_dog=[0.1, 0.6, 0.9],
        loss_at_day=[9.0, 0.2, 9.0],
        loss_at_night=[9.0, 0.8, 9.0],
        f1_of_alone=[0.1, 0.1, 0.1],
        worst_slice_accuracy=[0.1, 0.55, 0.1],
        slice_accuracy_gap=[0.9, 0.35, 0.9],
    )
    rows = worst_slices(table).to_numpy().tolist()
    assert rows == [
        ["recall", "dog", 0.6, "higher"],
        ["recall", "cat", 0.7, "higher"],
        ["loss", "night", 0.8, "lower"],
        ["loss", "day", 0.2, "lower"],
        ["accuracy", "worst of all", 0.55, "higher"],
        ["accuracy", "best less worst", 0.35, "lower"],
    ]


def test_a_slice_that_the_best_point_has_no_value_of_is_left_out(by_hand):
    table = with_metrics(
        by_hand.build([by_hand.trial(0, [0.5, 0.9], [1.0, 2.0])]), recall_of_a=[0.1, np.nan], recall_of_b=[0.2, 0.3]
    )
    assert worst_slices(table)["slice"].tolist() == ["b"]


def test_without_slices_or_without_a_point_there_are_no_rows(small, empty, hostile):
    for table in (small, empty, hostile):
        assert worst_slices(table).empty


def test_the_direction_of_a_metric():
    loss = QualityMetric("hits", Direction.MINIMIZE)
    assert direction_of("hits", loss) is Direction.MINIMIZE
    assert direction_of("accuracy", loss) is Direction.MAXIMIZE
    for name in ("validation_loss", "bits_per_byte", "RMSE", "energy_joules"):
        assert direction_of(name, loss) is Direction.MINIMIZE
    assert slice_groups(["a/x", "a@y"]) == {"a": {"x": "a/x", "y": "a@y"}}
    assert slice_groups(["/x", "/y", "a/", "b"]) == {}


@pytest.mark.parametrize("total", [1, 7, 200])
def test_an_interval_of_a_share_is_wilsons(total):
    stats = pytest.importorskip("scipy.stats")
    for count in {0, 1, total // 2, total}:
        expected = stats.binomtest(count, total).proportion_ci(method="wilson")
        assert wilson_interval(count, total) == pytest.approx(tuple(expected), abs=1e-9)


def test_values_whose_trials_fail_come_first(by_hand):
    rows = []
    for number in range(40):
        precision = ("fp32", "fp16")[number % 2]
        failed = precision == "fp16" and number % 4 == 1
        rows.append(
            by_hand.trial(
                number,
                [] if failed else [0.5 + 0.01 * number],
                [] if failed else [1.0 + number * (number % 2 + 1)],
                state="failed" if failed else "completed",
                settings={"precision": precision, "size": 1.5**number, "seed": number},
            )
        )
    found = value_outcomes(by_hand.build(rows))
    worst = found.iloc[0]
    assert (worst["knob"], worst["value"], worst["trials"], worst["failed"]) == ("precision", "fp16", 20, 10)
    assert worst["failure_rate"] == 0.5
    assert (worst["failure_low"], worst["failure_high"]) == pytest.approx(wilson_interval(10, 20))
    assert "seed" not in set(found["knob"])
    sizes = found[found["knob"] == "size"]
    assert len(sizes) == 6 and sizes["trials"].sum() == 40
    assert all(" to " in value for value in sizes["value"])
    fp32 = found[found["value"] == "fp32"].iloc[0]
    assert fp32["failed"] == 0 and fp32["failure_low"] == 0.0 and fp32["dominated"] < 20


def test_nothing_has_ended_yet(by_hand, empty):
    running = by_hand.build([by_hand.trial(0, [0.5], [1.0], state="running")])
    assert value_outcomes(running).empty and value_outcomes(empty).empty
