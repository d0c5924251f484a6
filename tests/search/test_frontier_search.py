"""The search by dollars, on made-up curves: what it may never do, and what it must have learnt."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.search_parts import ACCURACY, DIRECTIONS, EPOCHS, SPACE, reached, settings_of
from tracker.errors import RequestError
from tracker.records import Direction, TrialState
from tracker.search.agreement import LEAST_OWN
from tracker.search.frontier_search import FrontierSearch
from tracker.search.memory import sound_memory
from tracker.search.objectives import Frontier, Objective
from tracker.search.policies.first_trials import FIRST_TRIALS
from tracker.search.sampler import Sampling, Trials
from tracker.search.steps import Step
from tracker.study.domains import Choices, Range
from tracker.study.space import GB, SearchSpace
from tracker.study.spec import Limit

TPE = Sampling()


def searcher(space=SPACE, directions=DIRECTIONS, sampling=TPE, **options):
    trials = Trials.create(None, "s", directions, space, 0, sampling)
    objectives = [Objective(name, direction) for name, direction in directions.items()]
    options.setdefault("reference", {"price_usd": 1.0})
    return FrontierSearch(trials, space, ACCURACY, objectives, sampling=sampling, **options)


class Replay:
    """Takes steps until the money is gone, and keeps what happened."""

    def __init__(self, search, budget_usd=0.05, outcome=reached):
        self.search, self.left_usd, self.outcome = search, budget_usd, outcome
        self.epochs, self.prices, self.settings, self.points, self.steps = {}, {}, {}, [], []

    def step(self, **options):
        step = self.search.next_step(self.left_usd, **options)
        if step is None:
            return None
        self.steps.append((step, self.left_usd))
        return self.take(step)

    def take(self, step):
        self.settings[step.trial] = step.settings
        epoch, before = self.epochs.get(step.trial, 0), self.prices.get(step.trial, 0.0)
        while True:
            epoch += 1
            values = self.outcome(step.settings, epoch)
            self.search.reached(step.trial, epoch, values)
            self.points.append((step.trial, epoch, values))
            if epoch >= EPOCHS or (step.until_usd is not None and values["price_usd"] >= step.until_usd):
                break
        self.epochs[step.trial], self.prices[step.trial] = epoch, values["price_usd"]
        self.left_usd -= values["price_usd"] - before
        if epoch >= EPOCHS:
            self.search.ended(step.trial, TrialState.COMPLETED, values["price_usd"])
        else:
            self.search.paused(step.trial, values["price_usd"])
        return step

    def run(self, steps=10_000):
        for _ in range(steps):
            if self.left_usd <= 0 or self.step() is None:
                break
        return self


def resumed(replay, **options):
    """A new search that is reported what the one of ``replay`` knew."""
    again = searcher(**options)
    again._trials = replay.search._trials
    again.recall(sound_memory(json.loads(json.dumps(replay.search.memory()))))
    for trial, settings in replay.settings.items():
        again.register(trial, settings)
    for trial, epoch, values in replay.points:
        again.reached(trial, epoch, values)
    for trial, epoch in replay.epochs.items():
        if epoch < EPOCHS:
            again.paused(trial, replay.prices[trial])
    return again


@pytest.fixture(scope="module")
def played():
    return Replay(searcher()).run()


def test_no_step_is_taken_that_does_not_fit(played):
    assert all(step.expected_usd <= left_usd for step, left_usd in played.steps)
    assert played.left_usd > -1e-9, "prices are known after the first epoch, so nothing is overdrawn"
    assert played.left_usd < 2e-4, "what is left is less than most epochs cost"


def test_most_trials_are_left_early_and_some_go_deep(played):
    depths = sorted(played.epochs.values())
    assert len(depths) > 2 * FIRST_TRIALS
    assert depths[len(depths) // 2] <= 4
    assert depths[-1] == EPOCHS


def test_settings_that_start_slowly_are_tried_at_depth():
    replay = Replay(searcher(), 0.2).run()
    ended = {settings["width"] for trial, settings in replay.settings.items() if replay.epochs[trial] == EPOCHS}
    assert 64 in ended, "the widest are dearest, and behind for the first epochs"
    assert max(values["accuracy"] for _, _, values in replay.points) > 0.8, "more than the narrowest ever reach"


def test_every_later_step_says_what_it_was_chosen_by(played):
    for step, _ in played.steps[FIRST_TRIALS:]:
        assert step.why
        assert {"left_usd", "expected_gain", "expected_accuracy", "hypervolume"} <= step.numbers.keys()
        json.dumps(dict(step.numbers))


def test_the_same_results_give_the_same_steps():
    first, again = (Replay(searcher(), 0.01).run() for _ in range(2))
    assert [step for step, _ in first.steps] == [step for step, _ in again.steps]


def test_the_reference_is_frozen_and_goes_on_in_a_resumed_search(played):
    reference = played.search.reference
    worst_first = min(values["accuracy"] for _, epoch, values in played.points[:FIRST_TRIALS] if epoch == 1)
    assert reference == {"accuracy": pytest.approx(worst_first), "price_usd": 1.0}
    again = resumed(played)
    step = again.next_step(1.0, new_trials=False)
    assert again.reference == reference
    assert step.trial in played.settings, "no trial begins anew"
    assert played.epochs[step.trial] < EPOCHS


def test_a_resumed_search_that_takes_no_step_keeps_its_memory(played):
    search, memory = searcher(), json.loads(json.dumps(played.search.memory()))
    search.recall(memory)
    assert search.memory() == memory


def flat(settings, epoch):
    """Whatever is trained reaches the same at once, for the same price: one checkpoint is the frontier."""
    return {**reached(settings_of(), epoch), "accuracy": 0.8}


def explored(steps):
    return [number for number, (step, _) in enumerate(steps) if "has not moved" in step.why]


def test_where_nothing_moves_the_frontier_trials_are_drawn_evenly():
    replay = Replay(searcher(), 1.0, flat).run(80)
    found = explored(replay.steps)
    assert len(found) > 10
    assert all(replay.steps[number][0].until_usd == 0 for number in found), "new trials"
    assert explored(Replay(searcher(), 0.05).run(40).steps) == [], "here it moves"
    limited = Replay(searcher(trials_limited=True), 1.0, flat).run(80)
    assert explored(limited.steps) == [], "trials are scarce"


def test_a_resumed_search_knows_for_how_long_the_frontier_stood_still():
    replay = Replay(searcher(), 3.0).run(60)
    assert explored(replay.steps)
    again = resumed(replay)
    assert again.next_step(1.0) is not None
    measured = [search._valuation.hypervolume for search in (replay.search, again)]
    assert abs(measured[1] / measured[0] - 1) > 0.01, "measured anew, on another scale"
    for name in ("standstill", "enough"):
        assert again.memory()[name] == replay.search.memory()[name], name


def test_a_space_that_has_an_end_is_explored_to_it():
    space = SearchSpace(
        {"epochs": EPOCHS},
        {"cpu": {"width": Choices((8, 16, 32, 64)), "rate": Choices((0.01, 0.02, 0.03, 0.04, 0.05))}},
    )
    replay = Replay(searcher(space), 1.0, flat).run(500)
    assert len(replay.settings) == 20
    assert set(replay.epochs.values()) == {EPOCHS}
    assert replay.search.closed


def test_what_an_earlier_study_did_not_measure_teaches_nothing():
    search = searcher(directions={**DIRECTIONS, "prediction_usd": Direction.MINIMIZE})
    for number in range(FIRST_TRIALS):
        settings = {"device": "cpu", "epochs": EPOCHS, "width": 8, "rate": 0.01 + number / 1000}
        search.warm_start(settings, [(1, reached(settings, 1))])
    replay = Replay(search, 0.01, lambda *at: {**reached(*at), "prediction_usd": 1e-3}).run()
    assert len(replay.settings) > FIRST_TRIALS
    assert all(math.isfinite(value) for value in search.reference.values())


def test_what_ran_out_of_memory_is_avoided_before_it_is_paid_for():
    limit = 1e9

    def outcome(settings, epoch):
        return {**reached(settings, epoch), "peak_memory_bytes": 2e7 * settings["width"]}

    search = searcher(limits=[Limit("peak_memory_bytes", high=limit)])
    replay, failed = Replay(search, 0.05, outcome), []
    for _ in range(60):
        step = search.next_step(replay.left_usd)
        if step.settings["width"] == 64 and step.trial not in replay.epochs:  # 1.28 GB
            search.ended(step.trial, TrialState.FAILED, 1e-5, "out_of_memory")
            failed.append(len(search._knowledge.trials))
            continue
        values = outcome(step.settings, replay.epochs.get(step.trial, 0) + 1)
        replay.epochs[step.trial] = replay.epochs.get(step.trial, 0) + 1
        search.reached(step.trial, replay.epochs[step.trial], values)
        search.paused(step.trial, values["price_usd"])
    late = [number for number in failed if number > len(search._knowledge.trials) / 2]
    assert failed
    assert len(late) <= 0.1 * len(search._knowledge.trials), "one in four would fail if nothing were learnt"


@pytest.mark.parametrize(
    ("tried_gb", "ahead_gb", "fits"), [(8.0, 0.5, False), (8.0, 8.0, True), (1.0, 8.0, True), (1.0, 1.0, False)]
)
def test_a_trial_s_own_memory_is_what_it_may_need(tried_gb, ahead_gb, fits):
    memory = {"memory_gb": Choices((0.5, 1.0, 8.0))}
    search = searcher(
        SearchSpace({"epochs": EPOCHS}, {"cpu": {"rate": Range(1e-3, 1e-1, log=True), **memory}}),
        limits=[Limit("peak_memory_bytes", high=64 * GB)],
    )
    large, small = [], []  # of 3 GB and of 0.2
    for rate in np.geomspace(1e-3, 1e-1, 40):
        settings = {"device": "cpu", "epochs": EPOCHS, "rate": float(rate), "memory_gb": tried_gb}
        needs_gb = 3.0 if rate > 0.01 else 0.2
        values = {**reached({**settings, "width": 8}, 1), "peak_memory_bytes": needs_gb * GB}
        lacks = needs_gb > tried_gb
        search.warm_start(settings, [] if lacks else [(1, values)], "out_of_memory" if lacks else "")
        (large if rate > 0.01 else small).append({**settings, "memory_gb": ahead_gb})
    search._knowledge.count_elsewhere(priced=True)
    assert search.next_step(1.0) is not None
    of_large, of_small = (np.median(search._fitted.outlook.of_settings(each).sound[:, 0]) for each in (large, small))
    assert of_large > 0.8 if fits else of_large < 0.3
    assert of_small > 0.6


def test_a_checkpoint_that_misses_a_limit_is_no_point_of_the_frontier():
    def outcome(settings, epoch):
        return {**reached(settings, epoch), "recall": settings["width"] / 100}

    search = searcher(limits=[Limit("recall", low=0.3)])
    replay = Replay(search, 0.03, outcome).run()
    after = [step.settings["width"] for step, _ in replay.steps if step.numbers.get("expected_gain") is not None]
    share = sum(width >= 32 for width in after[len(after) // 2 :]) / len(after[len(after) // 2 :])
    assert share > 0.6, "half of the settings miss it"


def test_a_metric_that_is_limited_and_never_reported_leaves_the_frontier_empty():
    replay = Replay(searcher(limits=[Limit("recall", low=0.3), Limit("latency", high=2.0)]), 0.01).run()
    assert len(replay.epochs) > FIRST_TRIALS
    assert replay.steps[-1][0].numbers["hypervolume"] == 0.0


def test_earlier_studies_are_evidence_but_no_points():
    earlier = Replay(searcher(), 0.03).run()
    search = searcher()
    for trial, settings in earlier.settings.items():
        search.warm_start(settings, [(epoch, values) for other, epoch, values in earlier.points if other == trial])
    replay, live = Replay(search, 0.05), None
    while "expected_accuracy" not in (step := replay.step(live_trial=live)).numbers:
        live, count = step.trial, len(replay.points)
        assert len(replay.settings) <= LEAST_OWN, "its own first trials judge them"
    assert len(search._knowledge.elsewhere) == len(earlier.settings)
    own = Frontier([Objective(name, direction) for name, direction in DIRECTIONS.items()], search.reference)
    own.add(own.gains([values for _, _, values in replay.points[:count]]))
    assert step.numbers["hypervolume"] == pytest.approx(own.volume)


def test_a_resumed_search_does_not_ask_those_again_who_did_not_agree():
    def turned_round(settings, epoch):
        return reached({**settings, "width": 512 // settings["width"]}, epoch)

    def warm():
        for trial, settings in earlier.settings.items():
            points = [(epoch, values) for other, epoch, values in earlier.points if other == trial]
            search.warm_start(settings, points)

    earlier, said = Replay(searcher(), 0.03, turned_round).run(), []
    search = searcher(notify=said.append)
    warm()
    played = Replay(search, 0.05).run()
    assert [line for line in said if "their trials are not used" in line]
    memory = json.loads(json.dumps(search.memory()))
    assert memory["alone_from"] is not None
    search = searcher(notify=said.append)
    search.recall(sound_memory(memory))
    warm()
    assert search.memory() == memory
    assert search._knowledge.elsewhere == []
    assert len(played.settings) > FIRST_TRIALS


def test_a_live_trial_takes_another_step_only_where_it_is_worth_more_than_what_waits():
    replay = Replay(searcher(), 0.05)
    first = replay.step()
    rival = Step(first.trial + 1, first.settings, 0.0, 1e-4)
    stays = replay.search.stay(first.trial, replay.left_usd, rival)
    assert stays.trial == first.trial, "it will be surveyed anyway, and its process is alive"
    assert stays.until_usd > replay.prices[first.trial], "to its next checkpoint"
    replay.take(stays)
    assert replay.search.stay(first.trial, replay.left_usd, rival) is None
    while "expected_gain_per_usd" not in (step := replay.step()).numbers or replay.epochs[step.trial] == EPOCHS:
        pass
    for numbers in ({"expected_gain_per_usd": 1e9}, {}):
        assert replay.search.stay(step.trial, replay.left_usd, replace(rival, numbers=numbers)) is None
    worthless = replace(rival, numbers={"expected_gain_per_usd": 0.0})
    stays = replay.search.stay(step.trial, replay.left_usd, worthless)
    assert stays.trial == step.trial
    assert stays.expected_usd <= replay.left_usd
    replay.take(replace(stays, until_usd=None))
    assert replay.search.stay(step.trial, replay.left_usd, worthless) is None, "it has ended"


def test_trials_that_cannot_matter_any_more_are_reported():
    def outcome(settings, epoch):  # the narrowest is as good as the rest, at an eighth of the price
        return {**reached({**settings, "width": 8}, epoch), "price_usd": 1e-4 * (settings["width"] / 8) ** 2 * epoch}

    replay = Replay(searcher(), 0.3, outcome).run(150)
    prospects = replay.search.prospects()
    assert set(prospects) <= {trial for trial, epoch in replay.epochs.items() if epoch < EPOCHS}
    assert min(prospects.values()) >= 0
    hopeless = [replay.settings[trial] for trial, gain in prospects.items() if gain == 0]
    assert hopeless
    had = [(values["accuracy"], values["price_usd"]) for _, _, values in replay.points]
    for settings in hopeless:  # whatever they would have come to, it was had for less
        ahead = [outcome(settings, epoch) for epoch in range(1, EPOCHS + 1)]
        assert all(
            any(accuracy >= each["accuracy"] and usd <= each["price_usd"] for accuracy, usd in had) for each in ahead
        )
    best = {
        width: max(gain for trial, gain in prospects.items() if replay.settings[trial]["width"] == width)
        for width in (8, 64)
    }
    assert best[64] < 0.1 * best[8], "those that cost more for nothing come last"


@pytest.mark.parametrize("name", ["RandomSampler", "QMCSampler", "NSGAIISampler"])
def test_any_sampler_may_suggest(name):
    replay = Replay(searcher(sampling=Sampling(name)), 0.01).run()
    assert len(replay.epochs) > FIRST_TRIALS


def test_four_objectives_at_once():
    directions = {**DIRECTIONS, "wall_seconds": Direction.MINIMIZE, "worst": Direction.MAXIMIZE}

    def outcome(settings, epoch):
        values = reached(settings, epoch)
        return {**values, "worst": values["accuracy"] * settings["rate"] ** 0.1}

    replay = Replay(searcher(directions=directions), 0.02, outcome).run()
    assert set(replay.search.reference) == set(directions)
    assert len(replay.epochs) > FIRST_TRIALS


def test_a_budget_below_the_cheapest_step_says_what_that_is():
    replay = Replay(searcher(), 1.0)
    replay.step()
    assert replay.search.next_step(1e-9) is None
    assert "the cheapest step, to a first checkpoint for $0.0" in replay.search.closed


def test_a_reference_that_nothing_can_beat_is_refused():
    with pytest.raises(RequestError, match=r"search.reference.price_usd: 1e-06 lies inside the frontier"):
        Replay(searcher(reference={"price_usd": 1e-6}), 0.05).run()


def test_a_reference_quality_that_nothing_beats_yet_is_said_and_counts_once_it_is_beaten():
    said = []
    given = {"price_usd": 1.0, "accuracy": 0.75}
    replay = Replay(searcher(reference=given, notify=said.append), 0.05)
    volumes = [step.numbers["hypervolume"] for step in iter(replay.step, None) if "hypervolume" in step.numbers]
    assert said == [
        "no checkpoint beats search.reference.accuracy = 0.75 yet: until one does, the hypervolume is measured "
        "from the worst values seen"
    ]
    beaten = max(values["accuracy"] for _, _, values in replay.points)
    assert beaten > 0.8, "it is searched for as without that reference"
    assert min(volumes) > 0
    assert replay.search.reference == given


def test_a_reference_quality_that_nothing_can_beat_leaves_the_search_as_good():
    said = []
    replay = Replay(searcher(reference={"price_usd": 1.0, "accuracy": 2.0}, notify=said.append), 0.05).run()
    plain = Replay(searcher(), 0.05).run()
    assert len(said) == 1
    assert [step for step, _ in replay.steps] == [step for step, _ in plain.steps]
    assert replay.search.reference["accuracy"] == 2.0


def test_a_resumed_search_still_waits_for_the_reference_that_was_given():
    given = {"price_usd": 1.0, "accuracy": 2.0}
    replay = Replay(searcher(reference=given), 0.01).run()
    said = []
    again = resumed(replay, reference=given, notify=said.append)
    assert again.next_step(1.0) is not None
    assert again.reference == given
    assert len(said) == 1
