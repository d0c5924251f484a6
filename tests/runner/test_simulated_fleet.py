"""A study of 1,000 trials on 50 simulated machines of three SKUs, a tenth of the spot machines lost an hour."""

from __future__ import annotations

import pytest

from experiments.benchmarks.simulated_market import KINDS
from experiments.benchmarks.simulated_study import NAME, simulated_study
from tracker import open_study

TRIALS = 1000


@pytest.fixture(scope="module")
def home(new_home):
    return new_home()


@pytest.fixture(scope="module")
def facts(home):
    return simulated_study(home, TRIALS)


def test_no_trial_is_lost_or_run_twice(facts):
    assert facts.trials == TRIALS
    assert (facts.twice, facts.left_running) == (0, 0)
    assert facts.lost_machines >= 3


def test_what_is_known_of_every_attempt_is_what_its_machine_wrote(facts):
    assert facts.untrue == 0


def test_every_book_says_what_the_events_say(facts):
    assert facts.findings == []
    assert facts.price_error < 1e-9


def test_the_lines_of_all_machines_add_up_to_what_they_cost(facts):
    assert facts.node_error <= 0.01


def test_each_attempt_is_billed_as_the_machine_that_it_ran_on(facts, home):
    runs = open_study(NAME, home=home).runs().query("role == 'trial'")
    billed = set(zip(runs["sku"], runs["market"], strict=True))
    assert len(billed) > 1
    assert billed <= {(kind.sku, kind.market) for kind in KINDS}
