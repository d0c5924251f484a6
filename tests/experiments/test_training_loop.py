"""The loop that the gallery shares: its steps are counted and its time is divided, and neither changes a result."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.benchmarks.bare_run import bare_run, bare_task
from experiments.training_loop import LOOP_KNOBS, fit
from tracker.records import Direction, PhaseSeconds, QualityMetric
from tracker.training.assignment import Place, Saving
from tracker.training.meter import Meter
from tracker.training.run import Paused

ROWS, BATCH = 48, 16
STEPS = ROWS // BATCH
DEFAULTS = {name: knob.default for name, knob in LOOP_KNOBS.items() if knob.default is not None}


@pytest.fixture
def train(tmp_path):
    """Trains a perceptron; the run, its events, and the weights, None where it was paused."""

    def run_fit(wait=0.0, state_path=None, pause_after_epoch=None, **settings):
        events, meter = [], Meter(asked_steady=time.monotonic(), cores=1)
        task = bare_task(QualityMetric("score", Direction.MAXIMIZE), seed=3, **{**DEFAULTS, "epochs": 2, **settings})
        run = bare_run(
            task,
            Place(tmp_path / "cache", tmp_path / "artifacts"),
            lambda *event: events.append(event),
            meter=meter,
            saving=Saving(state_path, pause_after_epoch),
        )
        torch.manual_seed(run.seed)
        model = nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 10))
        generator = torch.Generator().manual_seed(5)
        inputs, labels = torch.randn(ROWS, 64, generator=generator), torch.arange(ROWS) % 10

        def batches(epoch):
            for rows in torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch)).split(BATCH):
                time.sleep(wait)
                yield inputs[rows], labels[rows]

        def keep(predicting, folder):
            time.sleep(wait)
            torch.save(predicting.state_dict(), folder / "model.pt")

        def evaluate(predicting):
            time.sleep(wait)
            return {"score": -F.cross_entropy(predicting(inputs), labels).item()}

        run.ready()
        try:
            done = fit(
                run,
                model,
                steps_per_epoch=STEPS,
                train_batches=batches,
                loss=lambda trained, batch: F.cross_entropy(trained(batch[0]), batch[1]),
                evaluate=evaluate,
                keep=keep,
            )
        except Paused:
            return run, meter, events, None
        return run, meter, events, done.model.state_dict()

    return run_fit


def figures(events):
    return {name: value for event in events if event[0] == "figures" for name, value in event[1]["figures"].items()}


def test_what_a_step_computes_is_known_before_the_first_checkpoint(train):
    _, _, events, _ = train()
    kinds = [event[0] for event in events]
    assert kinds[: kinds.index("checkpoint")] == ["ready", "figures", "figures"]
    found = figures(events)
    assert found.keys() == {"steps_per_epoch", "step_flops", "step_bytes", "step_operations"}
    assert found["steps_per_epoch"] == STEPS
    assert found["step_flops"] == 2 * BATCH * (2 * 64 * 32 + 3 * 32 * 10)


def test_a_step_of_several_parts_is_counted_whole(train):
    _, _, plain, _ = train()
    _, _, in_parts, _ = train(gradient_accumulation=4)
    assert figures(in_parts)["step_flops"] == figures(plain)["step_flops"]
    assert figures(in_parts)["step_operations"] > 2 * figures(plain)["step_operations"]


@pytest.mark.parametrize("settings", [{}, {"weight_average": 0.9, "precision": "bf16"}], ids=str)
def test_counting_changes_no_weight(train, settings):
    _, _, events, counted = train(**settings)
    _, _, none, plain = train(**settings, compile=True)  # nothing here is compiled by that: the loop counts nothing
    assert "step_flops" in figures(events) and "step_flops" not in figures(none)
    assert counted.keys() == plain.keys() and all(torch.equal(counted[name], plain[name]) for name in plain)


def test_paused_after_the_counted_step_or_not_the_weights_are_the_same(train, tmp_path):
    _, _, whole, expected = train(epochs=3)
    _, _, first, none = train(epochs=3, state_path=tmp_path / "state.pt", pause_after_epoch=1)
    _, _, rest, resumed = train(epochs=3, state_path=tmp_path / "state.pt")
    assert none is None
    assert figures(first) == figures(whole) and figures(rest) == {}
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_the_time_of_batches_evaluation_and_kept_models_is_none_of_the_training(train):
    wait = 0.02
    _, meter, _, _ = train(wait)
    before, phases, after = meter.wall_seconds(), meter.phases(), meter.wall_seconds()
    assert phases.data_seconds >= 2 * STEPS * wait
    assert phases.evaluation_seconds >= 2 * wait
    assert phases.saving_seconds >= wait, "the first model is the best so far"
    assert before - 1e-6 <= sum(getattr(phases, name) for name in PhaseSeconds.__slots__) <= after + 1e-6
