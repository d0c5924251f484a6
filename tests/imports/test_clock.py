"""How long a run of the past worked: its pauses, and a clock that jumps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tracker.imports.clock import clock_put_right, run_clock
from tracker.imports.reached import Logged, reached

HOUR = 3600.0
START = 1_790_000_000.0


def logged(times, steps=None, values=None):
    times = np.array(times, dtype=float) + START
    steps = np.arange(1, len(times) + 1) if steps is None else np.array(steps)
    return Logged(steps, times, np.arange(len(times)) / 10 if values is None else np.array(values, dtype=float))


def work(metrics, end, longest=None):
    return reached(metrics, "acc", START, START + end, longest)


def test_every_value_of_the_quality_is_a_price_point_at_its_time():
    found = work({"acc": logged([60, 120, 180]), "loss": logged([59, 119, 179])}, 200)
    assert found.elapsed_seconds.tolist() == [60, 120, 180]
    assert found.epochs.tolist() == [1, 2, 3]
    assert found.wall_seconds == 200 and not found.left_out
    assert found.metrics["loss"].tolist() == [0.0, 0.1, 0.2]


def test_one_night_between_two_values_does_not_count_but_for_the_usual_time():
    found = work({"acc": logged([60, 120, 180, 180 + 9 * HOUR, 240 + 9 * HOUR])}, 250 + 9 * HOUR)
    assert found.elapsed_seconds.tolist() == [60, 120, 180, 240, 300]
    (pause,) = found.left_out
    assert pause.seconds == 9 * HOUR - 60 and pause.why == "without a value"
    assert found.wall_seconds == 310


def test_a_notebook_left_open_does_not_count():
    found = work({"acc": logged([60, 120, 180])}, 15 * HOUR)
    assert found.wall_seconds == 240
    assert [each.why for each in found.left_out] == ["after its last value"]


@pytest.mark.parametrize(
    "metrics",
    [
        {"acc": logged([9 * HOUR])},
        {"acc": logged([9 * HOUR]), "features": logged([1])},
        {"acc": logged([60, 9 * HOUR], [0, 1]), "loss": logged([60.1, 9 * HOUR + 0.1], [0, 1])},
        {"acc": logged([2 * HOUR * at for at in range(1, 5)] + [9 * HOUR])},
    ],
    ids=["one metric at the end", "and one at the start", "a sanity check at step 0", "a value every two hours"],
)
def test_a_long_training_that_logs_little_counts_whole(metrics):
    found = work(metrics, 9 * HOUR + 1)
    assert not found.left_out
    assert found.wall_seconds == 9 * HOUR + 1


def test_of_two_validations_the_training_loss_says_how_often_the_run_logs():
    times = [*range(30, 3600, 30), *range(3600 + 36_000, 3600 + 39_600, 30)]
    metrics = {"loss": logged(times), "acc": logged([3570, 3600 + 36_030])}
    found = work(metrics, times[-1])
    assert len(found.left_out) == 1
    assert found.wall_seconds < 2.1 * HOUR


def test_long_validations_between_batches_are_no_pauses():
    """Four hours of batches, then one and a half of validation, again and again."""
    epoch = 5.5 * HOUR
    batches = [at * epoch + second for at in range(4) for second in range(60, 4 * 3600, 60)]
    found = work({"acc": logged([epoch * (at + 1) for at in range(4)]), "loss": logged(batches)}, 4 * epoch)
    assert not found.left_out and found.wall_seconds == 4 * epoch


def test_the_user_says_what_a_pause_is():
    metrics = {"acc": logged([60, 120, 180, 180 + 1800])}
    assert work(metrics, 1980).wall_seconds == 1980
    assert work(metrics, 1980, longest=600).wall_seconds == 240
    night = {"acc": logged([60, 120, 180, 180 + 9 * HOUR])}
    assert work(night, 180 + 9 * HOUR, longest=1e6).wall_seconds == 180 + 9 * HOUR


def test_a_resumed_run_whose_steps_go_back_has_each_step_once():
    found = work({"acc": logged([60, 120, 180, 300, 360, 420, 480], [1, 2, 3, 2, 3, 4, 5])}, 500)
    assert found.epochs.tolist() == [1, 2, 3, 4, 5]
    assert found.elapsed_seconds.tolist() == [60, 120, 360, 420, 480]
    assert found.falling == 1


def test_a_clock_set_back_is_put_right():
    found = work({"acc": logged([60, 120, -3480, -3420], [1, 2, 3, 4])}, -3420)
    assert found.elapsed_seconds.tolist() == [60, 120, 180, 240]
    assert found.set_back_seconds == 3600
    assert np.all(np.diff(found.timestamps) > 0)
    times, by = clock_put_right([10.0, 9.9995, 20.0])
    assert by == 0.0 and np.all(np.diff(times) >= 0)


def test_values_without_a_step_are_counted():
    found = work({"acc": logged([60, 120, 180], [0, 0, 0]), "loss": logged([60, 120, 180], [0, 0, 0])}, 200)
    assert found.epochs.tolist() == [1, 2, 3]
    assert found.metrics["loss"].tolist() == [0.0, 0.1, 0.2]


def test_without_timestamps_there_is_one_price_point_at_the_end():
    unknown = Logged(np.array([1, 2]), np.array([math.nan, math.nan]), np.array([0.5, 0.7]))
    found = work({"acc": unknown}, 600)
    assert (found.elapsed_seconds.tolist(), found.metrics["acc"].tolist()) == ([600], [0.7])
    assert found.without_timestamps


def test_values_that_are_no_numbers_are_no_price_points():
    found = work({"acc": logged([60, 120, 180], values=[0.1, math.nan, 0.3])}, 180)
    assert found.elapsed_seconds.tolist() == [60, 180]
    nothing = work({"acc": logged([60], values=[math.nan])}, 180)
    assert not len(nothing.epochs) and nothing.wall_seconds == 180


@pytest.mark.parametrize(("start", "end", "worked"), [(math.nan, math.nan, 120), (START, math.nan, 180)])
def test_a_start_or_an_end_that_is_not_known_is_the_first_or_the_last_value(start, end, worked):
    clock = run_clock(start, end, np.array([START + 60, START + 180]), None, None)
    assert clock.worked_seconds[-1] == worked


def test_a_run_that_logged_nothing_worked_from_its_start_to_its_end():
    assert run_clock(START, START + 60, np.empty(0), None, None).worked_seconds[-1] == 60
    assert run_clock(math.nan, math.nan, np.empty(0), None, None).worked_seconds[-1] == 0
