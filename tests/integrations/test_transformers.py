from __future__ import annotations

import gc
import importlib
import math
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from tracker.errors import HardwareError, TrainingFailedError, WorkloadError
from tracker.integrations.reporting import is_compiled
from tracker.integrations.transformers import TrackerCallback, trainer_arguments
from tracker.records import Direction, QualityMetric
from tracker.training.meter import Meter
from tracker.training.run import Paused

CONFIG = BertConfig(
    vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    max_position_embeddings=8,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """Each training begins with a collection of garbage, which takes long where so much is imported."""
    gc.freeze()
    yield
    gc.unfreeze()


class Sequences(Dataset):
    """Token sequences whose first token tells their class."""

    def __init__(self, rows: int) -> None:
        self.tokens = torch.randint(2, 20, (rows, 8), generator=torch.Generator().manual_seed(rows))
        self.labels = torch.arange(rows) % 2
        self.tokens[:, 0] = self.labels

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[number], "labels": self.labels[number]}


def accuracy(predictions):
    return {"accuracy": (predictions.predictions.argmax(1) == predictions.label_ids).mean()}


def named(events):
    """The names of the events, without those of figures about the run."""
    return [event for event, _ in events if event != "figures"]


def checkpoints(events):
    return [payload for event, payload in events if event == "checkpoint"]


def trainer_of(
    run, callback, compute_metrics=accuracy, training=None, evaluation=None, callbacks=(), model=None, **arguments
):
    chosen = {**trainer_arguments(run), "num_train_epochs": 3, "learning_rate": 0.01, **arguments}
    plain = BertForSequenceClassification(CONFIG)
    return Trainer(
        model(plain) if model else plain,
        TrainingArguments(per_device_train_batch_size=16, **chosen),
        train_dataset=training or Sequences(64),
        eval_dataset=evaluation or Sequences(32),
        compute_metrics=compute_metrics,
        callbacks=[callback, *callbacks],
    )


def train(run, metrics=None, resumable=True, **arguments):
    """Train; the trainer afterwards."""
    callback = TrackerCallback(run, metrics)
    trainer = trainer_of(run, callback, **arguments)
    folder = callback.checkpoint() if resumable else None
    trainer.train(resume_from_checkpoint=folder)
    assert folder is None or not Path(folder).exists(), "what it went on from is deleted"
    return trainer


def test_each_epoch_is_a_checkpoint_with_its_metrics_and_without_the_trainers_speeds(make_run, tmp_path):
    run, events = make_run()
    train(run)
    assert named(events) == ["ready", "checkpoint", "checkpoint", "checkpoint"]
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2, 3]
    assert all(each["metrics"].keys() == {"accuracy", "loss"} for each in checkpoints(events))
    assert checkpoints(events)[-1]["metrics"]["accuracy"] > 0.9, "chance is one in two"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "no files of the Trainer are left"


def test_what_a_step_computes_is_counted_once(make_run):
    run, _ = make_run()
    train(run, num_train_epochs=1)
    assert run.summary["steps_per_epoch"] == 4 and run.summary["step_operations"] > 50
    gathered, _ = make_run()
    train(gathered, num_train_epochs=2, gradient_accumulation_steps=2)
    assert gathered.summary["steps_per_epoch"] == 2
    assert gathered.summary["step_flops"] == 2 * run.summary["step_flops"]


def test_a_compiled_model_is_recognised():
    model = BertForSequenceClassification(CONFIG)
    assert not is_compiled(model)
    model.compile(backend="eager")
    assert is_compiled(model)
    assert is_compiled(torch.compile(torch.nn.Linear(2, 2), backend="eager"))


def test_the_names_asked_for_are_reported_and_no_others(make_run):
    run, events = make_run(quality=QualityMetric("validation_loss", Direction.MINIMIZE))
    train(run, {"validation_loss": "eval_loss"}, num_train_epochs=1)
    assert checkpoints(events)[0]["metrics"].keys() == {"validation_loss"}


def test_evaluations_within_an_epoch_are_counted_and_the_one_before_training_is_none(make_run):
    run, events = make_run()
    train(run, num_train_epochs=1, eval_strategy="steps", eval_steps=2, eval_on_start=True)
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]


def test_several_data_sets_make_up_one_checkpoint(make_run):
    run, events = make_run(quality=QualityMetric("near_accuracy", Direction.MAXIMIZE))
    train(run, num_train_epochs=2, evaluation={"near": Sequences(16), "far": Sequences(20)})
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]
    assert checkpoints(events)[0]["metrics"].keys() == {"near_accuracy", "near_loss", "far_accuracy", "far_loss"}


@pytest.mark.parametrize(
    "arguments", [{}, {"eval_strategy": "steps", "eval_steps": 3}], ids=["at an epoch's end", "within an epoch"]
)
def test_a_paused_training_goes_on_as_if_it_had_not_been_interrupted(make_run, tmp_path, arguments):
    whole, events = make_run()
    expected = train(whole, **arguments)

    first, before = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1)
    with pytest.raises(Paused):
        train(first, **arguments)
    files = torch.load(tmp_path / "state.pt", weights_only=True)["state"]["files"]
    assert files.keys() >= {"model.safetensors", "optimizer.pt", "trainer_state.json"}
    assert "training_args.bin" not in files, "a pickled object"
    second, after = make_run(seed=99, state_path=tmp_path / "state.pt")
    second.seed = first.seed  # the Trainer orders its data by it
    resumed = train(second, **arguments)

    assert named(before) == ["ready", "checkpoint", "saved"]
    assert named(after)[:2] == ["restored", "ready"]
    shown = [(each["epoch"], each["metrics"]) for each in [*checkpoints(before), *checkpoints(after)]]
    assert shown == [(each["epoch"], each["metrics"]) for each in checkpoints(events)]
    torch.testing.assert_close(resumed.model.state_dict(), expected.model.state_dict(), rtol=0, atol=0)
    assert resumed.state.global_step == 12
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["state.pt"]


PATIENT = {"metric_for_best_model": "loss", "greater_is_better": False, "learning_rate": 0.1, "num_train_epochs": 8}
KEEPS_BEST = {**PATIENT, "save_strategy": "epoch", "load_best_model_at_end": True}
BY_STEPS = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3}


def in_one_go_and_paused_wherever_it_can_be(make_run, tmp_path, patience=True, **arguments):
    """What both come to: checkpoints, the step of the best, the figure of a test, weights; and how many attempts."""

    def attempt(folder, **limits):
        run, events = make_run(artifacts=tmp_path / folder, **limits)
        run.seed = 3
        stopping = [transformers.EarlyStoppingCallback(2)] if patience else []
        try:
            trainer = train(run, callbacks=stopping, **arguments)
        except Paused:
            trainer = None
        return trainer, [(each["epoch"], each["metrics"]) for each in checkpoints(events)]

    def outcome(trainer, reports):
        figure = trainer.evaluate(Sequences(40))["eval_loss"]
        return reports, trainer.state.best_global_step, figure, trainer.model.state_dict()

    whole = outcome(*attempt("whole"))
    trainer, reports, attempts = None, [], 0
    while trainer is None:
        attempts += 1
        limits = {"state_path": tmp_path / "state.pt", "pause_after_epoch": attempts, "seed": 90 + attempts}
        trainer, more = attempt("paused", **(limits if attempts > 1 else {**limits, "seed": 3}))
        reports += more
    return whole, outcome(trainer, reports), attempts


@pytest.mark.parametrize(
    ("arguments", "least_attempts"),
    [
        (PATIENT, 5),
        (KEEPS_BEST, 5),
        ({**KEEPS_BEST, "save_total_limit": 1}, 5),
        ({**KEEPS_BEST, "save_strategy": "best"}, 3),
        ({**KEEPS_BEST, **BY_STEPS}, 3),
        ({"patience": False, "gradient_accumulation_steps": 3}, 3),
    ],
    ids=[
        "patience",
        "the best model",
        "no more files than the best",
        "files of the best alone",
        "steps",
        "accumulation",
    ],
)
def test_paused_or_not_as_many_epochs_and_the_same_best_model(make_run, tmp_path, arguments, least_attempts):
    whole, paused, attempts = in_one_go_and_paused_wherever_it_can_be(make_run, tmp_path, **arguments)
    assert paused[:3] == whole[:3]
    torch.testing.assert_close(paused[3], whole[3], rtol=0, atol=0)
    assert attempts >= least_attempts
    if "load_best_model_at_end" in arguments:
        assert whole[1] < 4 * len(whole[0]), "the best is not the last: it has to be kept over pauses"
    if arguments.get("patience", True):
        assert len(whole[0]) < 8, "it stops early"


@pytest.mark.parametrize(
    "compiled",
    [lambda model: torch.compile(model, backend="eager"), lambda model: model.compile(backend="eager") or model, None],
    ids=["wrapped", "in place", "by the Trainer"],
)
def test_a_compiled_model_is_saved_and_restored(make_run, tmp_path, compiled):
    keeps_best = {**KEEPS_BEST, "num_train_epochs": 3, "remove_unused_columns": False, "label_names": ["labels"]}
    by_trainer = {"torch_compile": compiled is None, "torch_compile_backend": "eager"}
    whole, paused, attempts = in_one_go_and_paused_wherever_it_can_be(
        make_run, tmp_path, model=compiled, **keeps_best, **(by_trainer if compiled is None else {})
    )
    assert paused[:3] == whole[:3]
    torch.testing.assert_close(paused[3], whole[3], rtol=0, atol=0)
    assert attempts == 3


@pytest.mark.parametrize(
    ("arguments", "several", "said"),
    [
        ({"restore_callback_states_from_checkpoint": False}, 1, "would forget what EarlyStoppingCallback keeps"),
        ({}, 2, "mixes up what several of EarlyStoppingCallback keep"),
        ({"save_only_model": True}, 0, "save_only_model leaves out"),
    ],
)
def test_what_the_trainer_cannot_resume_runs_without_pausing_and_that_is_said(
    make_run, tmp_path, arguments, several, said
):
    run, events = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1)
    stopping = [transformers.EarlyStoppingCallback(2) for _ in range(several)]
    train(run, callbacks=stopping, **{**PATIENT, "num_train_epochs": 2, **arguments})
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]
    (note,) = [payload["message"] for event, payload in events if event == "note"]
    assert note.startswith("trials run without pausing: ") and said in note
    assert not (tmp_path / "state.pt").exists()


def test_a_checkpoint_whose_weights_the_model_does_not_know_is_not_resumed_from(make_run, tmp_path):
    class SavesCompiledNames(Trainer):
        """As code that saves a compiled model's weights under the names that compiling gives them."""

        def _save(self, output_dir=None, state_dict=None):
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            named = {f"_orig_mod.{name}": value for name, value in self.model.state_dict().items()}
            safetensors.torch.save_file(named, Path(output_dir) / "model.safetensors")

    run, events = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1)
    callback = TrackerCallback(run)
    trainer = trainer_of(run, callback, num_train_epochs=2)
    trainer.__class__ = SavesCompiledNames
    trainer.train(resume_from_checkpoint=callback.checkpoint())
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]
    (note,) = [payload["message"] for event, payload in events if event == "note"]
    assert "would not find its model's weights in its checkpoint, which names '_orig_mod.bert" in note


def test_a_folder_that_trials_share_is_refused_where_something_would_be_written_to_it(make_run, tmp_path):
    for arguments in ({"save_strategy": "epoch", "resumable": False}, {}):
        run, events = make_run()
        with pytest.raises(WorkloadError, match=r"output_dir is '.*out', which trials would share.*run\.artifact"):
            train(run, output_dir=str(tmp_path / "out"), num_train_epochs=1, **arguments)
        assert not events
    run, events = make_run()
    train(run, output_dir=str(tmp_path / "out"), num_train_epochs=1, resumable=False)
    assert len(checkpoints(events)) == 1 and not list((tmp_path / "out").iterdir())


def test_checkpoints_that_the_user_asked_for_stay(make_run, tmp_path):
    run, _ = make_run()
    train(run, save_strategy="epoch", num_train_epochs=2)
    assert {path.name for path in (tmp_path / "artifacts" / "trainer").iterdir()} == {"checkpoint-4", "checkpoint-8"}


def test_a_training_that_is_not_to_be_resumed_runs_on(make_run, tmp_path):
    run, events = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1)
    train(run, num_train_epochs=2, resumable=False)
    assert [each["epoch"] for each in checkpoints(events)] == [1, 2]
    assert not (tmp_path / "state.pt").exists()


def test_a_quality_that_is_no_number_fails_the_training(make_run):
    run, events = make_run()
    with pytest.raises(TrainingFailedError, match="accuracy is nan after epoch 1") as failure:
        train(run, compute_metrics=lambda predictions: {"accuracy": math.nan})
    assert failure.value.reason == "not_finite"
    assert not checkpoints(events)


def test_a_metric_that_no_evaluation_finds_fails_the_training(make_run):
    run, _ = make_run()
    with pytest.raises(TrainingFailedError, match="no 'eval_acuracy' to report as accuracy; did you mean 'eval_accur"):
        train(run, {"accuracy": "eval_acuracy"})


def test_a_declared_metric_that_is_not_reported_is_noted_and_fails_nothing(make_run):
    run, events = make_run(declared_metrics=frozenset({"f1"}))
    train(run, resumable=False, num_train_epochs=1)
    notes = [fields["message"] for event, fields in events if event == "note"]
    assert notes == ["the training declares the metric 'f1' and does not report it"]


class SlowSequences(Sequences):
    """Each takes 0.03 s to read."""

    def __getitem__(self, number):
        time.sleep(0.03)
        return super().__getitem__(number)


class SlowSteps(transformers.TrainerCallback):
    def on_pre_optimizer_step(self, *arguments, **named):
        time.sleep(0.05)


@pytest.mark.parametrize("arguments", [{}, {"logging_steps": 1, "eval_strategy": "steps", "eval_steps": 2}])
def test_waiting_for_batches_to_train_on_is_kept_apart(make_run, arguments):
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    run, _ = make_run(meter=meter)
    trainer = train(run, training=SlowSequences(64), callbacks=[SlowSteps()], num_train_epochs=2, **arguments)
    phases = meter.phases()
    assert phases.data_seconds >= 3.84, "64 sequences, twice"
    assert phases.train_seconds >= 0.4, "two times four steps"
    trainer.evaluate(SlowSequences(24))
    time.sleep(0.2)
    assert meter.phases().data_seconds == phases.data_seconds, "after the training nothing waits for its batches"


def test_evaluation_and_prediction_count_as_evaluation(make_run):
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    run, events = make_run(meter=meter)
    trainer = train(run, evaluation=SlowSequences(8), num_train_epochs=2, callbacks=[SlowSteps()])
    seconds = meter.phases().evaluation_seconds
    assert seconds >= 0.48, "two evaluations of one batch"
    assert meter.phases().train_seconds >= 0.4, "two times four steps"
    trainer.predict(SlowSequences(24))
    assert meter.phases().evaluation_seconds >= seconds + 0.24, "its third batch: two are read before a hook tells"
    trainer.evaluate(SlowSequences(24))
    assert meter.phases().evaluation_seconds >= seconds + 0.48
    assert len(checkpoints(events)) == 2, "an evaluation after training is no checkpoint"


def test_the_arguments_follow_the_run_and_leave_its_threads_alone(make_run):
    run, events = make_run(precision="bf16")
    trainer = train(run, num_train_epochs=1)
    assert trainer.args.bf16 and not trainer.args.fp16 and trainer.args.seed == run.seed
    assert trainer.args.device == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert len(checkpoints(events)) == 1
    on_gpu, _ = make_run(precision="tf32", device=torch.device("cuda", 0), settings={"compile": True})
    assert trainer_arguments(on_gpu).items() >= {"use_cpu": False, "tf32": True, "torch_compile": True}.items()


def test_a_device_that_is_not_billed_and_several_processes_are_refused(make_run):
    run, events = make_run(device=torch.device("cuda", 0))
    with pytest.raises(HardwareError, match=r"takes 1 × cpu, and this trial is billed for one cuda"):
        train(run, use_cpu=True, tf32=None)
    assert not events
    run, _ = make_run(processes=2)
    with pytest.raises(WorkloadError, match="processes is 2; allowed: 1"):
        TrackerCallback(run)


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "tracker.integrations.transformers")
    with pytest.raises(ImportError, match=r"pip install 'cost-quality-tracker\[transformers\]'"):
        importlib.import_module("tracker.integrations.transformers")
