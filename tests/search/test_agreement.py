"""Earlier studies' trials count where they agree with the study's own."""

from __future__ import annotations

import math

import pytest

from tests.support.search_parts import parts, reached, settings_of
from tracker.search.agreement import LEAST_OWN
from tracker.search.policies.first_trials import FIRST_TRIALS

EARLIER = 16


def settings_elsewhere(number):
    return settings_of(8 * 2 ** (number % 4), float(10 ** (-3 + 2 * ((5 * number) % 16) / 16)))


def with_trials_elsewhere(outcome, messages, *, earlier=EARLIER, own=8, epochs=4):
    """Parts with trials of an ``earlier`` study, where trainings went by ``outcome``, and with ``own`` trials."""
    built = parts(notify=messages.append)
    for number in range(earlier):
        settings = settings_elsewhere(number)
        built.knowledge.warm_start(settings, [(epoch, outcome(settings, epoch)) for epoch in range(1, 5)], "")
    for trial in range(own):
        built.train(trial, settings_of(8 * 2 ** (trial % 4), float(10 ** (-2.9 + 0.25 * trial))), epochs)
    return built.ready()


def turned_round(settings, epoch):
    """As if the narrowest were the widest."""
    return reached({**settings, "width": 512 // settings["width"]}, epoch)


def ten_times_as_dear(settings, epoch):
    values = reached(settings, epoch)
    return {**values, "price_usd": 10 * values["price_usd"]}


def test_those_that_agree_count():
    messages = []
    built = with_trials_elsewhere(reached, messages)
    assert len(built.knowledge.elsewhere) == EARLIER
    assert len(built.knowledge.priced) == EARLIER + 8
    assert messages[0].endswith("their trials are used")


def test_where_only_prices_do_not_those_of_the_study_itself_are_expected():
    messages = []
    built = with_trials_elsewhere(ten_times_as_dear, messages)
    assert len(built.knowledge.elsewhere) == EARLIER
    assert built.knowledge.priced == [*built.knowledge.trials.values()]
    assert messages[0].endswith("their trials are used, but not what they cost")
    for width in (8, 64):
        settings = settings_of(width, 0.01)
        forecast = built.fitted.outlook.of_settings([settings])
        assert forecast.cost_usd[0, 0] == pytest.approx(reached(settings, 1)["price_usd"], rel=0.5)


def test_those_that_do_not_are_dropped_and_people_are_informed():
    messages = []
    built = with_trials_elsewhere(turned_round, messages)
    assert built.knowledge.elsewhere == built.knowledge.unjudged == []
    assert "what the earlier studies forecast for this study's 8 trials is off by" in messages[0]
    assert messages[0].endswith("their trials are not used")
    alone = with_trials_elsewhere(reached, [], earlier=0)
    for width in (8, 64):
        one, other = (each.fitted.outlook.of_settings([settings_of(width)]) for each in (built, alone))
        assert one.mean == pytest.approx(other.mean), "the models were fitted without them"
    assert built.knowledge.observed == alone.knowledge.observed, "and are fitted again as often"
    built.knowledge.warm_start(settings_of(8, 0.05), [(1, reached(settings_of(8, 0.05), 1))], "")
    assert built.knowledge.unjudged == [], "after a resume they are not asked again"


def test_until_enough_own_trials_were_surveyed_they_do_not_count():
    for own, epochs, judged in (
        (LEAST_OWN - 1, 4, False),
        (LEAST_OWN, 4, True),
        (FIRST_TRIALS - 1, 1, False),
        (FIRST_TRIALS, 1, True),
    ):
        known = with_trials_elsewhere(reached, [], own=own, epochs=epochs).knowledge
        assert len(known.elsewhere) == (EARLIER if judged else 0)
        assert len(known.everyone) == own + len(known.elsewhere)


def test_they_are_judged_again_as_there_are_more_trials():
    messages = []
    built = with_trials_elsewhere(reached, messages, own=LEAST_OWN)
    assert len(built.knowledge.elsewhere) == EARLIER
    observed = built.knowledge.observed
    for trial in range(LEAST_OWN, 12):
        built.train(trial, settings_elsewhere(trial), 4, turned_round)
    built.ready()
    assert built.knowledge.elsewhere == []
    assert built.knowledge.alone_from == 12
    assert built.knowledge.observed < observed + 8
    assert [message.split(": ")[1] for message in messages] == ["their trials are used", "their trials are not used"]


def test_after_a_resume_those_that_counted_are_judged_again_as_those_that_chose_trials():
    built = parts()
    built.knowledge.counted_before = True
    for number in range(EARLIER):
        settings = settings_elsewhere(number)
        built.knowledge.warm_start(settings, [(1, turned_round(settings, 1)), (2, turned_round(settings, 2))], "")
    for trial in range(LEAST_OWN):
        built.train(trial, settings_of(8 * 2**trial, 0.01), 2)
    assert built.knowledge.counted, "who saves now remembers that they did"
    built.agreement.judge()
    assert built.knowledge.alone_from == LEAST_OWN
    assert not built.knowledge.counted


@pytest.mark.parametrize("earlier", [4, 8])
def test_those_that_are_known_at_their_first_checkpoint_only_are_compared_there(earlier):
    messages = []
    built = parts(notify=messages.append)
    for number in range(earlier):
        settings = settings_elsewhere(number)
        built.knowledge.warm_start(settings, [(1, noisy(settings, 1))], "")
    for trial in range(LEAST_OWN):
        built.train(trial, settings_of(8 * 2**trial, float(10 ** (-2.9 + 0.4 * trial))), 2, noisy)
    built.agreement.judge()
    assert len(built.knowledge.elsewhere) == earlier, messages


def noisy(settings, epoch):
    """As trainings are: the same settings reach not quite the same."""
    off = 0.02 * math.sin(1e5 * settings["rate"] + settings["width"])
    values = reached(settings, epoch)
    return {**values, "accuracy": values["accuracy"] + off}


def test_very_few_count_at_once():
    built = parts()
    built.knowledge.warm_start(settings_of(64), [(1, reached(settings_of(64), 1))], "")
    built.agreement.judge()
    assert len(built.knowledge.elsewhere) == 1


def test_without_a_checkpoint_there_is_nothing_to_disagree_with():
    built = parts()
    built.knowledge.warm_start(settings_of(64), [], "out_of_memory")
    built.agreement.judge()
    assert len(built.knowledge.elsewhere) == 1
