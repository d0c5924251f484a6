"""A study's frontier on hardware that nobody rented: what scales, what does not, and what other trials say of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.support.tables import build, run_row, trial
from tracker.errors import PredictionError, PriceBookError
from tracker.prediction.accelerators import accelerator
from tracker.pricing.price_book import load_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.records import Market
from tracker.report.prediction_pull import pulls
from tracker.report.prediction_targets import ALL, find_targets
from tracker.report.prediction_words import prediction_sentences
from tracker.report.predictions import (
    frontier_predictions,
    predicted_frontier,
    predictions_document,
    surely_cheaper,
)

BOOK = load_price_book()
A100 = json.dumps(BOOK.point("aws/p4de.24xlarge", Market.ON_DEMAND).row)


def on_gpu(number, qualities, seconds, name="A100-80GB", *, count=1, mfu=0.4, settings=None):
    """A trial on GPUs that trained for 80 % of its time after a start-up of a tenth."""
    wall = seconds[-1]
    train = 0.8 * 0.9 * wall
    peak = {"A100-80GB": 311.9e12, "H100": 989.4e12}.get(name, 1e14)
    flops = {"flops": mfu * peak * train}
    row, steps = trial(
        number,
        qualities,
        seconds,
        hardware=f"Intel Xeon, 8 cores, 64 GiB + {count} × {name}",
        accelerators=count,
        cores=4,
        startup_seconds=0.1 * wall,
        price_point=A100,
        settings=settings or {"precision": "bf16", "device": "cuda", "size": number},
        summary={"train_seconds": train, "evaluation_seconds": 0.9 * wall - train, **flops},
    )
    for step in steps:
        step["metrics"]["startup_seconds"] = 0.1 * wall
    return row, steps


def table_of(*rows):
    return build(list(rows))


def test_what_steps_use_of_the_peak_and_of_the_bandwidth_is_said():
    row, steps = on_gpu(0, [0.5, 0.8], [50.0, 100.0])
    moved = 0.25 * accelerator("A100-80GB").bandwidth * row["summary"]["train_seconds"]
    row["summary"] |= {"steps_per_epoch": 100.0, "step_bytes": moved / 200}
    found = frontier_predictions(table_of((row, steps)), find_targets(["H100"], BOOK))
    assert found["utilisation"].to_numpy() == pytest.approx(np.array([0.4, 0.4]))
    assert found["bandwidth_use"].to_numpy() == pytest.approx(np.array([0.25, 0.25]))
    uncounted = frontier_predictions(table_of(on_gpu(0, [0.5], [100.0])), find_targets(["H100"], BOOK))
    assert uncounted["bandwidth_use"].isna().all()


def test_only_the_training_steps_scale():
    table = table_of(on_gpu(0, [0.5, 0.8], [50.0, 100.0]))
    found = frontier_predictions(table, find_targets(["H100"], BOOK))
    last = found[found["epoch"] == 2].iloc[0]
    assert last["refused"] == "" and last["rests_on"] == "adjacent generation"
    assert last["utilisation"] == pytest.approx(0.4)
    stays = 10.0 + 0.9 * 100 * 0.2  # start-up and evaluation
    assert stays < last["wall_seconds"] < 100.0
    ratio = (last["wall_seconds"] - stays) / 72.0
    assert 1 / 2.5 < ratio < 1 / 1.5
    assert last["wall_seconds_low"] < last["wall_seconds"] < last["wall_seconds_high"]


def test_the_price_is_the_predicted_time_at_the_targets_rate():
    table = table_of(on_gpu(0, [0.8], [100.0]))
    (target,) = find_targets(["H100"], BOOK)
    row = frontier_predictions(table, [target]).iloc[0]
    share = max(1 / target.point.accelerator_count, 4 / target.point.vcpu)
    assert row["price_usd"] == pytest.approx(row["wall_seconds"] / 3600 * target.point.usd_per_hour * share)
    assert row["price_basis"] == "predicted"


def test_a_scenario_changes_the_rate_and_not_the_time():
    table = table_of(on_gpu(0, [0.8], [100.0]))
    war = Scenario(changes=(RateChange(accelerator="H100", factor=0.5),))
    before, after = (frontier_predictions(table, find_targets(["H100"], BOOK, each)).iloc[0] for each in (None, war))
    assert after["price_usd"] == pytest.approx(before["price_usd"] / 2)
    assert after["wall_seconds"] == before["wall_seconds"]


def test_targets_are_accelerators_skus_or_all_that_are_on_sale():
    names = [target.name for target in find_targets([ALL], BOOK)]
    assert {"H100", "L4", "T4"} <= set(names) and "Trainium1" not in names
    (sku,) = find_targets(["aws/p5.48xlarge"], BOOK)
    assert sku.accelerator.name == "H100 SXM" and sku.point.sku == "aws/p5.48xlarge"
    (cpu,) = find_targets(["aws/c7i.xlarge"], BOOK)
    assert cpu.accelerator is None
    spot = Scenario(market=Market.SPOT)
    assert all(target.point.market is Market.SPOT for target in find_targets([ALL], BOOK, spot))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("H1O0", "neither an accelerator nor a SKU"),
        ("Trainium1", "specifications"),
        ("", "neither"),
        ("<b>'🦊", "neither"),
    ],
)
def test_a_name_that_is_neither_is_refused(name, message):
    with pytest.raises(PredictionError, match=message):
        find_targets([name], BOOK)


def test_an_accelerator_that_nobody_sells_is_refused():
    with pytest.raises(PriceBookError, match="RTX5090"):
        find_targets(["RTX5090"], BOOK)


def test_an_order_is_claimed_only_where_ranges_do_not_overlap():
    table = table_of(on_gpu(0, [0.8], [100.0]))
    targets = find_targets(["H100", "L4", "B200", "MI300X"], BOOK)
    rows = frontier_predictions(table, targets)
    cheaper = surely_cheaper(rows)
    prices = rows.set_index("on")
    for first, others in cheaper.items():
        for other in prices.index.drop(first):
            overlap = prices.loc[first, "price_usd_high"] >= prices.loc[other, "price_usd_low"]
            assert (other in others) is not overlap
    assert list(rows["price_usd"]) == sorted(rows["price_usd"])


def test_trials_on_both_devices_pull_the_prediction_and_narrow_its_range():
    same = {"precision": "bf16", "size": 1}
    rows = [
        on_gpu(0, [0.5, 0.6], [50.0, 100.0], settings={**same, "device": "cuda", "accelerator_model": "A100-80GB"}),
        on_gpu(1, [0.5, 0.6], [45.0, 90.0], "H100", settings={**same, "device": "cuda", "accelerator_model": "H100"}),
        on_gpu(2, [0.7, 0.9], [100.0, 200.0], settings={"precision": "bf16", "size": 2, "device": "cuda"}),
    ]
    targets = find_targets(["H100"], BOOK)
    alone = frontier_predictions(table_of(rows[2]), targets, trial=2).iloc[0]
    table = table_of(*rows)
    pulled = frontier_predictions(table, targets, trial=2).iloc[0]
    assert (alone["measured_there"], pulled["measured_there"]) == (0, 1)
    assert pulled["wall_seconds"] > alone["wall_seconds"], "the H100 was slower than predicted"
    width = [row["wall_seconds_high"] / row["wall_seconds"] for row in (alone, pulled)]
    assert width[1] < width[0]
    (residual,) = predictions_document(table, frontier_predictions(table, targets), targets, pulls(table, targets))[
        "residuals"
    ]
    assert (residual["trial"], residual["trial_there"]) == (0, 1)
    assert residual["measured_seconds"] > residual["predicted_seconds"]
    said = prediction_sentences(table, frontier_predictions(table, targets), targets)
    assert any("moved by 1 training of this study" in sentence for sentence in said)


def test_several_gpus_and_other_hardware_without_a_name_are_refused():
    table = table_of(on_gpu(0, [0.5], [50.0], count=4), on_gpu(1, [0.8], [100.0], "Mystery 9000"))
    found = frontier_predictions(table, find_targets(["H100"], BOOK)).set_index("trial")
    assert "4 × A100" in found.loc[0, "refused"] and "Mystery 9000" in found.loc[1, "refused"]
    assert found["price_usd"].isna().all()
    said = prediction_sentences(table, found.reset_index(), find_targets(["H100"], BOOK))
    assert len(said) == 2 and all(sentence.startswith("not predicted on H100") for sentence in said)


def test_a_run_that_moved_between_kinds_of_machine_is_refused():
    table = table_of(on_gpu(0, [0.5], [50.0]))
    places = json.dumps([["aws/p4d.24xlarge", "spot", "us-east-1", "a"], ["aws/p5.48xlarge", "spot", "us-east-1", "b"]])
    table = replace(table, runs=table.runs.assign(places=[places]))
    assert "several kinds of machine" in frontier_predictions(table, find_targets(["H100"], BOOK)).iloc[0]["refused"]


def test_on_a_processor_more_cores_than_the_machine_has_are_refused():
    table = table_of(trial(0, [0.5], [50.0], cores=8, summary={"train_seconds": 40.0}))
    found = frontier_predictions(table, find_targets(["aws/c7i.xlarge", "aws/c7i.4xlarge"], BOOK)).set_index("on")
    assert "more cores than the 4" in found.loc["aws/c7i.xlarge", "refused"]
    assert found.loc["aws/c7i.4xlarge", "rests_on"] == "another processor"


def test_a_run_without_phases_scales_as_a_whole_and_says_that_flops_are_missing():
    rows = trial(0, [0.5], [100.0], hardware="X, 8 cores, 64 GiB + 1 × A100-80GB", accelerators=1, price_point=A100)
    table = build([rows])
    targets = find_targets(["H100"], BOOK)
    found = frontier_predictions(table, targets)
    assert found.iloc[0]["refused"] == "" and np.isnan(found.iloc[0]["utilisation"])
    assert any("without FLOPs" in sentence for sentence in prediction_sentences(table, found, targets))


def test_a_trial_that_reached_nothing_is_refused_with_those_that_did():
    table = table_of(on_gpu(0, [0.5], [50.0]), (run_row("r", trial=7, label="#7", state="failed"), []))
    for number in (7, 99, -1):
        with pytest.raises(PredictionError, match=f"trial {number} .*trials with one: 0"):
            frontier_predictions(table, find_targets(["H100"], BOOK), number)


def test_an_empty_study_has_nothing_to_predict():
    table = build([(run_row("r", trial=0, label="#0", state="failed"), [])])
    targets = find_targets(["H100"], BOOK)
    found = frontier_predictions(table, targets)
    assert found.empty and predicted_frontier(table, found).empty
    document = predictions_document(table, found, targets, pulls(table, targets))
    assert document["predictions"] == [] and json.dumps(document)


def test_the_frontier_of_predictions_is_non_dominated():
    table = table_of(on_gpu(0, [0.5, 0.8], [50.0, 100.0]), on_gpu(1, [0.6, 0.9], [150.0, 300.0]))
    found = frontier_predictions(table, find_targets([ALL], BOOK))
    best = predicted_frontier(table, found)
    assert list(best["quality"]) == sorted(best["quality"]) and list(best["price_usd"]) == sorted(best["price_usd"])
    assert set(best["price_basis"]) == {"predicted"}


def test_what_ran_on_the_target_itself_is_a_price_and_no_prediction():
    table = table_of(on_gpu(0, [0.8], [100.0], "H100"))
    row = frontier_predictions(table, find_targets(["H100"], BOOK)).iloc[0]
    assert "it ran on H100 SXM itself" in row["refused"] and np.isnan(row["price_usd"])


def test_trials_on_several_of_the_target_pull_nothing():
    same = {"precision": "bf16", "size": 1, "device": "cuda"}
    rows = [on_gpu(0, [0.6], [100.0], settings=same), on_gpu(1, [0.5], [30.0], "H100", count=4, settings=same)]
    found = frontier_predictions(table_of(*rows), find_targets(["H100"], BOOK)).set_index("trial")
    assert found.loc[0, "measured_there"] == 0 and "4 × H100" in found.loc[1, "refused"]


def test_on_a_cluster_the_price_says_what_a_run_trained_on():
    row, steps = on_gpu(0, [0.5], [50.0])
    row |= {"hardware": "3 machines, 96 cores + 8 × H100", "price_point": A100}
    table = table_of((row, steps))
    places = json.dumps([["aws/p4de.24xlarge", "spot", "us-east-1", "a"]])
    table = replace(table, runs=table.runs.assign(places=[places]))
    found = frontier_predictions(table, find_targets(["H100"], BOOK)).iloc[0]
    assert (found["measured_on"], found["refused"]) == ("A100-80GB", "")


def test_several_processes_on_processors_are_refused():
    settings = {"precision": "fp32", "device": "cpu", "processes": 4}
    table = table_of(trial(0, [0.5], [50.0], settings=settings, summary={"train_seconds": 40.0, "flops": 1e12}))
    found = frontier_predictions(table, find_targets(["H100", "aws/c7i.4xlarge"], BOOK))
    assert all("4 × processes or machines" in why for why in found["refused"])


def test_phases_of_earlier_attempts_tell_the_share_of_a_trial_that_runs_on():
    row, steps = on_gpu(0, [0.8], [100.0])
    finished = frontier_predictions(table_of((row, steps)), find_targets(["H100"], BOOK)).iloc[0]
    row, steps = on_gpu(0, [0.8], [400.0])
    row["startup_seconds"] = 10.0
    row["summary"] |= {"train_seconds": 72.0, "evaluation_seconds": 18.0, "flops": np.nan}
    for step in steps:
        step["metrics"]["startup_seconds"] = 10.0
    running = frontier_predictions(table_of((row, steps)), find_targets(["H100"], BOOK)).iloc[0]
    assert 0.2 * 390 < running["wall_seconds"] < 0.75 * 400
    assert finished["refused"] == running["refused"] == ""


def test_on_a_gpu_no_more_cores_count_than_its_machine_has():
    summary = {"train_seconds": 40.0, "flops": 1e15}
    prices = [
        frontier_predictions(
            table_of(trial(0, [0.5], [50.0], cores=cores, summary=summary)), find_targets(["aws/g4dn.xlarge"], BOOK)
        ).iloc[0]["price_usd"]
        for cores in (2, 16)
    ]
    assert prices[0] == pytest.approx(prices[1])


def test_from_a_processor_a_measurement_there_moves_the_range_and_leaves_its_width():
    same = {"precision": "fp32", "size": 1}
    cpu = trial(0, [0.6], [1000.0], settings={**same, "device": "cpu"}, summary={"train_seconds": 900.0, "flops": 1e15})
    there = on_gpu(1, [0.5], [100.0], settings={**same, "device": "cuda"})
    targets = find_targets(["A100-80GB"], BOOK)
    alone, pulled = (frontier_predictions(table_of(*rows), targets, trial=0).iloc[0] for rows in ([cpu], [cpu, there]))
    assert pulled["measured_there"] == 1 and pulled["wall_seconds"] != alone["wall_seconds"]
    wide = [row["wall_seconds_high"] - row["wall_seconds_low"] for row in (alone, pulled)]
    assert wide[1] > 0.2 * wide[0]


def test_what_is_bound_by_launches_is_said_once_and_asks_for_no_flops():
    summary = {"train_seconds": 40.0, "step_flops": 1e6, "step_operations": 1e5, "steps_per_epoch": 100.0}
    table = table_of(trial(0, [0.5], [50.0], summary=summary))
    targets = find_targets(["H100", "L4"], BOOK)
    found = frontier_predictions(table, targets)
    assert set(found["rests_on"]) == {"bound by launches"}
    said = " ".join(prediction_sentences(table, found, targets))
    assert "Rent the cheapest" in said and "FLOPs" not in said
