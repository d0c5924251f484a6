"""What the search believes: points in the unit cube, scales, curves, the hypervolume that a point would add."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.frontier.pareto import hypervolume
from tracker.records import Direction, QualityMetric
from tracker.search.candidates import Candidates
from tracker.search.curves import CurveModel, Observations
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import TrialFacts
from tracker.search.features import Features
from tracker.search.links import Link
from tracker.search.objectives import Frontier, Objective
from tracker.search.ranks import ranked
from tracker.search.sampler import Sampling
from tracker.search.tried import Tried
from tracker.study.domains import Choices, Range
from tracker.study.space import SearchSpace

ACCURACY = QualityMetric("accuracy", Direction.MAXIMIZE)
PLANE = [Objective("accuracy", Direction.MAXIMIZE), Objective("price_usd", Direction.MINIMIZE)]
SPACE = SearchSpace(
    {"epochs": 8},
    {
        "cpu": {"rate": Range(1e-3, 1e-1, log=True), "width": Choices((8, 64, 16)), "kind": Choices(("a", "b"))},
        "cuda": {"rate": Range(1e-3, 1e-1, log=True), "precision": Choices(("fp32", "bf16"))},
    },
)


def test_settings_are_points_in_the_unit_cube():
    cube, random = UnitCube(SPACE), np.random.default_rng(0)
    drawn = [cube.draw(random) for _ in range(200)]
    points = cube.points(drawn)
    assert points.shape == (200, cube.width)
    assert (points >= 0).all()
    assert (points <= 1).all()
    assert {settings["device"] for settings in drawn} == {"cpu", "cuda"}
    assert all(settings["epochs"] == 8 for settings in drawn)
    low, middle = cube.points([{"device": "cpu", "rate": rate, "width": 8, "kind": "a"} for rate in (1e-3, 1e-2)])
    assert np.abs(middle - low).max() == pytest.approx(0.5), "half way on the logarithm"
    small, large = cube.points([{"device": "cpu", "rate": 1e-3, "width": width, "kind": "a"} for width in (8, 64)])
    assert np.abs(large - small).max() == 1.0, "choices that are numbers stand in their order"


def test_a_neighbour_differs_in_a_knob_or_two():
    cube, random = UnitCube(SPACE), np.random.default_rng(0)
    settings = {"device": "cpu", "rate": 0.01, "width": 8, "kind": "a", "epochs": 8}
    for _ in range(50):
        near = cube.neighbour(settings, random)
        assert near.keys() == settings.keys()
        assert sum(near[name] != settings[name] for name in settings) <= 2


@pytest.mark.parametrize(
    ("values", "direction"),
    [
        (np.array([0.1, 0.5, 0.99]), Direction.MAXIMIZE),
        (np.array([0.02, 0.5, 9.0]), Direction.MINIMIZE),
        (np.array([-3.0, 0.0, 40.0]), Direction.MAXIMIZE),
    ],
)
def test_a_scale_gives_back_what_was_put_on_it(values, direction):
    link = Link.of(values, direction)
    assert link.back(link.to(values)) == pytest.approx(values)


def test_what_is_forecast_is_possible():
    accuracy = Link.of(np.array([0.1, 0.9]), Direction.MAXIMIZE)
    assert accuracy.back(np.array([-100.0, -1.0, 100.0])).tolist() == [0.0, 0.0, 1.0]
    loss = Link.of(np.array([0.1, 9.0]), Direction.MINIMIZE)
    assert loss.back(np.array([100.0])).tolist() == [0.0]
    reward = Link.of(np.array([0.1, 9.0]), Direction.MAXIMIZE)
    assert reward.back(np.array([-100.0, 100.0])).tolist() == [-100.0, 100.0]


@pytest.mark.parametrize(
    "values", [np.array([0.1, 0.5, 0.99]), np.array([0.02, 0.5, 9.0]), np.array([-3.0, 0.0, 40.0])]
)
@pytest.mark.parametrize("direction", Direction)
def test_more_is_better_on_every_scale(values, direction):
    scaled = Link.of(values, direction).to(values)
    assert (np.diff(scaled) * (1 if direction is Direction.MAXIMIZE else -1) > 0).all()


def test_curves_are_learnt_from_other_settings_and_from_the_trial_itself():
    random = np.random.default_rng(0)
    points, unseen = random.uniform(size=(80, 2)), random.uniform(size=(40, 2))
    levels = np.arange(5.0)

    def true(point):  # a made-up family of curves: the first coordinate decides the level, the second the pace
        return point[0] + (0.5 + point[1]) * (1 - 2 ** (-levels / 2))

    def of_trials(points):  # and of each trial by itself: it is better or worse than settings like its own, throughout
        return np.array([true(point) for point in points]) + 0.2 * random.normal(size=(len(points), 1))

    observations = Observations(np.repeat(np.arange(80), 5), np.tile(levels, 80), of_trials(points).ravel())
    model = CurveModel(points, observations, Features(2))
    expected, deviation = model.of_new(unseen, np.tile(levels, (40, 1)))
    curves = np.array([true(point) for point in unseen])
    assert np.sqrt(((expected - curves) ** 2).mean()) < 0.2 * curves.std()
    assert 0.1 < deviation.mean() < 0.4, "a trial by itself is off by 0.2"
    values = of_trials(unseen)
    ahead, sure = model.ahead(unseen, np.zeros(40), values[:, 0], np.tile(levels, (40, 1)))
    assert ahead[:, 0] == pytest.approx(values[:, 0], abs=0.01), "what is known stays"
    assert ((ahead - values) ** 2).mean() < 0.3 * ((expected - values) ** 2).mean(), "what was better stays better"
    assert (sure[:, 1:] < deviation[:, 1:]).all()


def test_a_knob_that_does_not_matter_is_found_out():
    random = np.random.default_rng(0)
    points = random.uniform(size=(120, 3))
    targets, nothing = np.sin(9 * points[:, 1]), np.zeros((120, 0))
    features = Features(3)
    for _ in range(4):
        features = features.refined(points, nothing, targets)
    assert features.frequencies[1] > 3 * features.frequencies[[0, 2]].max()


def test_some_trainings_fail_but_none_is_as_much_better():
    random = np.random.default_rng(0)
    points = random.uniform(size=(200, 1))
    failing = random.uniform(size=200) < 0.1
    trial = np.arange(200)
    values = points[:, 0] - 2.0 * failing + 0.05 * random.normal(size=200)
    model = CurveModel(points, Observations(trial, np.zeros(200), values), Features(1))
    assert -model.futures.min() > 2 * model.futures.max()


@pytest.mark.parametrize("alike", [True, False])
def test_what_nothing_explains_is_shared_with_the_nearest_where_it_proves_to_be(alike):
    random = np.random.default_rng(0)
    points = random.uniform(size=(240, 2))
    of_cell = random.normal(size=(9, 9))  # too rugged for smooth features

    def true(points):
        column, row = (9 * points).astype(int).T
        return of_cell[column, row] if alike else random.normal(size=len(points))

    trial, first = np.arange(240), np.zeros(240)
    model = CurveModel(points, Observations(trial, first, true(points)), Features(2))
    near = np.clip(points + 1e-3, 0, 0.999)
    expected, deviation = model.of_new(near, np.zeros((240, 1)))
    off = np.sqrt(((expected[:, 0] - true(near)) ** 2).mean())
    assert (off < 0.4) if alike else (off > 0.8)
    assert (deviation.mean() < 0.5) if alike else (deviation.mean() > 0.7)


def test_points_that_are_spread_evenly_are_as_far_apart_as_their_spacing():
    grid = np.stack(np.meshgrid(np.arange(10) / 10, np.arange(10) / 10), axis=-1).reshape(-1, 2)
    for frequencies in ([1.0, 1.0], [3.0, 3.0]):
        features = Features(2, np.array(frequencies))
        places = features.places(grid)
        nearest = np.linalg.norm(places[:, None] - places[None], axis=-1)[0, 1:].min()
        assert features.spacing(100, 2) == pytest.approx(nearest)
    stretched = Features(2, np.array([9.0, 1.0])).spacing(100, 2)
    assert stretched == pytest.approx(features.spacing(100, 2)), "the same volume"


def test_a_name_that_is_chosen_is_one_dimension():
    names = Choices(tuple("abcdefgh"))
    assert UnitCube(SearchSpace({}, {"cpu": {"name": names, "rate": Range(0.0, 1.0)}})).dimensions == 2
    two = {"cpu": {"name": names}, "cuda": {"name": names, "rate": Range(0.0, 1.0)}}
    assert UnitCube(SearchSpace({}, two)).dimensions == 3
    assert UnitCube(SearchSpace({"rate": 0.1}, {"cpu": {}})).dimensions == 1


def test_candidates_are_looked_for_near_every_part_of_the_frontier():
    space = SearchSpace({"epochs": 8}, {"cpu": {name: Range(0.0, 1.0) for name in "abcdef"}})
    cube, random = UnitCube(space), np.random.default_rng(0)
    candidates = Candidates(space, cube, Tried(space), Sampling(), 0)
    cheap, best = [cube.draw(random) for _ in range(50)], cube.draw(random)
    along = np.tile([1.0, 0.9, 0.8, 0.2], (50, 1))
    candidates.learn([*cheap, best], np.vstack([along, [0.1, 0.1, 0.1, 1.0]]), 0)
    shared = [sum(each[name] == best[name] for name in "abcdef") for each in candidates.look(random).values()]
    assert max(shared) >= 4


def values(price, accuracy=0.5, **more):
    return {"accuracy": accuracy, "price_usd": price, "wall_seconds": 100 * price, **more}


def test_starts_between_attempts_do_not_count_as_what_an_epoch_costs():
    facts, price = TrialFacts.of({"epochs": 20}, UnitCube(SPACE), Ends()), 0.0
    for epoch in range(1, 10):
        price += 1.0 + (5.0 if epoch in (4, 7) else 0.0)
        facts.observe(epoch, values(price), ["accuracy"], ACCURACY)
    assert facts.further_costs[0] == pytest.approx(1.0)
    assert facts.price_usd == pytest.approx(19.0)
    assert facts.last_epoch == 20


@pytest.mark.parametrize(
    ("checkpoints", "epoch_usd"),
    [
        ([(6.0, 6, 5), (12.0, 12, 10), (18.0, 18, 15)], 1.0),  # a new process for each
        ([(6.0, 6, 5), (7.0, 7, 5), (8.0, 8, 5)], 1.0),
        ([(1.0, 11, 10), (2.0, 12, 10), (3.0, 13, 10)], 1.0),  # starts are not billed
        ([(5.011, 11, 10), (5.012, 12, 10), (5.013, 13, 10)], 0.001),  # the data had a price
        ([(60.0, 10, 5), (60.0, 15, 5), (60.0, 20, 5)], 0.0),  # so much is billed at least
        ([(1.0, 1, 1), (2.0, 2, 2), (3.0, 3, 3)], 1.0),  # the code never says that it is ready
    ],
)
def test_what_an_epoch_costs_is_without_the_starts_that_were_measured(checkpoints, epoch_usd):
    facts = TrialFacts.of({"epochs": 20}, UnitCube(SPACE), Ends())
    for epoch, (price, wall, startup) in enumerate(checkpoints, 1):
        reported = {"accuracy": 0.5, "price_usd": price, "wall_seconds": wall, "startup_seconds": startup}
        facts.observe(epoch, reported, ["accuracy"], ACCURACY)
    assert facts.further_costs[0] == pytest.approx(epoch_usd, abs=1e-6)


def test_epochs_that_were_trained_again_after_a_state_was_lost_are_no_part_of_the_next_one():
    facts = TrialFacts.of({"epochs": 20}, UnitCube(SPACE), Ends())
    for epoch, price in ((1, 1.0), (2, 2.0), (1, 8.0), (2, 9.0), (3, 10.0)):
        starts = 5.0 if price > 2 else 0.0
        facts.observe(epoch, values(price, startup_seconds=100 * starts), ["accuracy"], ACCURACY)
    assert facts.further_costs[0] == pytest.approx(1.0)


def test_a_trial_that_moves_is_expected_to_cost_what_it_does_there():
    facts, price = TrialFacts.of({"epochs": 20}, UnitCube(SPACE), Ends()), 0.0
    for epoch in range(1, 6):
        price += 1.0
        facts.observe(epoch, values(price), ["accuracy"], ACCURACY)
    facts.move(usd_ratio=0.25, seconds_ratio=2.0)
    assert facts.further_costs[:2].tolist() == pytest.approx([0.25, 200.0])
    facts.observe(6, values(price + 0.3), ["accuracy"], ACCURACY)
    assert facts.further_costs[0] == pytest.approx(0.25), "what was expected still counts for more than one epoch"
    assert facts.price_usd == pytest.approx(5.3), "what was spent stays"


def test_an_epoch_that_was_lost_and_reached_again_only_costs():
    facts = TrialFacts.of({}, UnitCube(SPACE), Ends())
    assert facts.observe(1, values(1.0, 0.4), ["accuracy"], ACCURACY)
    assert facts.observe(2, values(2.0, 0.6), ["accuracy"], ACCURACY)
    assert not facts.observe(2, values(3.0, 0.1), ["accuracy"], ACCURACY)
    assert facts.price_usd == pytest.approx(3.0)
    assert facts.metrics[0] == pytest.approx(0.6)
    facts.observe(3, values(4.0, 0.5), ["accuracy"], ACCURACY)
    assert facts.metrics[0] == pytest.approx(0.6), "the best so far"
    assert facts.latest[0] == pytest.approx(0.5)


def test_the_volume_of_two_objectives_is_the_exact_one():
    random = np.random.default_rng(1)
    frontier = Frontier(PLANE, {"accuracy": 0.1, "price_usd": 1.0})
    points = [values(10 ** random.uniform(-4, -0.1), random.uniform(0.2, 0.9)) for _ in range(40)]
    before = 0.0
    for point in points:
        expected = float(frontier.added(frontier.reaches(frontier.gains([point])))[0])
        scale, volume = frontier._scale.copy(), frontier.volume
        frontier.add(frontier.gains([point]))
        if (frontier._scale == scale).all():
            assert frontier.volume == pytest.approx(volume + expected, abs=1e-12)
        box = float(np.prod(frontier._scale))
        assert frontier.volume * box >= before - 0.02 * max(before, 1e-9)
        before = frontier.volume * box
    quality, price = [p["accuracy"] for p in points], [p["price_usd"] for p in points]
    exact = hypervolume(quality, price, Direction.MAXIMIZE, 0.1, 1.0)
    assert before == pytest.approx(exact, rel=0.03)


def test_the_volume_of_three_objectives_is_nearly_the_exact_one():
    three = [*PLANE, Objective("wall_seconds", Direction.MINIMIZE)]
    frontier = Frontier(three, {"accuracy": 0.0, "price_usd": 1.0, "wall_seconds": 100.0})
    frontier.add(frontier.gains([values(0.01, 0.8)]))
    assert frontier.volume == pytest.approx(1.0, rel=0.05), "one point fills its box"
    assert frontier.closeness(frontier.reaches(frontier.gains([values(0.01, 0.8)])))[0].max() == pytest.approx(1.0)
    assert frontier.closeness(frontier.reaches(frontier.gains([values(0.1, 0.4)])))[0].max() < 1.0


def test_a_point_that_misses_the_reference_adds_nothing():
    frontier = Frontier(PLANE, {"accuracy": 0.5, "price_usd": 1.0})
    frontier.add(frontier.gains([values(0.01, 0.4), values(2.0, 0.9)]))
    assert frontier.empty
    assert frontier.volume == 0.0


def test_of_points_that_are_the_same_one_ranks_before_what_they_beat_not_all():
    gains = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [2.0, 0.5], [0.5, 0.5]])
    assert ranked(gains, 2) == [0, 3]
    assert ranked(gains, 5) == [0, 3, 1, 2, 4]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_ranks_are_those_of_peeling_one_front_after_the_other(dimensions):
    chance = np.random.default_rng(dimensions)
    for _ in range(30):
        gains = chance.integers(0, 6, size=(40, dimensions)).astype(float)  # many are the same
        gains[chance.random(40) < 0.1] = -np.inf  # beyond a limit
        expected, left = [], list(range(40))
        while left:
            front = [one for one in left if not any(beats(gains, other, one) for other in left)]
            expected += front
            left = [each for each in left if each not in front]
        assert ranked(gains, 40) == expected


def beats(gains, one, other):
    """Whether a point is as good as another in all, and better in some or the first of two that are the same."""
    as_good = (gains[one] >= gains[other]).all()
    return as_good and ((gains[one] > gains[other]).any() or one < other)
