"""What a study is estimated to cost, from past runs that are made up, so that the truth is known."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from tests.support.studies import digits
from tracker.errors import RequestError
from tracker.prediction.step_times import Source
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.records import Market, Role
from tracker.report.estimate.billing import Billing, priced_pool
from tracker.report.estimate.fixed_work import fixed_work
from tracker.report.estimate.grounds import NOTHING, PREDICTED, PROBE, RUNS, grounds_of
from tracker.report.estimate.likely import LikelyCost
from tracker.report.estimate.offers import targets_in_markets
from tracker.report.estimate.outlay import Doubt, Fixed, Room, play
from tracker.report.estimate.past import Past, PastRun, Steps
from tracker.report.estimate.sizes import training_costs
from tracker.report.estimate.trainings import Trainings
from tracker.runner.outline import outline
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.spec import Budget

NO_DOUBT = Doubt(0.0, 0.0, 0.0)
SPACE = {"width": [4, 16, 64], "epochs": {"low": 1, "high": 8}}


def plan_of(home, **tables):
    study = digits(**{"space": SPACE, **tables})
    if "epochs" in study["space"]:
        study["settings"].pop("epochs", None)
    return outline(StudyDocument("study", study), Home(home))


@pytest.fixture
def plan(tmp_path):
    return plan_of(tmp_path)


def true_seconds(settings):
    """A start, epochs that take longer the wider the model is, and a test at the end."""
    return 0.5 + settings["epochs"] * math.sqrt(settings["width"]) + 0.25


def past_run(plan, number, width, epochs, *, until=None, study="before", **changes):
    """A run whose seconds are the true ones; ``until`` an epoch, where it was paused before its end."""
    settings = {**plan.space.fixed, "device": "cpu", "learning_rate": 0.01, "width": width, "epochs": epochs}
    reached = tuple((epoch, 0.5 + epoch * math.sqrt(width)) for epoch in range(1, (until or epochs) + 1))
    run = PastRun(
        study=study,
        role=Role.TRIAL,
        label=f"#{number}",
        settings=settings,
        hardware=plan.hardware.label,
        seconds=reached[-1][1] if until else true_seconds(settings),
        completed=until is None,
        reached=reached,
        startup_seconds=0.4,
        memory_bytes=2e8,
    )
    return dataclasses.replace(run, **changes)


def past_runs(plan, **changes):
    combinations = itertools.product((4, 16, 64), (1, 2, 3, 5, 8))
    return [past_run(plan, at, width, epochs, **changes) for at, (width, epochs) in enumerate(combinations)]


def test_whole_trainings_are_learnt_as_a_function_of_their_settings(plan):
    runs = past_runs(plan)
    model = Trainings(runs, plan.space, None)
    asked = [{**runs[0].settings, "width": width, "epochs": epochs} for width in (4, 16, 64) for epochs in (4, 6, 7)]
    assert model.usage(asked).seconds == pytest.approx([true_seconds(each) for each in asked], rel=0.15)
    assert model.usage(asked).memory_bytes == pytest.approx(np.full(len(asked), 2e8), rel=0.01)


def test_trainings_that_were_paused_say_what_their_rest_would_have_taken(plan):
    runs = [past_run(plan, at, width, 8, until=2) for at, width in enumerate((4, 16, 64, 4, 16, 64))]
    usage = Trainings(runs, plan.space, None).usage([run.settings for run in runs])
    assert usage.seconds == pytest.approx([true_seconds(run.settings) for run in runs], rel=0.15)


def test_the_test_at_the_end_that_a_paused_training_never_had_is_taken_to_last_as_long_as_an_evaluation(plan):
    paused = [past_run(plan, at, width, 8, until=2) for at, width in enumerate((4, 16, 64))]
    settings = [run.settings for run in paused]
    without = Trainings(paused, plan.space, None).usage(settings).seconds
    evaluated = [dataclasses.replace(run, evaluation_seconds=2.0) for run in paused]
    assert Trainings(evaluated, plan.space, None).usage(settings).seconds - without == pytest.approx(
        [2.0] * 3, rel=0.01
    )
    whole = [past_run(plan, at, width, 8, evaluation_seconds=2.0) for at, width in enumerate((4, 16, 64))]
    measured = Trainings([*evaluated, *whole], plan.space, None).usage(settings).seconds
    assert measured == pytest.approx([true_seconds(each) for each in settings], rel=0.05)


def test_two_trials_opposite_each_other_say_what_the_middle_costs(plan):
    runs = [past_run(plan, 0, 4, 2), past_run(plan, 1, 64, 2)]
    model = Trainings(runs, plan.space, None)
    middle = {**runs[0].settings, "width": 16, "epochs": 5}
    assert model.usage([middle]).seconds[0] == pytest.approx(true_seconds(middle), rel=0.25)
    assert model.level_deviation > Trainings(past_runs(plan), plan.space, None).level_deviation


def test_where_nothing_says_how_long_trainings_are_that_is_said(tmp_path):
    plan = plan_of(tmp_path, space={"width": [4, 16]}, settings={"steps": 5})
    settings = {**plan.space.fixed, "device": "cpu", "width": 4}
    settings.pop("epochs")
    plan = dataclasses.replace(plan, space=dataclasses.replace(plan.space, fixed={"threads": 1}))
    run = past_run(plan_of(tmp_path), 0, 4, 8, until=2, settings=settings)
    with pytest.raises(RequestError, match="nothing says where a training ends"):
        Trainings([run], plan.space, None).usage([settings])


def priced(plan, runs, scenario=AS_BILLED):
    return LikelyCost(plan, runs, runs, None).at(Billing.of(plan, scenario))


def pool_of(plan, runs):
    settings = [run.settings for run in runs]
    usage = Trainings(runs, plan.space, None).usage(settings)
    return priced_pool(settings, usage, runs, Billing.of(plan, AS_BILLED))


ROOM = Room(workers=2, cores=2, accelerators=0)


def test_a_budget_of_trials_costs_their_whole_trainings(plan):
    pool = pool_of(plan, past_runs(plan))
    many = play(pool, Budget(trials=100), Fixed(), ROOM, NO_DOUBT, strategy="optuna", size=math.inf)
    assert many.trials.likely == 100
    assert many.spend_usd.likely == pytest.approx(100 * pool.usd.mean(), rel=0.1)
    assert many.seconds.likely == pytest.approx(100 * pool.usage.seconds.mean() / 2, rel=0.15)
    alone = play(pool, Budget(trials=100), Fixed(), Room(1, 2, 0), NO_DOUBT, strategy="optuna", size=math.inf)
    assert alone.seconds.likely == pytest.approx(2 * many.seconds.likely, rel=0.1)


@pytest.mark.parametrize(("share", "at_once"), [(0.2, 2), (0.5, 2), (0.6, 1), (1.0, 1)])
def test_trials_whose_memory_does_not_go_round_take_longer(tmp_path, share, at_once):
    plan = plan_of(tmp_path)
    gigabytes = share * plan.hardware.trial_memory_bytes / 2**30
    plan = plan_of(tmp_path, settings={"memory_gb": gigabytes, "threads": 1})
    pool, room = pool_of(plan, past_runs(plan)), dataclasses.replace(Room.of(plan, 2), workers=2, cores=2)
    found = play(pool, Budget(trials=100), Fixed(), room, NO_DOUBT, strategy="optuna", size=math.inf)
    assert found.seconds.likely == pytest.approx(100 * pool.usage.seconds.mean() / at_once, rel=0.15)
    assert room.at_once(pool) == at_once


def test_small_trials_run_beside_one_that_takes_most_of_the_memory(plan):
    pool = pool_of(plan, past_runs(plan))
    needs = np.where(np.arange(len(pool.usd)) % 2, 9.0, 1.0)
    mixed = dataclasses.replace(pool, memory=needs)
    room = Room(workers=8, cores=8, accelerators=0, memory_bytes=10.0)
    assert room.shares(mixed)[-1] == pytest.approx(needs / 10)
    alone = dataclasses.replace(pool, memory=np.full(len(needs), 9.0))
    assert room.shares(alone)[-1] == pytest.approx(np.ones(len(needs)))


def test_a_budget_of_dollars_is_kept_and_what_is_left_for_less_than_a_trial_stays(plan):
    pool, fixed = pool_of(plan, past_runs(plan)), Fixed(usd=1e-4, seconds=5.0)
    usd = 20 * float(pool.usd.mean()) + fixed.usd
    whole = play(pool, Budget(usd=usd), fixed, ROOM, NO_DOUBT, strategy="optuna", size=math.inf)
    paused = play(pool, Budget(usd=usd), fixed, ROOM, NO_DOUBT, strategy="frontier", size=math.inf)
    assert whole.spend_usd.high <= usd * (1 + 1e-9)
    assert whole.spend_usd.likely < paused.spend_usd.likely == pytest.approx(usd)
    assert 14 <= whole.trials.likely <= 21


def test_a_budget_of_time_ends_the_study_then(plan):
    pool = pool_of(plan, past_runs(plan))
    found = play(pool, Budget(wall_seconds=60.0), Fixed(), ROOM, NO_DOUBT, strategy="optuna", size=math.inf)
    assert found.seconds.high <= 60.0 + 1e-9
    rate = float((pool.usd / pool.usage.seconds).mean())
    assert found.spend_usd.likely == pytest.approx(2 * 60.0 * rate, rel=0.15)


def test_a_grid_costs_every_combination_once_and_a_small_space_no_more_than_that(plan):
    pool = pool_of(plan, past_runs(plan))
    for strategy in ("grid", "optuna"):
        found = play(pool, Budget(trials=500), Fixed(), ROOM, NO_DOUBT, strategy=strategy, size=len(pool.usd))
        assert found.trials.likely == len(pool.usd)
        assert found.spend_usd.likely == pytest.approx(pool.usd.sum())


def test_more_trials_than_are_played_through_are_scaled(plan):
    pool = pool_of(plan, past_runs(plan))
    found = play(pool, Budget(trials=10_000), Fixed(), ROOM, NO_DOUBT, strategy="optuna", size=math.inf)
    assert found.trials.likely == 10_000
    assert found.spend_usd.likely == pytest.approx(10_000 * pool.usd.mean(), rel=0.05)


def off_by_chance(runs, random):
    """Runs that took longer or shorter than is true, each by about 15 %."""
    offs = np.exp(0.15 * random.standard_normal(len(runs)))
    return [
        dataclasses.replace(
            run, seconds=run.seconds * off, reached=tuple((step, each * off) for step, each in run.reached)
        )
        for run, off in zip(runs, offs, strict=True)
    ]


def test_the_range_holds_what_nine_in_ten_studies_then_cost(plan):
    random, inside = np.random.default_rng(3), 0
    small = dataclasses.replace(plan, spec=dataclasses.replace(plan.spec, budget=Budget(trials=12)))
    for _ in range(40):
        said = priced(small, off_by_chance(past_runs(plan), random))
        tried = random.choice(len(said.pool.settings), size=12, replace=False)
        seconds = np.array([true_seconds(said.pool.settings[at]) for at in tried]) * np.exp(
            0.15 * random.standard_normal(12)
        )
        usd = float((seconds * said.pool.usd[tried] / said.pool.usage.seconds[tried]).sum())
        inside += said.outlay.spend_usd.low <= usd <= said.outlay.spend_usd.high
    assert 33 <= inside <= 40


def test_another_market_has_its_own_rates(tmp_path):
    plan = plan_of(tmp_path, pricing={"sku_cpu": "gcp/e2-standard-4"})
    runs, spot = past_runs(plan), Scenario(market=Market.SPOT)
    ratio = priced(plan, runs, spot).pool.usd / priced(plan, runs).pool.usd
    point = plan.price_points["cpu"]
    expected = spot.point_for(point, plan.price_book).usd_per_hour / point.usd_per_hour
    assert ratio == pytest.approx(np.full(len(ratio), expected), rel=0.02)  # interruptions take a little


def test_each_size_has_a_row_and_without_sizes_there_are_the_cheapest_and_the_dearest(plan, tmp_path):
    rows = training_costs(pool_of(plan, past_runs(plan)), plan.space, NO_DOUBT)
    assert [row.name for row in rows] == ["cheapest", "middle", "dearest"]
    assert rows[0].settings == {"width": 4, "epochs": 1} and rows[2].settings == {"width": 64, "epochs": 8}
    sized = plan_of(tmp_path, space={"size": [3, 1, 2], "epochs": {"low": 1, "high": 8}}, settings={"width": 4})
    runs = [past_run(sized, at, 4, epochs) for at, epochs in enumerate((1, 2, 3, 4, 5, 6))]
    runs = [dataclasses.replace(run, settings={**run.settings, "size": 1 + at % 3}) for at, run in enumerate(runs)]
    assert [row.name for row in training_costs(pool_of(sized, runs), sized.space, NO_DOUBT)] == [
        "size 1",
        "size 2",
        "size 3",
    ]


def test_data_and_baselines_are_paid_for_too_as_they_last_were(plan):
    work = dataclasses.replace(past_run(plan, 0, 4, 1), reached=(), cores=2.0, completed=True)
    first = dataclasses.replace(work, role=Role.PREPARATION, label="preparation", seconds=30.0)
    baseline = dataclasses.replace(work, role=Role.BASELINE, label="logistic", seconds=7.0, startup_seconds=2.0)
    billing = Billing.of(plan, AS_BILLED)
    once, _ = fixed_work(plan, [first, baseline], billing)
    assert once.seconds == 2.0 + 7.0  # what was prepared is kept: it is only looked at
    again = dataclasses.replace(first, seconds=3.0, study="later")
    twice, _ = fixed_work(plan, [again, baseline, first], billing)
    assert twice.seconds == 3.0 + 7.0
    assert twice.usd > 0 and twice.data_usd == 0.0
    nothing, said = fixed_work(plan, [], billing)
    assert nothing == Fixed() and "come on top" in said[0]


def test_the_price_of_the_data_themselves_is_known(tmp_path):
    plan = plan_of(tmp_path, costs={"labelling_usd_per_sample": 0.01})
    prepared = dataclasses.replace(
        past_run(plan, 0, 4, 1), role=Role.PREPARATION, label="preparation", reached=(), acquired_samples=500.0
    )
    fixed, _ = fixed_work(plan, [prepared], Billing.of(plan, AS_BILLED))
    assert fixed.data_usd == pytest.approx(5.0)


def test_the_grounds_name_the_runs_and_the_probe(plan):
    runs = past_runs(plan)
    grounds, used = grounds_of(plan, Past(runs), "")
    assert (grounds.kind, len(used)) == (RUNS, 15)
    assert grounds.sentence == "from 15 runs of study 'before' with this training code"
    probe = [past_run(plan, 0, 4, 2, study="digits-probe"), past_run(plan, 1, 64, 2, study="digits-probe")]
    alone, _ = grounds_of(plan, Past(probe), "digits-probe")
    assert (alone.kind, alone.sentence) == (PROBE, "from 2 probe trials (study 'digits-probe')")
    both, _ = grounds_of(plan, Past([*probe, *runs]), "digits-probe")
    assert both.sentence.startswith("from 2 probe trials (study 'digits-probe') and 15 runs of study 'before'")


def test_runs_with_other_fixed_settings_say_nothing_and_that_is_said(tmp_path):
    plan = plan_of(tmp_path, settings={"train_share": 1.0})
    less, more = (
        [dataclasses.replace(run, settings={**run.settings, "train_share": share}) for run in past_runs(plan)]
        for share in (0.1, 2.0)
    )
    grounds, used = grounds_of(plan, Past(less), "")
    assert (grounds.kind, used) == (NOTHING, [])
    assert grounds.sentence == "none of 15 past runs of tests.support.digits:Digits had this study's train_share"
    assert grounds_of(plan, Past([*less, *more]), "")[0].kind == RUNS


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (Past(), "no study with the training code tests.support.digits:Digits has run here"),
        (Past(other_data=2), "2 past studies of tests.support.digits:Digits had other [data]"),
    ],
)
def test_why_there_are_no_grounds_is_said(plan, past, said):
    assert grounds_of(plan, past, "")[0].sentence == said


def with_steps(runs):
    """Runs on another machine, with what is known of their training steps."""
    return [
        dataclasses.replace(
            run,
            hardware="another, 8 cores, 32 GiB",
            steps=Steps(Source(None, "fp32"), run.seconds - 0.4, 1.0, flops=1e12, launches=1e4, memory_bytes=0.0),
        )
        for run in runs
    ]


def test_runs_of_another_machine_are_predicted_for_this_one_and_less_sure(plan):
    runs = past_runs(plan)
    grounds, used = grounds_of(plan, Past(with_steps(runs)), "")
    assert grounds.kind == PREDICTED and "another, 8 cores, 32 GiB" in grounds.sentence
    assert [run.seconds for run in used] == pytest.approx([run.seconds for run in runs])
    here = LikelyCost(plan, runs, runs, None)
    there = LikelyCost(plan, used, used, None, grounds.deviation)
    assert there.doubt.level > 2 * here.doubt.level


def test_on_an_accelerator_a_study_is_predicted_from_its_flops(plan):
    runs = [dataclasses.replace(run, hardware=plan.hardware.label) for run in with_steps(past_runs(plan))]
    likely, billing = LikelyCost(plan, runs, runs, None), Billing.of(plan, AS_BILLED)
    target = targets_in_markets(["L4"], plan, Scenario(market=Market.ON_DEMAND))[0]
    outlay, basis = likely.on(target.accelerator, billing.at("cuda", target.point))
    assert basis in ("from FLOPs alone", "bound by launches")
    here = likely.at(billing).outlay
    assert outlay.spend_usd.high / outlay.spend_usd.low > here.spend_usd.high / here.spend_usd.low
