"""How much more than expected steps cost."""

from __future__ import annotations

from tracker.search.budget import Allowance
from tracker.search.memory import sound_memory
from tracker.search.overruns import Overruns


def test_steps_that_cost_what_was_expected_need_no_more():
    overruns = Overruns()
    assert overruns.factor == 1.0
    for _ in range(30):
        overruns.learn(1.0, 0.9)
    assert overruns.factor == 1.0


def test_nine_in_ten_steps_cost_at_most_the_factor():
    overruns = Overruns()
    for step in range(60):
        overruns.learn(2.0, 2.0 * (1 + step / 60))
    assert 1.7 < overruns.factor < 2.0


def test_one_extreme_step_does_not_stop_a_search():
    overruns = Overruns()
    overruns.learn(1e-6, 1.0)
    overruns.learn(0.0, 1.0)
    assert overruns.factor < 3.0


def test_a_step_fits_that_is_likely_to_reach_its_checkpoint():
    assert Allowance(1.0).fits(0.9)
    assert not Allowance(1.0, overrun=1.2).fits(0.9)
    assert Allowance(1.0, overrun=1.2).covers(0.9), "what may come after it is no promise"


def test_what_was_learnt_is_restored():
    overruns = Overruns()
    for step in range(80):
        overruns.learn(1.0, 1 + step / 40)
    restored = Overruns()
    restored.recall(overruns.memory())
    assert restored.factor == overruns.factor > 1.5
    assert sound_memory({"overruns": overruns.memory()})["overruns"] == overruns.memory()
    assert "overruns" not in sound_memory({"overruns": [1.0, "much"]})
