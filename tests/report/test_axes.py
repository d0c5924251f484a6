"""What may be on x and y, where checkpoints lie then, and the frontier of the axes shown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import RequestError
from tracker.records import Direction
from tracker.report.axes import Axes, prediction_usd, x_choices, y_choices, y_direction
from tracker.report.axis_points import axis_points, parse_key, point_key, reference_points
from tracker.report.frontier_chart import plane_figure
from tracker.report.plane import plane_of, study_plane
from tracker.report.plane_caption import plane_caption
from tracker.report.tables import frontier_table
from tracker.report.thinning import thinned
from tracker.store.run_table import CheckpointMetrics
from tracker.study.spec import Limit

HOUR = 3600 / 0.096  # seconds that cost one dollar


@pytest.fixture
def with_energy(by_hand):
    """Two trials: the dear one used little energy. Their machine is in Ireland; both were served."""
    rows = [
        by_hand.trial(0, [0.5, 0.6], [HOUR, 2 * HOUR], region="eu-west-1", summary={"predictions_per_second": 10.0}),
        by_hand.trial(
            1, [0.55, 0.7], [3 * HOUR, 6 * HOUR], region="eu-west-1", summary={"predictions_per_second": 1e6}
        ),
    ]
    table = by_hand.build(rows)
    joules = np.array([40_000.0, 80_000.0, 10_000.0, 20_000.0])
    table.runs["energy_joules"] = [80_000.0, 20_000.0]
    table.runs["energy_source"] = "measured"
    metrics = {name: table.metrics[name] for name in table.metrics.names} | {"energy_joules": joules}
    return by_hand.replaced(table, metrics=CheckpointMetrics.of(metrics))


def frontier(table, **axes):
    found = axis_points(table, Axes(**axes)).frontier
    return list(zip(found["trial"], found["epoch"], strict=True))


def test_the_own_axes_give_the_study_s_own_frontier(realistic):
    found, own = axis_points(realistic).frontier, frontier_table(realistic)
    assert list(found["run_id"]) == list(own["run_id"])
    assert found["x_per_step"].to_numpy() == pytest.approx(own["usd_per_point"].to_numpy(), nan_ok=True)


def test_another_cost_has_another_frontier(with_energy):
    assert frontier(with_energy) == [(0, 1), (0, 2), (1, 2)]
    assert frontier(with_energy, x="energy_joules") == [(1, 1), (1, 2)]
    assert frontier(with_energy, x="wall_seconds") == [(0, 1), (0, 2), (1, 2)]


def test_co2_is_that_of_the_energy_where_the_machine_is(with_energy):
    energy, co2 = (axis_points(with_energy, Axes(x=x)) for x in ("energy_joules", "co2_grams"))
    ratio = co2.points["x"] / energy.points["x"]
    assert (ratio > 0).all()
    assert np.ptp(ratio) == pytest.approx(0)
    assert energy.x_measure.title == "energy in Wh (measured)"
    assert co2.x_measure.title == "CO2 in g (measured)"
    assert energy.x_measure.words(7200.0) == "2 Wh"


def test_predictions_cost_what_the_run_s_machine_costs_meanwhile(with_energy):
    each = prediction_usd(with_energy)
    assert each == pytest.approx([1 / HOUR / 10, 1 / HOUR / 1e6])
    found = axis_points(with_energy, Axes(x="prediction_usd", predictions=HOUR))
    assert list(found.points["x"]) == pytest.approx([0.1, 0.1, 1e-6, 1e-6])
    total = axis_points(with_energy, Axes(x="total_usd", predictions=100 * HOUR))
    assert list(total.points["x"]) == pytest.approx([11.0, 12.0, 3.0001, 6.0001])
    assert frontier(with_energy, x="total_usd", predictions=100 * HOUR) == [(1, 1), (1, 2)]
    assert "3,750,000 predictions" in total.x_measure.title


def test_only_costs_that_are_known_can_be_chosen(with_energy, small):
    assert list(x_choices(with_energy)) == [
        *("price_usd", "wall_seconds", "energy_joules", "co2_grams", "prediction_usd", "total_usd")
    ]
    assert list(x_choices(small)) == ["price_usd", "wall_seconds"]
    assert y_choices(small) == ["accuracy", "validation_loss"]


def test_a_metric_is_better_as_it_is_called_as_it_is_limited_or_as_it_is_turned(small, by_hand):
    assert y_direction(small, "accuracy") is Direction.MAXIMIZE
    for name in ("validation_loss", "eval/Error", "step_seconds", "peak_memory_bytes", "rmse", "val-wer"):
        assert y_direction(small, name) is Direction.MINIMIZE, name
    for name in ("f1", "recall", "answer", "tokens"):
        assert y_direction(small, name) is Direction.MAXIMIZE, name
    limited = by_hand.replaced(small, limits=(Limit("f1", high=0.5), Limit("loss", low=1.0)))
    assert y_direction(limited, "f1") is Direction.MINIMIZE
    assert y_direction(limited, "loss") is Direction.MAXIMIZE
    assert axis_points(small, Axes(y="validation_loss")).direction is Direction.MINIMIZE
    assert axis_points(small, Axes(y="validation_loss", turned=True)).direction is Direction.MAXIMIZE
    assert frontier(small, y="validation_loss") == frontier(small)
    assert frontier(small, turned=True) == [(0, 1), (1, 1)]


def test_what_is_not_there_is_refused_with_what_is(small):
    with pytest.raises(RequestError, match=r"no cost 'price'.*price_usd"):
        axis_points(small, Axes(x="price"))
    with pytest.raises(RequestError, match=r"no checkpoint has a metric 'validation_los'.*validation_loss"):
        axis_points(small, Axes(y="validation_los"))
    with pytest.raises(RequestError, match="predictions: 0 is not"):
        axis_points(small, Axes(predictions=0))


def test_checkpoints_without_a_figure_are_left_out_and_counted(with_energy, by_hand):
    metrics = {name: with_energy.metrics[name].copy() for name in with_energy.metrics.names}
    metrics["energy_joules"][0] = math.nan
    metrics["energy_joules"][2] = 0.0
    table = by_hand.replaced(with_energy, metrics=CheckpointMetrics.of(metrics))
    plane = study_plane(table, Axes(x="energy_joules"))
    assert plane.found.left_out == 2
    assert len(plane.drawn) == 2
    assert "Not drawn: 2 checkpoints that have no energy or no accuracy above zero." in plane_caption(plane)


def test_axes_are_linear_or_logarithmic_as_asked(realistic):
    figure = plane_figure(study_plane(realistic, Axes(x="wall_seconds", x_log=False, y_log=True)))
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("linear", "log")
    assert figure.layout.xaxis.title.text == "← cheaper · wall time in s"
    low, high = figure.layout.yaxis.range
    assert low < math.log10(0.5) < high < 1


def test_a_logarithmic_axis_with_figures_below_zero_is_linear_and_says_so(by_hand):
    table = by_hand.build([by_hand.trial(0, [-0.5, 0.5], [HOUR, 2 * HOUR])])
    plane = study_plane(table, Axes(y_log=True))
    assert plane_figure(plane).layout.yaxis.type == "linear"
    assert "y is linear" in plane_caption(plane)


def test_a_baseline_is_on_every_axis_that_it_has_a_figure_of(small):
    references = reference_points(axis_points(small, Axes(x="wall_seconds", y="validation_loss")))
    assert list(references["x"]) == [1.5 * HOUR]
    assert list(references["y"]) == pytest.approx([0.35])
    assert list(references["dominates"]) == [1]


def test_the_selection_its_curve_the_target_and_the_budget_are_drawn(small):
    found = axis_points(small)
    plane = plane_of(found, selected=["run-1@1", "gone@3"], target=0.65, budget=3.0)
    figure = plane_figure(plane)
    shown = {trace.name: trace for trace in figure.data}
    (ring,) = (trace for trace in figure.data if trace.marker.symbol == "circle-open")
    assert list(ring.y) == [0.4]
    assert list(shown["selected run"].y) == [0.4, 0.55]
    assert "runs" not in shown
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["target 0.6500", "budget $3.00"]
    everyone = {trace.name: trace for trace in plane_figure(plane_of(found, curves=True)).data}
    assert np.isnan(everyone["runs"].y).sum() == 2  # a gap after each run but the last


def test_a_point_s_key_leads_back_to_it():
    assert parse_key(point_key("0a.1", 12)) == ("0a.1", 12)
    assert parse_key("0a") == ("0a", None)


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(2001, 6000))
def test_thinning_keeps_few_points_the_extremes_and_one_of_each_kind(seed, count):
    generator = np.random.default_rng(seed)
    x, y, kind = generator.normal(size=count), generator.random(count), generator.random(count) < 0.5
    rows = thinned(x, y, kind)
    assert len(rows) <= 2000
    assert (np.diff(rows) > 0).all()
    assert {x.argmin(), x.argmax(), y.argmin(), y.argmax()} <= set(rows)
    assert 0 < kind[rows].sum() < len(rows)
    assert np.array_equal(rows, thinned(x, y, kind))


def test_points_that_lie_in_one_spot_are_drawn_once():
    same = np.full(5000, 0.5)
    assert len(thinned(same, same, np.zeros(5000, dtype=bool))) == 1
