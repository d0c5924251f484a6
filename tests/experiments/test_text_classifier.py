from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch

from experiments.benchmarks.plain_loop import train_plainly
from experiments.data.batches import BatchPlan
from experiments.layers import attention
from experiments.workloads.text_classifier import Classifier, Shape, TextClassifier, training_flops
from tests.experiments.conftest import TOPICS
from tracker.errors import TrainingFailedError, WorkloadError
from tracker.training.run import Paused
from tracker.training.workload import WEIGHTS

SHAPE = Shape(vocabulary_size=50, classes=3, max_length=16, width=32, heads=2, depth=2, dropout=0.1, token_dropout=0.3)


def checkpoints(events):
    return [payload for event, payload in events if event == "checkpoint"]


def accuracies(events):
    return [each["metrics"]["accuracy"] for each in checkpoints(events)]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)]
)
def test_attention_is_the_formula_computed_in_float64(dtype, tolerance):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 8, dtype=torch.float64)
    real = torch.tensor([[True] * 5, [True, True, True, False, False]])
    expected = torch.zeros_like(query)
    for text, length in ((0, 5), (1, 3)):
        for head in range(4):
            for position in range(5):
                weights = [
                    math.exp(float(query[text, head, position] @ key[text, head, other]) / math.sqrt(8))
                    for other in range(length)
                ]
                for other in range(length):
                    expected[text, head, position] += weights[other] / sum(weights) * value[text, head, other]
    got = attention(query.to(dtype), key.to(dtype), value.to(dtype), real[:, None, None, :])
    assert (got.double() - expected).abs().max() < tolerance


def test_padding_changes_no_logit():
    torch.manual_seed(0)
    model = Classifier(SHAPE).eval()
    text = torch.randint(1, 50, (1, 6))
    padded = torch.cat([text, torch.zeros(1, 10, dtype=torch.long)], dim=1)
    torch.testing.assert_close(model(padded), model(text), rtol=1e-5, atol=1e-6)


def test_the_dial_derives_width_heads_and_depth_and_each_can_be_set_alone():
    settings = {"size": 4, "max_length": 16, "dropout": 0.0, "token_dropout": 0.0}
    derived = Shape.of(settings, 100, 2)
    assert (derived.width, derived.heads, derived.depth) == (128, 4, 2)
    assert Shape.of({**settings, "width": 96}, 100, 2).heads == 3
    assert Shape.of({**settings, "width": 100}, 100, 2).heads == 2, "the most heads that share the width evenly"
    assert Shape.of({**settings, "heads": 8}, 100, 2).heads == 8
    assert Shape.of({**settings, "depth": 5}, 100, 2).depth == 5


def test_heads_that_cannot_share_the_width_are_refused_before_anything_is_prepared(topics, make_run, tmp_path):
    run, _ = make_run()
    settings = {**run.settings, "width": 64, "heads": 5}
    with pytest.raises(WorkloadError, match="width 64 cannot be shared by 5 heads; allowed with it: 1, 2, 4, 8"):
        TextClassifier().prepare(topics, settings, tmp_path / "empty", print)
    assert not (tmp_path / "empty").exists()


def test_training_learns_reports_every_epoch_and_keeps_a_model_that_loads(make_run, tmp_path):
    run, events = make_run()
    TextClassifier().train(run)
    assert [event for event, _ in events if event != "figures"] == ["ready", "checkpoint", "checkpoint", "checkpoint"]
    assert accuracies(events)[-1] > 0.8, "chance is one in three"
    assert checkpoints(events)[-1]["metrics"]["training_loss"] < checkpoints(events)[0]["metrics"]["training_loss"]
    assert run.summary["test_accuracy"] > 0.8
    assert run.summary["parameters"] > 0 and run.summary["flops"] > 0 and run.summary["samples_per_second"] > 0
    kept = max((tmp_path / "artifacts").iterdir())  # of the best epoch
    shown = json.loads((kept / "settings.json").read_text())
    model = Classifier(Shape(**shown["shape"]))
    model.load_state_dict(torch.load(kept / "model.pt", weights_only=True))
    assert shown["classes"] == ["sea", "town", "wood"]
    assert (kept / "tokenizer.json").is_file()


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    losses = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed)
        TextClassifier().train(run)
        losses.append([each["metrics"] for each in checkpoints(events)])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_bfloat16_learns_as_well(make_run):
    run, events = make_run(precision="bf16")
    TextClassifier().train(run)
    assert accuracies(events)[-1] > 0.8


def test_a_training_that_diverges_fails_as_not_finite(make_run):
    run, _ = make_run(learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(TrainingFailedError) as failure:
        TextClassifier().train(run)
    assert failure.value.reason == "not_finite"


def test_a_plain_loop_doing_the_same_work_learns_the_same(make_run):
    run, _ = make_run(token_dropout=0.0, dropout=0.0)
    TextClassifier().train(run)
    plain, _ = make_run(token_dropout=0.0, dropout=0.0)
    assert train_plainly(plain) == pytest.approx(run.summary["test_accuracy"], abs=0.02)


def test_the_bag_of_words_baseline_reports_one_checkpoint_on_the_same_split(make_run):
    run, events = make_run()
    for train in TextClassifier.baselines.values():
        train(run)
    assert len(checkpoints(events)) == 1
    assert accuracies(events)[0] > 0.9
    assert run.summary["test_accuracy"] > 0.9


def test_the_vocabulary_and_the_training_split_are_of_the_documents_asked_for(make_run):
    run, _ = make_run(train_documents=30)
    TextClassifier().train(run)
    card = TextClassifier().prepare(run.data, run.settings, run.cache, lambda message: None)
    assert card.rows["train"] == 30
    everything, _ = make_run()
    card_of_all = TextClassifier().prepare(run.data, everything.settings, run.cache, lambda message: None)
    assert card_of_all.rows["train"] > 200
    assert card_of_all.rows["test"] == card.rows["test"]
    assert card_of_all.fingerprint == card.fingerprint


def test_flops_follow_the_formula():
    model = Classifier(SHAPE)
    matrices = sum(each.numel() for each in (*model.layers.parameters(), *model.head.parameters()))
    plans = [BatchPlan(torch.arange(4), 8), BatchPlan(torch.arange(2), 16)]
    assert training_flops(model, plans) == 2 * 32 * 6 * matrices + 32 * 12 * 2 * 32 * (8 + 16)


def test_a_trial_imports_none_of_the_libraries_that_only_preparation_needs(make_run):
    heavy = ("tokenizers", "datasets", "sklearn", "pandas", "pyarrow", "scipy", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.text_classifier; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, precision):
    run, events = make_run(device="cuda", precision=precision)
    TextClassifier().train(run)
    assert accuracies(events)[-1] > 0.8


@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_accumulation": 3},
        {"activation_checkpointing": True},
        {"fused_optimiser": False},
        {"bucket_by_length": False},
        {"weight_average": 0.5},
        {"schedule": "linear"},
        {"schedule": "constant"},
        {"label_smoothing": 0.1},
        {"deduplicate": True},
    ],
    ids=str,
)
def test_every_lever_learns_as_well(make_run, settings):
    run, events = make_run(token_dropout=0.0, dropout=0.0, **settings)
    TextClassifier().train(run)
    assert accuracies(events)[-1] > 0.8


def losses(events):
    return [each["metrics"]["validation_loss"] for each in checkpoints(events)]


@pytest.mark.parametrize("settings", [{"gradient_accumulation": 4}, {"activation_checkpointing": True}], ids=str)
def test_levers_that_only_save_memory_change_no_result(make_run, settings):
    plain, plain_events = make_run(token_dropout=0.0, dropout=0.0)
    TextClassifier().train(plain)
    run, events = make_run(token_dropout=0.0, dropout=0.0, **settings)
    TextClassifier().train(run)
    assert losses(events) == pytest.approx(losses(plain_events), rel=1e-3)


def test_training_stops_early_when_the_quality_no_longer_gets_better(make_run):
    run, events = make_run(patience=2, epochs=40, learning_rate=2e-2)
    TextClassifier().train(run)
    reached = accuracies(events)
    assert len(reached) < 40
    assert max(reached[-2:]) <= max(reached[:-2])


def test_a_training_that_was_paused_goes_on_to_the_same_result(make_run, tmp_path):
    whole, whole_events = make_run(weight_average=0.9)
    TextClassifier().train(whole)
    first, first_events = make_run(weight_average=0.9, state_path=tmp_path / "state.pt", pause_after_epoch=1)
    with pytest.raises(Paused):
        TextClassifier().train(first)
    second, second_events = make_run(weight_average=0.9, state_path=tmp_path / "state.pt")
    TextClassifier().train(second)
    assert losses(first_events) + losses(second_events) == losses(whole_events)
    assert second.summary["test_accuracy"] == whole.summary["test_accuracy"]


def test_a_kept_model_predicts_the_classes_of_texts_in_every_format_of_its_weights(make_run, tmp_path):
    run, _ = make_run()
    workload = TextClassifier()
    workload.train(run)
    inputs = workload.prediction_inputs(run.data, run.settings, run.cache, 40)
    folder = max((tmp_path / "artifacts").iterdir())
    predictors = {weights: workload.predictor(folder, weights, torch.device("cpu")) for weights in WEIGHTS}
    answers = {weights: predict(inputs) for weights, predict in predictors.items()}
    topics = [next(name for name, words in TOPICS.items() if set(words) & set(text.split())) for text in inputs]
    for weights, found in answers.items():
        assert sum(one == other for one, other in zip(found, topics, strict=True)) / len(inputs) > 0.8, weights
    assert sum(one == other for one, other in zip(answers["fp32"], answers["bf16"], strict=True)) / len(inputs) > 0.95


def test_the_worst_class_is_reported_with_its_gap(make_run):
    run, events = make_run(epochs=1, learning_rate=1e-4)
    TextClassifier().train(run)
    scores = checkpoints(events)[0]["metrics"]
    assert 0 <= scores["worst_slice_accuracy"] <= scores["accuracy"]
    assert 0 <= scores["slice_accuracy_gap"] <= 1 - scores["worst_slice_accuracy"]
