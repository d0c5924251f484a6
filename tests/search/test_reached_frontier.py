"""The frontier of what was reached, and where its hypervolume is measured from."""

from __future__ import annotations

import pytest

from tests.support.search_parts import parts, reached, settings_of
from tracker.errors import RequestError
from tracker.study.spec import Limit


def ready(**options):
    """A frontier after the first checkpoints of two trials, not frozen yet, and the facts of these."""
    built = parts(**options)
    for trial, width in enumerate((8, 32)):
        built.train(trial, settings_of(width), 1)
    return built.reached, built.knowledge.priced


def test_points_from_before_the_reference_is_frozen_count():
    frontier, trials = ready()
    assert (frontier.frozen, frontier.reference) == (False, None)
    frontier.freeze(trials)
    worst = min(reached(settings_of(width), 1)["accuracy"] for width in (8, 32))
    assert frontier.reference == {"accuracy": worst, "price_usd": 1.0}
    assert frontier.frontier.volume > 0


def test_what_a_checkpoint_adds_is_the_growth_of_the_volume():
    frontier, trials = ready()
    frontier.freeze(trials)
    before = frontier.frontier.volume
    better = {"accuracy": reached(settings_of(8), 1)["accuracy"] + 1e-3, "price_usd": 1e-4}
    added = frontier.add(better)
    assert added == pytest.approx(frontier.frontier.volume - before)
    assert added > 0
    assert frontier.add(better) == 0, "it is there already"


def test_a_checkpoint_beyond_a_limit_is_no_point():
    frontier, trials = ready(limits=[Limit("recall", low=0.5)])
    frontier.freeze(trials)
    assert frontier.frontier.empty, "none of the first reported it"
    assert frontier.add({"accuracy": 0.9, "price_usd": 1e-3}) == 0
    assert frontier.add({"accuracy": 0.9, "price_usd": 1e-3, "recall": 0.6}) > 0


def test_costs_without_a_budget_are_measured_from_a_multiple_of_the_dearest_first_checkpoint():
    frontier, trials = ready(reference={})
    frontier.freeze(trials)
    assert frontier.reference["price_usd"] == pytest.approx(100 * 4e-4)


def test_a_cost_that_nothing_can_beat_is_refused():
    frontier, trials = ready(reference={"price_usd": 1e-6})
    with pytest.raises(RequestError, match=r"search.reference.price_usd: 1e-06 lies inside the frontier"):
        frontier.freeze(trials)


def test_a_reference_that_was_frozen_before_is_kept():
    frontier, trials = ready()
    frontier.recall({"accuracy": 0.01, "price_usd": 7.0})
    frontier.freeze(trials)
    assert frontier.reference == {"accuracy": 0.01, "price_usd": 7.0}


def test_the_worst_value_seen_replaces_a_given_metric_until_a_point_beats_it():
    said = []
    given = {"accuracy": 0.8, "price_usd": 1.0}
    frontier, trials = ready(reference=given, notify=said.append)
    frontier.freeze(trials)
    assert len(said) == 1
    assert frontier.reference == given
    assert frontier.frontier.reference["accuracy"] < 0.8
    assert frontier.add({"accuracy": 0.79, "price_usd": 0.01}) > 0
    frontier.add({"accuracy": 0.9, "price_usd": 0.02})
    assert frontier.frontier.reference == given
    assert frontier.frontier.volume > 0
