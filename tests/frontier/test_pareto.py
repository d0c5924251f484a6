"""The frontier maths against their brute-force definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.frontier import pareto
from tracker.frontier.pareto import frontier_mask, hypervolume, hypervolume_growth, slope_per_point
from tracker.records import Direction

# Few distinct values, so that ties and duplicates are common; some are not finite.
QUALITY = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, -3.0, math.nan, math.inf, -math.inf])
PRICE = st.sampled_from([1e-9, 1e-4, 2e-4, 0.5, 1.0, 1.0000001, 1e6, math.nan, math.inf])
POINTS = st.lists(st.tuples(QUALITY, PRICE), max_size=14)
DIRECTION = st.sampled_from(list(Direction))


def columns(points):
    return [quality for quality, _ in points], [price for _, price in points]


def dominates(first, second, direction):
    sign = 1 if direction == Direction.MAXIMIZE else -1
    better, cheaper = sign * (first[0] - second[0]), second[1] - first[1]
    return better >= 0 and cheaper >= 0 and (better > 0 or cheaper > 0)


def on_frontier_by_definition(points, direction):
    finite = [all(map(math.isfinite, point)) for point in points]
    return [
        finite[i]
        and not any(finite[j] and dominates(points[j], points[i], direction) for j in range(len(points)))
        and points[i] not in points[:i]
        for i in range(len(points))
    ]


@given(POINTS, DIRECTION)
@settings(max_examples=300, deadline=None)
def test_a_point_is_on_the_frontier_exactly_where_none_dominates_it(points, direction):
    assert frontier_mask(*columns(points), direction).tolist() == on_frontier_by_definition(points, direction)


def test_of_equal_points_the_first_is_kept():
    mask = frontier_mask([0.5, 0.7, 0.7, 0.7], [1.0, 2.0, 2.0, 3.0], Direction.MAXIMIZE)
    assert mask.tolist() == [True, True, False, False]


def test_no_points_have_no_frontier_and_no_hypervolume():
    assert frontier_mask([], [], Direction.MAXIMIZE).tolist() == []
    assert hypervolume([], [], Direction.MAXIMIZE, 0.0, 1.0) == 0.0
    assert slope_per_point([], [], Direction.MAXIMIZE).tolist() == []


def test_a_hundred_thousand_points_take_no_quadratic_time():
    generator = np.random.default_rng(0)
    quality, price = generator.random(100_000), generator.random(100_000) + 1e-6
    mask = frontier_mask(quality, price, Direction.MAXIMIZE)  # the brute force would need 10^10 comparisons
    assert mask[np.argmax(quality)]
    assert mask[np.argmin(price)]


@given(POINTS, DIRECTION)
@settings(max_examples=200, deadline=None)
def test_hypervolume_is_the_sum_of_the_dominated_cells(points, direction):
    reference = (-4.0, 2.0) if direction == Direction.MAXIMIZE else (1.0, 2.0)
    sign = 1 if direction == Direction.MAXIMIZE else -1
    inside = [p for p in points if all(map(math.isfinite, p)) and dominates(p, reference, direction)]
    qualities = sorted({sign * p[0] for p in inside} | {sign * reference[0]})
    prices = sorted({math.log10(p[1]) for p in inside} | {math.log10(reference[1])})
    cells = sum(
        (right - left) * (top - bottom)
        for left, right in itertools.pairwise(prices)
        for bottom, top in itertools.pairwise(qualities)
        if any(math.log10(p[1]) <= left and sign * p[0] >= top for p in inside)
    )
    assert hypervolume(*columns(points), direction, *reference) == pytest.approx(cells, abs=1e-9)


@given(POINTS, QUALITY, PRICE, DIRECTION)
@settings(deadline=None)
def test_hypervolume_never_shrinks_when_a_point_is_added(points, quality, price, direction):
    reference = (-4.0, 2.0) if direction == Direction.MAXIMIZE else (1.0, 2.0)
    before = hypervolume(*columns(points), direction, *reference)
    after = hypervolume(*columns([*points, (quality, price)]), direction, *reference)
    assert after >= before - 1e-12


def test_hypervolume_counts_decades_of_price():
    # 0.5 for one decade, then 0.8 for two more
    assert hypervolume([0.5, 0.8], [0.001, 0.01], Direction.MAXIMIZE, 0.0, 1.0) == pytest.approx(0.5 + 1.6)


def test_a_slope_is_dollars_for_one_hundredth_of_quality():
    slopes = slope_per_point([0.70, 0.75, 0.76], [1.0, 2.0, 4.0], Direction.MAXIMIZE)
    assert math.isnan(slopes[0])
    assert slopes[1:] == pytest.approx([0.2, 2.0])
    assert slope_per_point([0.5, 0.4], [1.0, 3.0], Direction.MINIMIZE)[1] == pytest.approx(0.2)


def test_wrong_input_is_reported_with_its_value():
    with pytest.raises(ValueError, match=r"\(2,\) and price \(1,\)"):
        frontier_mask([1.0, 2.0], [1.0], Direction.MAXIMIZE)
    with pytest.raises(ValueError, match="one shape"):
        frontier_mask([[1.0]], [[1.0]], Direction.MAXIMIZE)
    with pytest.raises(ValueError, match="lowest given is -2"):
        frontier_mask([1.0, 2.0], [math.nan, -2.0], Direction.MAXIMIZE)
    with pytest.raises(ValueError, match="above zero"):
        hypervolume([1.0], [0.0], Direction.MAXIMIZE, 0.0, 1.0)
    with pytest.raises(ValueError, match="reference point"):
        hypervolume([1.0], [1.0], Direction.MAXIMIZE, math.nan, 1.0)
    with pytest.raises(ValueError, match="frontier"):
        slope_per_point([0.7, 0.6], [1.0, 2.0], Direction.MAXIMIZE)


@given(POINTS, DIRECTION)
@settings(max_examples=300, deadline=None)
def test_the_hypervolume_grows_as_points_come_in(points, direction):
    finite = [(quality, price) for quality, price in points if quality != math.inf and quality != -math.inf]
    qualities, prices = columns(finite)
    reference = (-0.2 if direction == Direction.MAXIMIZE else 0.8), 2.0
    grown = hypervolume_growth(qualities, prices, direction, *reference)
    for count in range(len(finite)):
        started = qualities[: count + 1], prices[: count + 1]
        assert grown[count] == pytest.approx(hypervolume(*started, direction, *reference), abs=1e-9)
    assert (np.diff(grown) >= 0).all()


@pytest.mark.parametrize("levels", [0, 40])
def test_of_very_many_points_the_same_are_non_dominated_as_of_few(monkeypatch, levels):
    generator = np.random.default_rng(levels)
    quality, price = generator.random(3000), generator.random(3000) + 0.1
    if levels:  # many of the same quality, of the same price, and of both
        quality, price = np.round(quality * levels), np.ceil(price * levels)
    few = [frontier_mask(quality, price, direction) for direction in Direction]
    monkeypatch.setattr(pareto, "MANY", 1)
    many = [frontier_mask(quality, price, direction) for direction in Direction]
    assert np.array_equal(few, many)
