from __future__ import annotations

import importlib
import math
import re
import sys
import time
import warnings

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from tracker.errors import HardwareError, TrainingFailedError, WorkloadError
from tracker.integrations.lightning import TrackerCallback, trainer_arguments
from tracker.records import Direction, QualityMetric
from tracker.training.meter import Meter
from tracker.training.run import Paused

warnings.filterwarnings("ignore", message=".*does not have many workers.*")


class Points(LightningModule):
    """Tells which of two clouds a point is of; with dropout, and a learning rate that falls from epoch to epoch."""

    def __init__(self, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        self.losses: list[float] = []
        self.right: list[torch.Tensor] = []

    def training_step(self, batch, number):
        loss = nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, number):
        self.right.append(self.layers(batch[0]).argmax(1) == batch[1])

    def on_validation_epoch_end(self):
        self.log("val_acc", torch.cat(self.right).float().mean())
        self.right.clear()

    def test_step(self, batch, number):
        self.validation_step(batch, number)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["steps_before"] = len(self.losses)

    def on_load_checkpoint(self, checkpoint):
        self.steps_before = checkpoint["steps_before"]

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        return [optimizer], [torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=3)]


class NotANumber(Points):
    def on_validation_epoch_end(self):
        self.log("val_acc", math.nan)


class Slow(Points):
    def training_step(self, batch, number):
        time.sleep(0.05)
        return super().training_step(batch, number)

    def validation_step(self, batch, number):
        time.sleep(0.05)
        super().validation_step(batch, number)


def named(events):
    """The names of the events, without those of figures about the run."""
    return [event for event, _ in events if event != "figures"]


def checkpoints(events):
    return [payload for event, payload in events if event == "checkpoint"]


def points(shuffle=False, seed=0):
    """64 points of two clouds that overlap, in batches of 16."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(64) % 2
    inputs = torch.randn(64, 2, generator=generator) + labels[:, None]
    return DataLoader(TensorDataset(inputs, labels), batch_size=16, shuffle=shuffle)


def fit(run, module=None, metrics=None, epochs=3, callbacks=(), callback=None, data=None, **arguments):
    """Train; the module afterwards, and the trainer."""
    module = Points() if module is None else module
    callback = callback or TrackerCallback(run, metrics or {"accuracy": "val_acc", "training_loss": "train_loss"})
    chosen = {**trainer_arguments(run), "max_epochs": epochs, **arguments}
    trainer = Trainer(callbacks=[callback, *callbacks], **chosen)
    trainer.fit(module, data) if data else trainer.fit(module, points(shuffle=True), points())
    return module, trainer


def test_each_epoch_is_a_checkpoint_with_its_own_metrics_under_the_names_asked_for(make_run):
    run, events = make_run()
    module, _ = fit(run)
    assert named(events) == ["ready", "checkpoint", "checkpoint", "checkpoint"]
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2, 3]
    assert all(each["metrics"].keys() == {"accuracy", "training_loss"} for each in checkpoints(events))
    assert checkpoints(events)[-1]["metrics"]["accuracy"] > 0.6, "chance is one in two"
    for epoch, each in enumerate(checkpoints(events)):
        of_the_epoch = module.losses[4 * epoch : 4 * epoch + 4]
        assert each["metrics"]["training_loss"] == pytest.approx(sum(of_the_epoch) / 4), "not of the epoch before"


def test_what_a_step_computes_is_counted_once_and_changes_nothing(make_run):
    run, _ = make_run()
    module, _ = fit(run)
    # 16 points through 2 × 8 and 8 × 2 forward, and backward but for the gradient of the points themselves.
    assert run.summary["step_flops"] == 2 * 16 * (2 * 8 + 8 * 2) + 2 * 16 * (2 * 8 + 2 * 8 * 2)
    assert run.summary["step_operations"] > 10 and run.summary["steps_per_epoch"] == 4
    uncounted, _ = make_run(settings={"compile": True})
    plain, _ = fit(uncounted)
    assert "step_flops" not in uncounted.summary
    assert module.losses == plain.losses


def test_a_checkpoint_within_an_epoch_has_the_steps_until_the_next_one(make_run):
    run, _ = make_run()
    fit(run, epochs=1, val_check_interval=2)
    assert run.summary["steps_per_epoch"] == 2


def test_without_names_everything_that_the_module_logs_is_reported(make_run):
    run, events = make_run(quality=QualityMetric("val_acc", Direction.MAXIMIZE))
    fit(run, callback=TrackerCallback(run), epochs=1)
    assert checkpoints(events)[0]["metrics"].keys() == {"val_acc", "train_loss"}


def test_the_trial_validation_before_training_is_no_checkpoint(make_run):
    run, events = make_run()
    fit(run, metrics={"accuracy": "val_acc"}, epochs=1, num_sanity_val_steps=2)
    assert [each["epoch"] for each in checkpoints(events)] == [1]


def test_validations_within_an_epoch_are_counted_and_those_of_some_epochs_keep_their_number(make_run):
    run, events = make_run()
    fit(run, metrics={"accuracy": "val_acc"}, epochs=2, val_check_interval=0.5)
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2, 3, 4]
    run, events = make_run()
    fit(run, epochs=4, check_val_every_n_epoch=2)
    assert [each["epoch"] for each in checkpoints(events)] == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "validations"),
    [({}, 1), ({"val_check_interval": 0.5}, 2), ({"epochs": -1, "max_steps": 12}, 1)],
    ids=["one validation an epoch", "two validations an epoch", "a number of steps"],
)
def test_a_paused_training_goes_on_as_if_it_had_not_been_interrupted(make_run, tmp_path, arguments, validations):
    arguments = {"metrics": {"accuracy": "val_acc"}, **arguments}
    whole, events = make_run()
    expected, _ = fit(whole, **arguments)

    first, before = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=validations)
    with pytest.raises(Paused):
        fit(first, **arguments)
    second, after = make_run(seed=99, state_path=tmp_path / "state.pt")
    resumed, trainer = fit(second, **arguments)

    assert named(before) == ["ready", *["checkpoint"] * validations, "saved"]
    assert named(after)[:2] == ["restored", "ready"]
    shown = [(each["epoch"], each["metrics"]) for each in [*checkpoints(before), *checkpoints(after)]]
    assert shown == [(each["epoch"], each["metrics"]) for each in checkpoints(events)]
    torch.testing.assert_close(resumed.state_dict(), expected.state_dict(), rtol=0, atol=0)
    assert trainer.global_step == 12
    assert resumed.steps_before == 4, "the module's own addition"
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.005)


class Drawn(LightningDataModule):
    """Draws which points there are, and remembers it."""

    def __init__(self):
        super().__init__()
        self.seed = int(torch.randint(1000, ()))

    def train_dataloader(self):
        return points(shuffle=True, seed=self.seed)

    def val_dataloader(self):
        return points()

    def state_dict(self):
        return {"seed": self.seed}

    def load_state_dict(self, state_dict):
        self.seed = state_dict["seed"]


class CompiledInside(Points):
    def __init__(self, learning_rate=0.05):
        super().__init__(learning_rate)
        self.layers = torch.compile(self.layers, backend="eager")


class Averaged(WeightAveraging):
    def __init__(self):
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(0.9))


def patience():
    return EarlyStopping("val_acc", mode="max", patience=2)


def best():
    return ModelCheckpoint(monitor="val_acc", mode="max", save_top_k=1)


def in_one_go_and_paused_wherever_it_can_be(make_run, tmp_path, kind=Points, callbacks=(), data=None, **arguments):
    """What both come to: checkpoints, the accuracy of a test, weights; and in how many attempts."""

    def attempt(folder, seed, **limits):
        run, events = make_run(artifacts=tmp_path / folder, seed=seed, **limits)
        others = [make() for make in callbacks]
        chosen = {"metrics": {"accuracy": "val_acc"}, "enable_checkpointing": best in callbacks, **arguments}
        try:
            module, trainer = fit(run, kind(), callbacks=others, data=data and data(), **chosen)
        except Paused:
            module = trainer = None
        return module, trainer, [(each["epoch"], each["metrics"]) for each in checkpoints(events)]

    def outcome(module, trainer, reports):
        which = {"ckpt_path": "best"} if best in callbacks else {}
        figures = trainer.test(None if which else module, points(seed=7), verbose=False, **which)
        return reports, figures, trainer.global_step, dict(module.state_dict())

    whole = outcome(*attempt("whole", 3))
    module, reports, attempts = None, [], 0
    while module is None:
        attempts += 1
        limits = {"state_path": tmp_path / "state.pt", "pause_after_epoch": len(reports) + 1}
        module, trainer, more = attempt("paused", 3 if attempts == 1 else 90 + attempts, **limits)
        reports += more
    return whole, outcome(module, trainer, reports), attempts


@pytest.mark.parametrize(
    ("arguments", "attempts"),
    [
        ({"callbacks": [patience], "epochs": 9}, None),
        ({"callbacks": [best], "epochs": 6}, 6),
        ({"callbacks": [patience, best], "epochs": 9}, None),
        ({"check_val_every_n_epoch": 2, "epochs": 6}, 3),
        ({"accumulate_grad_batches": 3, "epochs": 3}, 3),
        ({"callbacks": [Averaged], "epochs": 4}, 4),
        ({"callbacks": [Timer], "epochs": 3}, 3),
        ({"data": Drawn, "epochs": 3}, 3),
        ({"kind": CompiledInside, "callbacks": [best], "epochs": 3}, 3),
        ({"callbacks": [LearningRateMonitor], "logger": True, "epochs": 3}, 3),
    ],
    ids=[
        *("patience", "the best", "both", "every second epoch", "accumulation", "averaged weights", "a timer"),
        *("a data module", "compiled inside", "a logger"),
    ],
)
def test_paused_or_not_as_many_epochs_and_the_same_best_model(make_run, tmp_path, arguments, attempts):
    whole, paused, took = in_one_go_and_paused_wherever_it_can_be(make_run, tmp_path, **arguments)
    assert paused[:3] == whole[:3]
    torch.testing.assert_close(paused[3], whole[3], rtol=0, atol=0)
    assert took == (attempts or len(whole[0]))
    if patience in arguments.get("callbacks", ()):
        assert 2 < len(whole[0]) < 9, "it stops early"


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (lambda folder: StochasticWeightAveraging(0.01), "StochasticWeightAveraging is not resumed"),
        (
            lambda folder: ModelCheckpoint(folder / "mine"),
            r"files of ModelCheckpoint are in '.*mine', not in the trial",
        ),
    ],
)
def test_what_lightning_cannot_resume_runs_without_pausing_and_that_is_said(make_run, tmp_path, callback, said):
    run, events = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1)
    fit(run, metrics={"accuracy": "val_acc"}, callbacks=[callback(tmp_path)], epochs=2, enable_checkpointing=True)
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]
    (note,) = [payload["message"] for event, payload in events if event == "note"]
    assert re.search(f"trials run without pausing: .*{said}", note)
    assert not (tmp_path / "state.pt").exists()


def test_a_callback_that_is_reported_to_save_nothing_runs_on(make_run, tmp_path):
    run, events = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1)
    fit(run, callback=TrackerCallback(run, {"accuracy": "val_acc"}, resumable=False), epochs=2)
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]
    assert not (tmp_path / "state.pt").exists()


def test_a_quality_that_is_no_number_fails_the_training(make_run):
    run, events = make_run()
    with pytest.raises(TrainingFailedError, match="accuracy is nan after epoch 1") as failure:
        fit(run, NotANumber())
    assert failure.value.reason == "not_finite"
    assert not checkpoints(events)


def test_a_metric_that_the_module_does_not_log_fails_the_training(make_run):
    run, _ = make_run()
    with pytest.raises(TrainingFailedError, match="no 'val_accuracy' to report as accuracy; did you mean 'val_acc'"):
        fit(run, metrics={"accuracy": "val_accuracy"})


def test_a_declared_metric_that_is_not_reported_is_noted_and_fails_nothing(make_run):
    run, events = make_run(declared_metrics=frozenset({"validation_loss"}))
    fit(run)
    notes = [fields["message"] for event, fields in events if event == "note"]
    assert notes == ["the training declares the metric 'validation_loss' and does not report it"]


def test_validation_and_test_count_as_evaluation_and_the_trial_validation_as_start_up(make_run):
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    run, _ = make_run(meter=meter)
    module, trainer = fit(run, Slow(), epochs=2, num_sanity_val_steps=2)
    seconds = meter.phases().evaluation_seconds
    assert seconds >= 0.4, "two times four batches of 0.05 s"
    assert meter.phases().train_seconds >= 0.4, "as many to train on"
    trainer.test(module, points(), verbose=False)
    assert meter.phases().evaluation_seconds >= seconds + 0.2
    assert meter.phases().startup_seconds >= 0.1


class SlowPoints(TensorDataset):
    """64 points, each of which takes 0.01 s to read."""

    def __getitem__(self, number):
        time.sleep(0.01)
        return super().__getitem__(number)


@pytest.mark.parametrize("profiler", [None, "simple"])
def test_waiting_for_batches_to_train_on_is_kept_apart_unless_another_profiler_is_in_use(make_run, profiler):
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    run, _ = make_run(meter=meter)
    slow = DataLoader(SlowPoints(*points().dataset.tensors), batch_size=16)
    callback = TrackerCallback(run, {"accuracy": "val_acc"})
    trainer = Trainer(callbacks=[callback], max_epochs=2, profiler=profiler, **trainer_arguments(run))
    trainer.fit(Slow(), slow, slow)
    phases = meter.phases()
    assert phases.data_seconds >= 1.28 if profiler is None else phases.data_seconds == 0.0
    assert phases.evaluation_seconds >= 1.28 + 0.4, "what validation waits for is evaluation"
    assert phases.train_seconds >= 0.4


def test_a_validation_outside_of_training_is_no_checkpoint(make_run):
    run, events = make_run()
    module = Points()
    trainer = Trainer(callbacks=[TrackerCallback(run, {"accuracy": "val_acc"})], max_epochs=1, **trainer_arguments(run))
    trainer.validate(module, points(), verbose=False)
    trainer.fit(module, points(shuffle=True), points())
    trainer.validate(module, points(), verbose=False)
    assert [each["epoch"] for each in checkpoints(events)] == [1]


def test_the_arguments_follow_the_run_and_leave_its_threads_alone(make_run):
    run, events = make_run(precision="bf16")
    assert trainer_arguments(run)["precision"] == "bf16-mixed"
    _, trainer = fit(run)
    assert trainer.precision == "bf16-mixed"
    assert trainer.strategy.root_device == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert not trainer.loggers and not trainer.checkpoint_callbacks
    assert len(checkpoints(events)) == 3
    on_gpu, _ = make_run(precision="fp16", device=torch.device("cuda", 1))
    assert trainer_arguments(on_gpu).items() >= {"accelerator": "gpu", "devices": [1], "precision": "16-mixed"}.items()


def test_a_device_that_is_not_billed_and_several_processes_are_refused(make_run):
    run, events = make_run(device=torch.device("cuda", 0))
    with pytest.raises(HardwareError, match=r"takes 1 × cpu, and this trial is billed for one cuda"):
        fit(run, accelerator="cpu", devices=1, precision="32-true")
    assert not events
    run, _ = make_run(processes=2)
    with pytest.raises(WorkloadError, match="processes is 2; allowed: 1"):
        TrackerCallback(run)


def test_without_lightning_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.delitem(sys.modules, "tracker.integrations.lightning")
    with pytest.raises(ImportError, match=r"pip install 'cost-quality-tracker\[lightning\]'"):
        importlib.import_module("tracker.integrations.lightning")
