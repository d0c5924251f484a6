"""What a search knows of its trials, what it follows of them, and which limits they keep."""

from __future__ import annotations

import math

import pytest

from tests.support.search_parts import ACCURACY, EPOCHS, PLANE, SPACE, parts, reached, settings_of
from tracker.records import Direction, TrialState
from tracker.search.limits import Limits
from tracker.search.measures import Measures
from tracker.study.space import SearchSpace
from tracker.study.spec import Limit


def test_a_metric_that_is_missing_keeps_no_limit():
    limits = Limits([Limit("recall", low=0.5), Limit("latency", high=2.0)])
    assert limits.keeps({"recall": 0.5, "latency": 2.0})
    assert not limits.keeps({"recall": 0.4, "latency": 1.0})
    assert not limits.keeps({"recall": 0.9})
    assert not limits.keeps(limits.outside), "what stands for a missing value is outside"


def test_the_least_limit_on_memory_counts_and_memory_that_is_not_reported_keeps_it():
    limits = Limits([Limit("peak_memory_bytes", high=2e9), Limit("peak_memory_bytes", high=1e9)])
    assert limits.on_metrics == []
    assert limits.admits({"peak_memory_bytes": 1e9})
    assert not limits.admits({"peak_memory_bytes": 1.5e9})
    assert limits.admits({})
    assert Limits().admits({"peak_memory_bytes": math.inf})


def test_what_is_limited_is_followed_in_the_direction_of_its_bound():
    limits = Limits([Limit("recall", low=0.5), Limit("latency", high=2.0), Limit("accuracy", high=1.0)])
    measures = Measures(ACCURACY, PLANE, limits)
    assert measures.directions == {
        "accuracy": Direction.MAXIMIZE,
        "recall": Direction.MAXIMIZE,
        "latency": Direction.MINIMIZE,
    }


def test_values_that_are_no_numbers_are_left_out_and_huge_ones_clipped():
    measures = Measures(ACCURACY, PLANE, Limits())
    known = measures.finite({"accuracy": math.nan, "price_usd": -1e300, "loss": math.inf})
    assert known == {"price_usd": -1e100}
    assert not measures.has_objectives(known)
    assert measures.has_objectives({"accuracy": 0.5, "price_usd": 1.0})


def test_a_checkpoint_without_an_objective_only_costs():
    known = parts().knowledge
    known.register(0, settings_of())
    assert known.reached(0, 1, {"accuracy": 0.5, "price_usd": 1.0}) == {"accuracy": 0.5, "price_usd": 1.0}
    assert known.reached(0, 2, {"accuracy": math.nan, "price_usd": 2.0}) is None
    facts = known.trials[0]
    assert (facts.epoch, facts.price_usd) == (1, 2.0)
    assert known.observed == 1
    assert known.trials.spent_usd() == 2.0


def test_what_there_is_to_learn_from_is_the_first_checkpoint_of_each_doubling_and_each_failure():
    known = parts().knowledge
    known.register(0, settings_of())
    seen = []
    for epoch in range(1, 9):
        known.reached(0, epoch, reached(settings_of(), epoch))
        seen.append(known.observed)
    assert seen == [1, 2, 2, 3, 3, 3, 3, 4]
    known.ended(0, TrialState.FAILED, 1.0)
    assert known.observed == 5
    assert known.trials[0].failure == "failed"


def test_a_paused_trial_cost_at_least_what_is_said_and_one_that_ended_exactly_that():
    known = parts().knowledge
    known.register(0, settings_of())
    known.reached(0, 1, {"accuracy": 0.5, "price_usd": 3.0})
    known.paused(0, 2.0)
    assert known.trials[0].price_usd == 3.0
    known.ended(0, TrialState.STOPPED, 2.5)
    assert known.trials[0].price_usd == known.trials.spent_usd() == 2.5


def test_trials_of_earlier_studies_are_evidence_only():
    known = parts().knowledge
    known.warm_start(settings_of(8), [], "")
    assert known.unjudged == [], "there is nothing to learn from it"
    known.warm_start(settings_of(16), [], "out_of_memory")
    known.warm_start(settings_of(32), [(1, reached(settings_of(32), 1))], "")
    assert not known.everyone, "it is not known yet whether they agree"
    assert known.observed == 0
    known.count_elsewhere(priced=True)
    assert [facts.failure for facts in known.everyone] == ["out_of_memory", ""]
    assert known.observed == 1
    assert len(known.priced) == 1
    assert not known.trials
    assert known.trials.spent_usd() == 0


def test_where_trainings_end_is_learnt_from_the_study_itself():
    known = parts().knowledge
    longer = [(epoch, reached(settings_of(), epoch)) for epoch in range(1, 2 * EPOCHS + 1)]
    known.warm_start(settings_of(), longer, "")
    known.register(0, settings_of())
    for epoch in range(1, EPOCHS + 1):
        known.reached(0, epoch, reached(settings_of(), epoch))
    known.ended(0, TrialState.COMPLETED, 1.0)
    known.register(1, settings_of(8))
    assert known.trials[1].last_epoch == EPOCHS


@pytest.mark.parametrize(("epochs", "last_epoch"), [(EPOCHS // 2, EPOCHS), (EPOCHS, EPOCHS), (2 * EPOCHS, math.inf)])
def test_a_trial_of_an_earlier_study_ends_where_those_of_this_one_do_unless_it_went_further(epochs, last_epoch):
    known = parts(SearchSpace({}, SPACE.by_device), last_step=EPOCHS).knowledge
    settings = {"device": "cpu", "width": 8, "rate": 0.01}
    known.warm_start(settings, [(epoch, reached(settings, epoch)) for epoch in range(1, epochs + 1)], "")
    assert known.unjudged[0].last_epoch == last_epoch


@pytest.mark.parametrize(
    ("epochs", "memory_bytes", "place"),
    [(3, 1e6, "waiting"), (3, 2e6, "too_large"), (EPOCHS, 1e6, "at_their_end"), (EPOCHS, 2e6, None)],
)
def test_a_paused_trial_is_resumed_before_its_end_and_within_its_memory(epochs, memory_bytes, place):
    built = parts(limits=[Limit("peak_memory_bytes", high=1.5e6)])
    built.train(0, settings_of(), epochs, lambda *at: {**reached(*at), "peak_memory_bytes": memory_bytes})
    known = built.knowledge
    found = {name: getattr(known, name) for name in ("waiting", "too_large", "at_their_end")}
    assert found == {name: [0] if name == place else [] for name in found}
