"""What repeats say of a frontier: answers that are known, and intervals that hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from tracker.frontier.spread import spread_of
from tracker.frontier.student_t import t_quantile
from tracker.frontier.uncertainty import Measurements, certainty
from tracker.records import Direction

NAN = math.nan


def measurements(quality, price_usd=None, trial=None):
    quality = np.array(quality, dtype=np.float64)
    rows, runs = quality.shape
    price = np.array(range(1, rows + 1), dtype=np.float64) if price_usd is None else np.array(price_usd)
    price = np.repeat(price[:, None], runs, axis=1) if price.ndim == 1 else price
    return Measurements(
        quality, np.where(np.isfinite(quality), price, NAN), np.arange(rows) if trial is None else trial
    )


def known(quality, price_usd=None, trial=None, direction=Direction.MAXIMIZE, on_frontier=None):
    measured = measurements(quality, price_usd, trial)
    return certainty(measured, np.ones(len(measured.trial)) if on_frontier is None else on_frontier, direction)


def test_students_t_is_the_textbooks():
    for degrees in (1, 2, 3, 8, 27, 120):
        assert t_quantile(degrees) == pytest.approx(stdtrit(degrees, 0.975), rel=1e-9)


def test_two_points_that_are_clearly_apart_are_both_on_the_frontier_and_not_tied():
    found = known([[0.51, 0.50, 0.51, 0.49], [0.92, 0.90, 0.91, 0.89]])
    assert found.probability.tolist() == [1.0, 1.0]
    assert found.tied_with.tolist() == [-1, -1]
    assert found.quality_mean.tolist() == pytest.approx([0.5, 0.9])
    # Both have the variance 0.01**2, pooled with 4 degrees of freedom.
    half = stdtrit(4, 0.975) * 0.01 / math.sqrt(3)
    assert found.quality_high - found.quality_mean == pytest.approx([half, half])
    assert found.quality_mean - found.quality_low == pytest.approx([half, half])


def test_a_tie_names_the_cheaper_and_the_dearer_one_is_as_likely_off_the_frontier_as_on_it():
    found = known([[0.80, 0.79, 0.80, 0.81], [0.82, 0.81, 0.79, 0.80]])
    assert found.tied_with.tolist() == [-1, 0]
    assert found.probability[0] == 1.0, "nothing is cheaper"
    assert found.probability[1] == pytest.approx(0.5, abs=0.03)


def test_a_dearer_point_whose_repeats_are_worse_leaves_the_frontier():
    found = known([[0.80, 0.800, 0.801], [0.83, 0.701, 0.700]])
    assert found.probability.tolist() == [1.0, 0.0]


def test_of_a_loss_the_lower_is_better():
    found = known([[0.5, 0.500, 0.501], [0.3, 0.301, 0.300]], direction=Direction.MINIMIZE)
    assert found.probability.tolist() == [1.0, 1.0]
    worse = known([[0.3, 0.300, 0.301], [0.5, 0.501, 0.500]], direction=Direction.MINIMIZE)
    assert worse.probability.tolist() == [1.0, 0.0]


def test_the_lucky_original_does_not_count_once_there_are_two_repeats():
    assert known([[0.9, 0.70, 0.72]]).quality_mean.tolist() == pytest.approx([0.71])
    assert known([[0.9, 0.70, NAN]]).quality_mean.tolist() == pytest.approx([0.80])
    assert known([[0.9, 0.70, 0.72]]).repeats.tolist() == [2]


def test_a_point_without_repeats_borrows_the_spread_of_the_others():
    found = known([[0.5, 0.49, 0.51, 0.50], [0.7, NAN, NAN, NAN]])
    half = stdtrit(2, 0.975) * 0.01
    assert found.quality_mean[1] == 0.7
    assert found.quality_high[1] - 0.7 == pytest.approx(half)


def test_without_any_repeat_nothing_is_claimed():
    found = known([[0.5], [0.7]])
    assert np.isnan([found.quality_low, found.quality_high, found.probability]).all()
    assert found.tied_with.tolist() == [-1, -1]


def test_repeats_that_all_say_the_same_leave_no_doubt():
    found = known([[0.5, 0.5, 0.5], [0.6, 0.6, 0.6]])
    assert found.quality_low.tolist() == found.quality_high.tolist() == [0.5, 0.6]
    assert found.probability.tolist() == [1.0, 1.0]
    assert found.tied_with.tolist() == [-1, -1]
    assert known([[0.5, 0.6, 0.6], [0.6, 0.6, 0.6]]).tied_with.tolist() == [-1, 0], "equal is tied"


def test_a_point_off_the_frontier_competes_with_what_it_measured():
    quality = [[0.80, 0.700, 0.701, 0.702], [0.75, NAN, NAN, NAN], [0.60, NAN, NAN, NAN]]
    found = known(quality, price_usd=[1.0, 2.0, 3.0], on_frontier=[True, False, False])
    assert found.probability.tolist() == [1.0, 1.0, 0.0]


def test_a_later_epoch_of_a_lucky_run_is_no_rival_of_its_trials_repeats():
    quality = [[0.88, 0.800, 0.801, 0.802], [0.87, NAN, NAN, NAN]]
    rival, later = np.array([3, 4]), np.array([3, 3])
    assert known(quality, trial=rival, on_frontier=[True, False]).probability.tolist() == [1.0, 1.0]
    assert known(quality, trial=later, on_frontier=[True, False]).probability.tolist() == [1.0, 0.0]


def test_epochs_of_one_run_are_distinguished_though_seeds_differ_more_than_they_do():
    """Three runs, each 0.02 better at its second epoch; the seeds are 0.05 apart."""
    seeds = np.array([0.0, 0.05, 0.10, 0.15])
    noise = np.array([0.000, 0.001, -0.001, 0.000])
    quality = [0.7 + seeds, 0.72 + seeds + noise]
    together = known(quality, trial=np.array([3, 3]))
    assert together.tied_with.tolist() == [-1, -1]
    assert together.probability[1] > 0.99
    apart = known(quality, trial=np.array([3, 4]))
    assert apart.tied_with.tolist() == [-1, 0]
    one, two = (spread_of(np.array(quality), np.array(trials)).degrees.tolist() for trials in ([3, 3], [3, 4]))
    assert (one, two) == ([3, 3], [6, 6]), "a run counts once, however many epochs it has"


def test_noise_of_prices_never_turns_the_epochs_of_a_run_round():
    speed = np.array([1.0, 1.3, 0.7, 1.1])
    quality = [[0.6, 0.60, 0.61, 0.60], [0.7, 0.70, 0.71, 0.70]]
    found = known(quality, price_usd=np.array([1.0 * speed, 1.1 * speed]), trial=np.array([0, 0]))
    assert found.probability.tolist() == [1.0, 1.0]
    assert found.price_mean_usd[0] == pytest.approx((1.3 * 0.7 * 1.1) ** (1 / 3))
    # Of two trials that cost about the same, the worse one may turn out to be the dearer one.
    other = known(quality, price_usd=np.array([1.0 * speed, 1.1 * speed]), trial=np.array([0, 1]))
    assert 0.4 < other.probability[0] < 0.9


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    """Frontier points of one trial each and of a trial with two epochs, over 1,500 seeded studies."""
    generator, trial, held = np.random.default_rng(5), np.array([0, 1, 2, 2]), []
    truth = np.array([0.5, 0.6, 0.7, 0.75])
    for _ in range(1500):
        shared = generator.normal(0, 0.02, (3, 4))[trial]
        quality = truth[:, None] + shared + generator.normal(0, 0.01, (4, 4))
        measured = measurements(quality, trial=trial)
        spread, count = spread_of(measured.judged_by(quality), trial), np.full(4, 3.0)
        mean = quality[:, 1:].mean(axis=1)
        held.append(np.abs(mean - truth) <= spread.half_width(count))
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_points_that_scatter_widely_do_not_hide_the_difference_of_steady_ones():
    noisy = [[0.20, 0.05, 0.30, 0.22], [0.35, 0.50, 0.25, 0.40], [0.50, 0.62, 0.44, 0.55]]
    steady = [[0.80, 0.801, 0.799, 0.802], [0.85, 0.852, 0.849, 0.850]]
    found = known([*noisy, *steady])
    assert found.tied_with[-1] == -1
    widths = found.quality_high - found.quality_low
    assert widths[-1] < widths[0] / 2


def test_selection_would_lie_and_repeats_do_not():
    """The best of twenty equal points is measured too high; the mean of its repeats is not."""
    generator, lucky, repeated = np.random.default_rng(1), [], []
    for _ in range(400):
        quality = 0.7 + generator.normal(0, 0.02, (20, 3))
        best = quality[quality[:, 0].argmax()]
        lucky.append(best[0] - 0.7)
        repeated.append(known([best]).quality_mean[0] - 0.7)
    assert np.mean(lucky) > 0.03
    assert abs(np.mean(repeated)) < 0.003


def test_the_same_seed_gives_the_same_probabilities():
    quality = [[0.80, 0.79, 0.80], [0.82, 0.80, 0.79]]
    measured = measurements(quality)
    first, again = (certainty(measured, [1, 1], Direction.MAXIMIZE, seed=3).probability for _ in range(2))
    assert first.tolist() == again.tolist()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"quality": np.array([0.5])}, r"quality \(1,\)"),
        ({"quality": np.array([[NAN, 0.5]])}, "original measurement"),
        ({"price_usd": np.array([[1.0, -2.0]])}, "lowest given is -2.0"),
        ({"trial": np.array([1, 2])}, r"trial \(2,\)"),
    ],
)
def test_what_makes_no_sense_is_refused(changed, said):
    good = {"quality": np.array([[0.5, 0.6]]), "price_usd": np.array([[1.0, 2.0]]), "trial": np.array([1])}
    with pytest.raises(ValueError, match=said):
        Measurements(**{**good, **changed})
