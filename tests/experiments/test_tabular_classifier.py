from __future__ import annotations

import csv
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from experiments.data.prepared_tables import Table
from experiments.workloads.tabular_classifier import (
    FTTransformer,
    Perceptron,
    Shape,
    TabularClassifier,
    make_model,
    probabilities,
    weighted_loss,
)
from tests.support.runs import gallery_run
from tracker.errors import DataError, HardwareError, TrainingFailedError
from tracker.training.run import Paused

ARCHITECTURES = ("mlp", "ft_transformer")
SMALL = {
    "size": 1, "batch_size": 32, "epochs": 4, "learning_rate": 5e-3,
}  # fmt: skip


def shape(architecture, **changed):
    sizes = {"numbers": 3, "categories": 2, "codes": 6, "classes": 2, "width": 16, "depth": 2, "dropout": 0.1}
    return Shape(architecture=architecture, **{**sizes, **changed})


def some_rows(count=5):
    torch.manual_seed(1)
    return torch.cat([torch.randn(count, 3), torch.randint(0, 6, (count, 2)).float()], dim=1)


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """The cache that tables are prepared in."""
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="session")
def payments(tables):
    """A [data] table of payments, few of them fraud, with gaps, of two countries of which one is harder to tell."""
    chance = random.Random(5)
    with (tables / "payments.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["amount", "age", "kind", "country", "label"])
        for number in range(900):
            fraud, country = number % 8 == 0, "here" if number % 3 else "there"
            spread = 1.0 if country == "here" else 3.0
            amount = "" if number % 11 == 0 else f"{chance.gauss(3 if fraud else 0, spread):.3f}"
            kind = chance.choice(["card", "card", "web"] if fraud else ["cash", "card", "web"])
            table.writerow([amount, f"{chance.gauss(50, 9):.1f}", kind, country, "fraud" if fraud else "fine"])
    return {"source": str(tables / "payments.csv"), "slice_column": "country"}


@pytest.fixture
def make_run(tables, tmp_path):
    """Makes a run on a table, with the list that its events go to."""

    def make(data=None, **given):
        return gallery_run(
            TabularClassifier(),
            data or {},
            tables,
            tmp_path / "artifacts",
            quality="balanced_accuracy",
            **SMALL | given,
        )

    return make


def reported(events, name="balanced_accuracy"):
    return [payload["metrics"][name] for event, payload in events if event == "checkpoint"]


def kept(tmp_path):
    """The folder of the best epoch's model."""
    return max((tmp_path / "artifacts").iterdir(), key=lambda folder: int(folder.name.removeprefix("epoch-")))


def test_ft_transformer_makes_each_column_a_token_and_reads_the_answer_off_one_of_its_own():
    model = FTTransformer(shape("ft_transformer"))
    rows = some_rows()
    tokens = model.tokenizer(rows)
    assert tokens.shape == (5, 5, 16)
    expected = rows[2, 1] * model.tokenizer.weight[1] + model.tokenizer.bias[1]
    torch.testing.assert_close(tokens[2, 1], expected)
    expected = model.tokenizer.codes.weight[int(rows[2, 4])] + model.tokenizer.bias[4]
    torch.testing.assert_close(tokens[2, 4], expected)
    assert model(rows).shape == (5, 2)


def test_the_order_of_the_columns_means_nothing_to_ft_transformer():
    model, moved = (FTTransformer(shape("ft_transformer")).eval() for _ in range(2))
    order = torch.tensor([2, 0, 1])
    state = model.state_dict()
    state["tokenizer.weight"] = state["tokenizer.weight"][order]
    state["tokenizer.bias"] = state["tokenizer.bias"][torch.cat([order, torch.tensor([4, 3])])]
    moved.load_state_dict(state)
    rows = some_rows()
    changed = torch.cat([rows[:, order], rows[:, [4, 3]]], dim=1)
    torch.testing.assert_close(moved(changed), model(rows))
    assert not torch.allclose(model(changed), model(rows), atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_category_that_was_never_seen_adds_nothing_and_is_never_learnt(architecture):
    model = make_model(shape(architecture))
    rows = some_rows()
    rows[:, 3:] = 0.0
    model(rows).sum().backward()
    codes = model.tokenizer.codes if architecture == "ft_transformer" else model.codes
    assert codes.weight[0].abs().sum() == 0 and codes.weight.grad[0].abs().sum() == 0


def test_the_dial_derives_width_and_depth_and_each_can_be_set_alone():
    settings = {"architecture": "ft_transformer", "size": 6, "dropout": 0.1}
    derived = Shape.of(settings, 3, 2, 6, 2)
    assert (derived.width, derived.depth, derived.heads) == (192, 3, 8), "the default of the paper"
    assert Shape.of({**settings, "width": 36}, 3, 2, 6, 2).heads == 6
    perceptron = Shape.of({**settings, "architecture": "mlp", "size": 2}, 3, 2, 6, 2)
    assert (perceptron.width, perceptron.depth) == (128, 2)
    assert Shape.of({**settings, "depth": 5}, 3, 2, 6, 2).depth == 5


def test_multiplications_are_those_of_the_matrices_and_of_attention():
    model = Perceptron(shape("mlp"))
    assert model.multiplications() == (3 + 2 * 8) * 16 + 16 * 16 + 16 * 2
    model = FTTransformer(shape("ft_transformer"))
    layer = 3 * 16 * 16 + 16 * 16 + 2 * 21 * 16 + 21 * 16
    assert model.multiplications() == 6 * (2 * layer + 2 * 2 * 16 * 6) + 16 * 2


def test_recomputing_activations_changes_no_gradient():
    model, rows = FTTransformer(shape("ft_transformer", dropout=0.0)), some_rows()
    gradients = []
    for checkpointing in (False, True):
        model.checkpointing = checkpointing
        model.zero_grad()
        model(rows).square().sum().backward()
        gradients.append([each.grad.clone() for each in model.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_tells_malignant_from_benign_tumours_and_keeps_a_model(architecture, make_run, tmp_path):
    run, events = make_run(architecture=architecture)
    TabularClassifier().train(run)
    assert [event for event, _ in events if event != "figures"] == ["ready"] + ["checkpoint"] * 4
    assert reported(events)[-1] > 0.9
    assert reported(events, "auroc")[-1] > 0.97 and reported(events, "recall_at_precision")[-1] > 0.85
    assert run.summary["test_balanced_accuracy"] > 0.9 and run.summary["test_auroc"] > 0.97
    assert run.summary["flops"] > 0 and run.summary["samples_per_second"] > 0
    shown = json.loads((kept(tmp_path) / "settings.json").read_text())
    model = make_model(Shape(**shown["shape"]))
    model.load_state_dict(torch.load(kept(tmp_path) / "model.pt", weights_only=True))
    assert shown["classes"] == ["benign", "malignant"]
    assert run.summary["parameters"] == sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_paused_and_resumed_is_the_same_as_uninterrupted(architecture, make_run, payments, tmp_path):
    settings = {"data": payments, "architecture": architecture, "epochs": 3, "balance_classes": True}
    whole, expected = make_run(**settings)
    TabularClassifier().train(whole)
    paused, first = make_run(**settings, state_path=tmp_path / "state.pt", pause_after_epoch=1)
    with pytest.raises(Paused):
        TabularClassifier().train(paused)
    resumed, rest = make_run(**settings, state_path=tmp_path / "state.pt")
    TabularClassifier().train(resumed)
    for name in TabularClassifier.metrics:
        assert reported(first, name) + reported(rest, name) == reported(expected, name)
    assert resumed.summary["test_auroc"] == whole.summary["test_auroc"]
    assert resumed.summary["flops"] == whole.summary["flops"]


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run, payments):
    losses = []
    for seed in (1, 1, 2):
        run, events = make_run(payments, seed=seed, epochs=2)
        TabularClassifier().train(run)
        losses.append(reported(events, "validation_loss"))
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_learns_as_well(architecture, make_run):
    run, events = make_run(architecture=architecture, precision="bf16")
    TabularClassifier().train(run)
    assert reported(events)[-1] > 0.9


def test_a_training_that_diverges_fails_as_not_finite(make_run):
    run, _ = make_run(learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(TrainingFailedError) as failure:
        TabularClassifier().train(run)
    assert failure.value.reason == "not_finite"


def test_slices_are_the_values_of_the_column_that_is_named(make_run, payments):
    run, events = make_run(payments, epochs=2)
    TabularClassifier().train(run)
    table = Table.of(run)
    validation = table.splits["validation"]
    assert table.columns.categories.keys() == {"kind"}, "the country is no feature"
    torch.manual_seed(0)
    found = np.eye(2)[np.zeros(len(validation), dtype=int)]
    right = (validation.labels == 0).double()
    expected = [right[validation.slices == each].mean().item() for each in (0, 1)]
    scores = table.scores(found, "validation")
    assert scores["worst_slice_accuracy"] == pytest.approx(min(expected))
    assert scores["slice_accuracy_gap"] == pytest.approx(max(expected) - min(expected))
    assert reported(events, "worst_slice_accuracy")[-1] < reported(events, "accuracy")[-1]


def test_balanced_classes_weigh_the_same_and_one_on_average(make_run, payments):
    run, _ = make_run(payments, balance_classes=True)
    labels = torch.tensor([0] * 9 + [1])
    logits = torch.randn(10, 2)
    loss = weighted_loss(run, labels, 2)(lambda rows: logits[rows], (torch.arange(10), labels))
    each = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss, (each[:9].mean() + each[9]) / 2)


def test_balanced_classes_find_more_of_a_rare_class(make_run, payments):
    found = {}
    for balance in (False, True):
        run, events = make_run(payments, epochs=6, balance_classes=balance)
        TabularClassifier().train(run)
        found[balance] = reported(events)[-1]
    assert found[True] > found[False] + 0.05


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_predictor_tells_what_the_trained_model_does_in_every_number_format(
    architecture, make_run, payments, tables, tmp_path
):
    run, _ = make_run(payments, architecture=architecture, epochs=1, balance_classes=True)
    TabularClassifier().train(run)
    shown = json.loads((kept(tmp_path) / "settings.json").read_text())
    model, table = make_model(Shape(**shown["shape"])), Table.of(run)
    model.load_state_dict(torch.load(kept(tmp_path) / "model.pt", weights_only=True))
    expected = probabilities(run, model, table.read("test", run.device)).argmax(axis=1)
    rows = TabularClassifier().prediction_inputs(payments, run.settings, tables, 1000)
    assert len(rows) == len(expected) and "label" not in rows[0]
    answers = {
        weights: TabularClassifier().predictor(kept(tmp_path), weights, torch.device("cpu"))(rows)
        for weights in ("fp32", "bf16", "int8")
    }
    assert answers["fp32"] == [shown["classes"][index] for index in expected]
    for weights in ("bf16", "int8"):
        same = np.mean([one == other for one, other in zip(answers["fp32"], answers[weights], strict=True)])
        assert same > 0.9, weights
    assert json.loads(json.dumps(rows)) == rows
    with pytest.raises(HardwareError, match="int8 weights are served on cpu only"):
        TabularClassifier().predictor(kept(tmp_path), "int8", torch.device("cuda"))


def test_the_predictor_takes_gaps_and_new_categories_and_refuses_what_is_no_row(make_run, payments, tmp_path):
    run, _ = make_run(payments, epochs=1)
    TabularClassifier().train(run)
    predict = TabularClassifier().predictor(kept(tmp_path), "fp32", torch.device("cpu"))
    assert set(predict([{"amount": None, "kind": "crypto"}, {"age": 30}, {"amount": "2.5", "other": 1}])) <= {
        "fraud",
        "fine",
    }
    assert predict([]) == []
    with pytest.raises(DataError, match="column 'age' is 'old' in row 1"):
        predict([{"age": "old"}])


@pytest.mark.parametrize("name", TabularClassifier.baselines)
def test_the_baselines_report_the_same_metrics_on_the_same_splits(name, make_run, payments):
    run, events = make_run()
    TabularClassifier.baselines[name](run)
    assert reported(events)[0] > 0.9 and run.summary["test_balanced_accuracy"] > 0.9
    found = {}
    for balance in (False, True):
        run, events = make_run(payments, balance_classes=balance)
        TabularClassifier.baselines[name](run)
        assert len(reported(events)) == 1
        found[balance] = reported(events)[0]
    assert found[True] > found[False], "class weights count here too"


def test_a_trial_imports_none_of_the_libraries_that_only_preparation_needs():
    heavy = ("sklearn", "pandas", "pyarrow", "datasets", "scipy", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.tabular_classifier; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(architecture, precision, make_run):
    run, events = make_run(architecture=architecture, device="cuda", precision=precision)
    TabularClassifier().train(run)
    assert reported(events)[-1] > 0.9
